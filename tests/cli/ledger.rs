//! A real ledger with its key, checkpoints and exports, and functions that tamper with it.

use std::sync::Arc;

use serde_json::Value;
use sharewarden::{
    domain::{
        AccountId, ChangeBody, ChangeId, Entry, EntryBody, Intent, PermissionKey, RequestId, Timestamp, entry::encode,
        example,
    },
    ledger::{
        Checkpoint, Frontier, Hash, SigningKey, TileId, Tiles,
        export::{ExportWriter, Header, PolicySetText},
        merkle::leaf_hash,
        proof,
    },
    proto::v1::{export_audit_entries_response::Part, *},
};
use uuid::Uuid;

use crate::{service::Answer, service_audit::Streamed};

pub(crate) const ACCOUNT: &str = "012345678901";
pub(crate) const NAME: &str = "example.com/audit";

/// The texts of at most 256 entries, and their hashes in the store.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) account: AccountId,
    pub(crate) key: SigningKey,
    pub(crate) lines: Vec<String>,
    pub(crate) hashes: Vec<Hash>,
}

impl Ledger {
    pub(crate) fn of(count: u64) -> Self {
        Self::of_account(ACCOUNT, count)
    }

    pub(crate) fn of_account(account: &str, count: u64) -> Self {
        let account = account.parse().unwrap();
        let lines: Vec<_> = (0..count)
            .map(|index| line(account, index, &format!("reason {index}")))
            .collect();
        Self {
            account,
            key: SigningKey::from_seed(NAME.parse().unwrap(), &[7; 32]),
            hashes: lines.iter().map(|line| leaf_hash(line.as_bytes())).collect(),
            lines,
        }
    }

    /// Replaces the text of one entry, and recomputes all hashes.
    pub(crate) fn rewritten(&self, index: usize) -> Self {
        let mut ledger = self.clone();
        ledger.lines[index] = line(self.account, index as u64, "another reason");
        ledger.hashes[index] = leaf_hash(ledger.lines[index].as_bytes());
        ledger
    }

    /// Sets the text of one entry, and recomputes its hash.
    pub(crate) fn with_line(mut self, index: usize, line: String) -> Self {
        self.hashes[index] = leaf_hash(line.as_bytes());
        self.lines[index] = line;
        self
    }

    /// Five entries, two of them of a newer version: entry 2 has an unknown kind, and entry 3 an unknown schema.
    pub(crate) fn of_a_newer_build() -> Self {
        let ledger = Self::of(5);
        let newer = with_schema_2(&ledger.lines[3]);
        ledger.with_line(2, INVENTED.to_owned()).with_line(3, newer)
    }

    /// The ledger when it had only this number of entries.
    pub(crate) fn first(&self, count: usize) -> Self {
        let mut ledger = self.clone();
        ledger.lines.truncate(count);
        ledger.hashes.truncate(count);
        ledger
    }

    pub(crate) fn vkey(&self) -> String {
        self.key.verifier_key().to_string()
    }

    pub(crate) fn root(&self) -> Hash {
        let mut tree = Frontier::default();
        self.hashes.iter().for_each(|hash| tree.append(*hash));
        tree.root()
    }

    /// The signed checkpoint.
    pub(crate) fn note(&self) -> String {
        let checkpoint = Checkpoint {
            origin: format!("{NAME}/{}", self.account),
            size: self.lines.len() as u64,
            root: self.root(),
        };
        checkpoint.sign(&self.key).unwrap().to_string()
    }

    pub(crate) fn checkpoint(&self) -> sharewarden::proto::v1::Checkpoint {
        sharewarden::proto::v1::Checkpoint {
            account_id: self.account.to_string(),
            origin: format!("{NAME}/{}", self.account),
            tree_size: self.lines.len() as u64,
            root_hash: self.root().to_vec(),
            note: self.note(),
            sign_time: None,
        }
    }

    /// The export of all entries.
    pub(crate) fn export(&self) -> String {
        self.export_from(0)
    }

