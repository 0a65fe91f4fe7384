//! Collects ledgers and checkpoints, as an auditor would.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sharewarden::{
    domain::{AccountId, PolicyDigest},
    ledger::{Hash, export::Header, key::VerifierKey, verify::LedgerVerifier},
};
use sharewarden_client::proto::v1::{
    ExportAuditEntriesRequest, ExportHeader, GetCheckpointRequest, GetPolicySetRequest,
    audit_service_client::AuditServiceClient, export_audit_entries_response::Part,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use super::{
    clients::{Channels, with_deadline},
    history::{ExportedLedger, ExportedLine, PolicyReplica},
    setup::ACCOUNTS,
};
use crate::stack::signing_key;

/// Notes of checkpoints by account.
pub type KeptCheckpoints = BTreeMap<String, Vec<String>>;

/// Maximum number of kept checkpoints for each account, spread over the trial.
const KEPT: usize = 32;

/// Maximum time for an export, and for a checkpoint.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps checkpoints during the trial.
pub async fn keep_checkpoints(channels: Channels, stop: CancellationToken) -> KeptCheckpoints {
    let mut kept = KeptCheckpoints::new();
    for at in 0.. {
        if stop.is_cancelled() {
            break;
        }
        for account in ACCOUNTS {
            let channel = channels[at % channels.len()].borrow().clone();
            if let Some(channel) = channel
                && let Ok((note, _)) = checkpoint(channel, account).await
            {
                let notes = kept.entry(account.into()).or_default();
                if notes.last() != Some(&note) {
                    notes.push(note);
                }
                if notes.len() > KEPT {
                    let mut index = 0;
                    notes.retain(|_| {
                        index += 1;
                        index % 2 == 1
                    });
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(700)) => {}
            () = stop.cancelled() => {}
        }
    }
    kept
}

/// The latest checkpoint of an account and its size.
async fn checkpoint(channel: Channel, account: &str) -> Result<(String, u64), Status> {
    let request = GetCheckpointRequest {
        account_id: account.into(),
        tree_size: 0,
    };
    let request = with_deadline(request, Duration::from_secs(2));
    let answer = AuditServiceClient::new(channel).get_checkpoint(request).await?;
    let checkpoint = answer.into_inner().checkpoint.unwrap();
    Ok((checkpoint.note, checkpoint.tree_size))
}

/// Exports and verifies an account's ledger, once a checkpoint covers `size` entries. What is wrong with it is in the result.
pub async fn ledger(channel: Channel, account: &str, size: u64, kept: &KeptCheckpoints) -> ExportedLedger {
    let covered = async {
        loop {
            match checkpoint(channel.clone(), account).await {
                Ok((_, covered)) if covered >= size => return,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let mut wrong = Vec::new();
    if tokio::time::timeout(TIMEOUT, covered).await.is_err() {
        wrong.push(format!("no checkpoint covers its {size} entries"));
    }
    let lines = match export(channel, account).await {
        Ok((header, lines)) => {
            let keys = [signing_key().verifier_key()];
            let kept = kept.get(account).into_iter().flatten().map(|note| Some(note.as_str()));
            for older in std::iter::once(None).chain(kept) {
                if let Err(fault) = verify(&header, &lines, &keys, older) {
                    wrong.push(format!("{fault} (older checkpoint: {older:?})"));
                }
            }
            lines
        }
        Err(status) => {
            wrong.push(format!("it cannot be exported: {}", status.message()));
            Vec::new()
        }
    };
    let mut ledger = ExportedLedger {
        account: account.into(),
        entries: Vec::new(),
        denials: Vec::new(),
        drift: Vec::new(),
        wrong,
    };
    for (line, _) in &lines {
        match ExportedLine::parse(line) {
            ExportedLine::Entry(entry) => ledger.entries.push(*entry),
            ExportedLine::Denials(denials) => ledger.denials.push(denials),
            ExportedLine::Drift(entry) => ledger.drift.push(entry),
        }
    }
    ledger
}

fn verify(header: &Header, lines: &[(String, Hash)], keys: &[VerifierKey], older: Option<&str>) -> Result<(), String> {
    let text = |wrong: sharewarden::ledger::verify::VerifyError| wrong.to_string();
    let mut verifier = LedgerVerifier::new(header, keys, older).map_err(text)?;
    verifier.entries(lines).map_err(text)?;
    let verified = verifier.finish().map_err(text)?;
    match verified.older.is_none_or(|older| older.is_prefix) {
        true => Ok(()),
        false => Err("the ledger does not extend the older checkpoint".into()),
    }
}

async fn export(channel: Channel, account: &str) -> Result<(Header, Vec<(String, Hash)>), Status> {
    let request = ExportAuditEntriesRequest {
        account_id: account.into(),
        ..Default::default()
    };
    let mut client = AuditServiceClient::new(channel);
    let mut stream = client
        .export_audit_entries(with_deadline(request, TIMEOUT))
        .await?
        .into_inner();
    let mut header = None;
    let mut lines = Vec::new();
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Part::Header(first)) => header = Some(read_header(account, &first)),
            Some(Part::Lines(more)) => {
                let hashes: &[Hash] = more.leaf_hashes.as_chunks().0;
                lines.extend(more.lines.into_iter().zip(hashes.iter().copied()));
            }
            None => {}
        }
    }
    Ok((header.expect("an export begins with its header"), lines))
}

fn read_header(account: &str, header: &ExportHeader) -> Header {
    let account: AccountId = account.parse().unwrap();
    let hashes = |bytes: &[Vec<u8>]| bytes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    Header {
        account,
        start_index: header.start_index,
        end_index: header.end_index,
        checkpoint: header.checkpoint.as_ref().unwrap().note.clone(),
        left_hashes: hashes(&header.left_hashes),
        consistency_proof: hashes(&header.consistency_proof),
    }
}

/// The texts of the sets that replicas had in force, by the digest of what was read. One that is not kept is missing.
pub async fn policy_texts(channel: Channel, replicas: &[PolicyReplica]) -> BTreeMap<String, String> {
    let events = replicas.iter().flat_map(|replica| &replica.events);
    let digests: BTreeSet<_> = events.filter_map(|event| event.kind.set()).collect();
    let mut texts = BTreeMap::new();
    for digest in digests {
        let request = GetPolicySetRequest {
            digest: digest.into(),
            start: 0,
        };
        let mut client = AuditServiceClient::new(channel.clone());
        if let Ok(part) = client.get_policy_set(with_deadline(request, TIMEOUT)).await {
            let part = part.into_inner();
            assert_eq!(part.next_start, 0, "a set of a trial has one part");
            texts.insert(PolicyDigest::of(&part.text).to_string(), part.text);
        }
    }
    texts
}