    /// The export of the entries from `start`.
    pub(crate) fn export_from(&self, start: usize) -> String {
        let mut left = Frontier::default();
        self.hashes[..start].iter().for_each(|hash| left.append(*hash));
        let header = Header {
            account: self.account,
            start_index: start as u64,
            end_index: self.lines.len() as u64,
            checkpoint: self.note(),
            left_hashes: left.hashes().to_vec(),
            consistency_proof: Vec::new(),
        };
        let mut text = String::new();
        let mut writer = ExportWriter::begin(&header, &mut text).unwrap();
        for (line, hash) in self.lines.iter().zip(&self.hashes).skip(start) {
            writer.entry(line, hash, &mut text).unwrap();
        }
        // The set of the example is the only one.
        for digest in writer.policy_sets() {
            let set = PolicySetText {
                digest,
                text: example::EXAMPLE_SET.into(),
            };
            writer.policy_set(&set, &mut text).unwrap();
        }
        text
    }

    /// The messages of the export, with a few entries each.
    pub(crate) fn messages(&self) -> Vec<ExportAuditEntriesResponse> {
        let header = Part::Header(ExportHeader {
            checkpoint: Some(self.checkpoint()),
            start_index: 0,
            end_index: self.lines.len() as u64,
            ..ExportHeader::default()
        });
        let lines = self.lines.chunks(3).zip(self.hashes.chunks(3)).enumerate();
        let lines = lines.map(|(at, (lines, hashes))| {
            Part::Lines(ExportLines {
                start_index: at as u64 * 3,
                lines: lines.to_vec(),
                leaf_hashes: hashes.as_flattened().to_vec(),
            })
        });
        let parts = std::iter::once(header).chain(lines);
        parts
            .map(|part| ExportAuditEntriesResponse { part: Some(part) })
            .collect()
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::Export(Streamed::ending(self.messages()))
    }

    /// An entry as an API message. It has no body if the kind or the schema is unknown.
    pub(crate) fn entry(&self, index: usize) -> AuditEntry {
        let text: Value = serde_json::from_str(&self.lines[index]).unwrap();
        let kind = text["kind"].as_str().unwrap();
        let schema = text["schema"].as_u64().unwrap() as u32;
        let is_known = kind.starts_with("change.") && schema == 1;
        AuditEntry {
            account_id: self.account.to_string(),
            log_index: index as u64,
            record_time: Some(pbjson_types::Timestamp {
                seconds: 1_767_323_045 + index as i64,
                nanos: 250_000_000,
            }),
            kind: kind.to_owned(),
            schema,
            server_version: text["server_version"].as_str().unwrap().to_owned(),
            canonical: self.lines[index].clone(),
            leaf_hash: self.hashes[index].to_vec(),
            body: is_known.then(|| audit_entry::Body::Change(change_body(index))),
        }
    }

    pub(crate) fn inclusion(&self, index: u64) -> GetInclusionProofResponse {
        let size = self.lines.len() as u64;
        let tiles: Tiles = [(TileId { level: 0, index: 0 }, self.hashes.clone())].into();
        let path = proof::inclusion(index, size, &tiles).unwrap();
        GetInclusionProofResponse {
            log_index: index,
            tree_size: size,
            leaf_hash: self.hashes[index as usize].to_vec(),
            hashes: path.iter().map(|hash| hash.to_vec()).collect(),
            root_hash: self.root().to_vec(),
            checkpoint: Some(self.checkpoint()),
        }
    }
}

/// Entry 2 of [`Ledger::of_a_newer_build`]. Its body has some known members. The `reason` has another JSON type, and `actors` and
/// `zone` are unknown.
pub(crate) const INVENTED: &str = "{\"account_id\":\"012345678901\",\"body\":{\"action\":\"MERGE\",\"actors\":[\"a\",{\"b\":null}],\
    \"change_id\":\"00000000-0000-0000-0000-00000000000c\",\"generation\":9,\"image_id\":\"wsi-9999999999\",\
    \"principal\":\"carol\",\"reason\":{\"text\":\"why\"},\"region\":\"us-east-1\",\"shared_account_id\":\"888888888888\",\
    \"ticket\":\"OPS-9\",\"zone\":\"a\"},\"kind\":\"test.invented\",\"log_index\":2,\"recorded_at\":\"2026-01-02T03:04:07.250000Z\",\
    \"schema\":1,\"server_version\":\"9.0.0\"}";

/// The line in schema 2 of its kind: `previous` has another JSON type, and `zone` is new.
fn with_schema_2(line: &str) -> String {
    line.replace(
        "\"principal\":\"alice\"",
        "\"previous\":{\"access\":\"SHARED\"},\"principal\":\"alice\"",
    )
    .replace(
        "\"shared_account_id\":\"999999999999\"",
        "\"shared_account_id\":\"999999999999\",\"zone\":\"a\"",
    )
    .replace("\"schema\":1", "\"schema\":2")
    .replace("\"server_version\":\"0.1.0\"", "\"server_version\":\"9.0.0\"")
}

/// The body of an entry as an API message.
pub(crate) fn change_body(index: usize) -> sharewarden::proto::v1::ChangeBody {
    sharewarden::proto::v1::ChangeBody {
        action: sharewarden::proto::v1::Action::Grant.into(),
        cause: sharewarden::proto::v1::Cause::Caller.into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        principal: "alice".into(),
        reason: format!("reason {index}"),
        change_id: Uuid::from_u128(index as u128 + 1).to_string(),
        request_id: Uuid::from_u128(index as u128 + 1).to_string(),
        generation: index as u64 + 1,
        authentication: Some(sharewarden::proto::v1::Authentication {
            credentials: vec![sharewarden::proto::v1::CredentialKind::TrustedHeader.into()],
            claims: vec![claim("groups", &["platform"]), claim("team", &[])],
        }),
        decision: Some(decision()),
        ..sharewarden::proto::v1::ChangeBody::default()
    }
}

/// A claim of the example as an API message.
fn claim(name: &str, values: &[&str]) -> sharewarden::proto::v1::Claim {
    sharewarden::proto::v1::Claim {
        name: name.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        unusable: String::new(),
    }
}

/// The example of a decision as an API message.
fn decision() -> sharewarden::proto::v1::Decision {
    let seconds = |seconds, nanos| pbjson_types::Timestamp { seconds, nanos };
    let decision = example::decision();
    sharewarden::proto::v1::Decision {
        decide_time: Some(seconds(1_795_331_099, 123_456_000)),
        policy_set: decision.policy_set.to_string(),
        policies: vec!["pipelines-share".into()],
        image: Some(sharewarden::proto::v1::ImageAttributes {
            create_time: Some(seconds(1_793_491_200, 0)),
            name: "Base 11".into(),
            operating_system: "WINDOWS".into(),
            required_tenancy: "DEFAULT".into(),
            state: "AVAILABLE".into(),
        }),
        tags: [("release".to_owned(), "approved".to_owned())].into(),
        unknown: String::new(),
    }
}

/// The body of an entry of a change.
pub(crate) fn change_of(entry: &mut AuditEntry) -> &mut sharewarden::proto::v1::ChangeBody {
    match &mut entry.body {
        Some(audit_entry::Body::Change(change)) => change,
        other => panic!("not a change: {other:?}"),
    }
}

fn line(account: AccountId, index: u64, reason: &str) -> String {
    let mut intent = Intent {
        change_id: ChangeId(Uuid::from_u128(u128::from(index) + 1)),
        request_id: RequestId(Uuid::from_u128(u128::from(index) + 1)),
        key: PermissionKey {
            account,
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-0123456789".parse().unwrap(),
            shared_account: "999999999999".parse().unwrap(),
        },
        principal: "alice".parse().unwrap(),
        ..example::intent()
    };
    intent.justification.reason = reason.parse().unwrap();
    let entry = Entry {
        account,
        log_index: index,
        recorded_at: Timestamp::parse(&format!("2026-01-02T03:04:{:02}.250000Z", 5 + index % 50)).unwrap(),
        body: EntryBody::ChangeRequested(ChangeBody {
            intent: Arc::new(intent),
            generation: Some(index + 1),
            previous: None,
            previous_basis: None,
            attempts: Vec::new(),
            failure: None,
            denied_by: None,
        }),
    };
    encode(&entry, "0.1.0").unwrap()
}
