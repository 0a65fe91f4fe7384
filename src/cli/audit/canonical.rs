//! Parses the canonical text of an entry. Ignores members that a newer service added.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::{
        audit::time_arg::timestamp,
        failure::{Exit, Failure},
        justification,
        table::Cells,
    },
    domain::{Claims, Decision, EntryKind, PolicyId, Timestamp},
    ledger::merkle::hex,
};

/// The canonical text of an entry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CanonicalEntry {
    pub(super) account_id: String,
    pub(super) log_index: u64,
    pub(super) recorded_at: String,
    pub(super) kind: String,
    pub(super) schema: u64,
    pub(super) server_version: String,
    pub(super) body: CanonicalBody,
}

/// The body of an entry, as untyped JSON: the body of an unknown kind may have members that this program knows.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CanonicalBody(Value);

/// A call to AWS in the body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CanonicalAttempt {
    pub(super) operation: String,
    pub(super) started_at: String,
    pub(super) duration_us: u64,
    pub(super) classification: String,
    pub(super) aws_request_id: Option<String>,
    pub(super) error_code: Option<String>,
}

/// The CSV columns of an entry, in lists and exports. The columns not in [`CanonicalEntry::column`] are texts of the body.
const COLUMNS: &[&[&str]] = &[
    &[
        "account_id",
        "log_index",
        "recorded_at",
        "kind",
        "schema",
        "action",
        "cause",
        "region",
        "image_id",
        "shared_account_id",
        "principal",
    ],
    justification::NAMES,
    &[
        "change_id",
        "request_id",
        "generation",
        "previous",
        "attempts",
        "aws_request_id",
        "error_reason",
        "error_code",
        "error_message",
        "denied_by",
        "count",
        "first_at",
        "last_at",
        "trace_id",
        "credentials",
        "policies",
        "policy_set",
        "expire_time",
        "previous_basis_change_id",
        "previous_basis_expire_time",
        "server_version",
        "leaf_hash",
    ],
];

impl CanonicalEntry {
    pub(super) fn parse(canonical: &str) -> Result<Self, Failure> {
        serde_json::from_str(canonical).map_err(|error| {
            let what = format!("the canonical text of an entry cannot be read: {error}");
            Failure::new(Exit::General, what, "use a client as new as the service")
        })
    }

    /// The kind, if this program knows it and its schema.
    pub(super) fn known_kind(&self) -> Option<EntryKind> {
        EntryKind::parse(&self.kind).filter(|kind| u64::from(kind.schema()) == self.schema)
    }

    /// The CSV record: see [`COLUMNS`].
    pub(super) fn record(&self, leaf_hash: &[u8]) -> Cells {
        let columns = COLUMNS.iter().copied().flatten();
        columns.map(|name| (*name, self.column(name, leaf_hash))).collect()
    }

    fn column(&self, name: &str, leaf_hash: &[u8]) -> String {
        match name {
            "account_id" => self.account_id.clone(),
            "log_index" => self.log_index.to_string(),
            "recorded_at" => self.recorded_at.clone(),
            "kind" => self.kind.clone(),
            "schema" => self.schema.to_string(),
            "generation" | "count" => {
                let number = self.body.number(name);
                number.map_or_else(String::new, |number| number.to_string())
            }
            "credentials" => self.body.credentials().join(" "),
            "policies" => self.body.decision().map_or_else(String::new, |made| ids(&made)),
            "policy_set" => self
                .body
                .decision()
                .map_or_else(String::new, |made| made.policy_set.to_string()),
            "previous_basis_change_id" => self.body.previous_basis("change_id").to_owned(),
            "previous_basis_expire_time" => self.body.previous_basis("expire_time").to_owned(),
            "attempts" => self.body.attempts().len().to_string(),
            "server_version" => self.server_version.clone(),
            "leaf_hash" => hex(leaf_hash),
            name => self.body.text(name).to_owned(),
        }
    }
}

/// The ids of the policies that decided, with spaces between them.
fn ids(decision: &Decision) -> String {
    let ids: Vec<_> = decision.policies.iter().map(PolicyId::as_str).collect();
    ids.join(" ")
}

impl CanonicalBody {
    /// A text member; empty if it is absent or has another JSON type.
    pub(super) fn text(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_default()
    }

    /// A text member; `None` if it is absent or has another JSON type.
    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A member as it is.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    /// A value inside the body as it is, by its JSON pointer.
    pub(super) fn value_at(&self, pointer: &str) -> Option<Value> {
        self.0.pointer(pointer).cloned()
    }

    /// A number member; `None` if it is absent or has another JSON type.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// The kinds of credentials that named the caller. Empty if the body does not tell.
    pub(super) fn credentials(&self) -> Vec<&str> {
        let kinds = self.0.pointer("/authentication/credentials").and_then(Value::as_array);
        kinds.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The claims of the caller.
    pub(super) fn claims(&self) -> Claims {
        let claims = self.0.pointer("/authentication/claims");
        let claims = claims.and_then(|claims| Claims::deserialize(claims).ok());
        claims.unwrap_or_default()
    }

    /// The decision of the policy. None if the body has none.
    pub(super) fn decision(&self) -> Option<Decision> {
        Decision::deserialize(self.0.get("decision")?).ok()
    }

    /// A text member that is a time. None if it is absent or not a time.
    pub(super) fn time(&self, name: &str) -> Option<pbjson_types::Timestamp> {
        let time = Timestamp::parse(self.text(name))?;
        Some(timestamp(time.to_offset_date_time()))
    }

    /// A text member of the basis that a change replaced or ended; empty if it is absent.
    pub(super) fn previous_basis(&self, name: &str) -> &str {
        let member = self.0.get("previous_basis").and_then(|basis| basis.get(name));
        member.and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn attempts(&self) -> Vec<CanonicalAttempt> {
        let attempts = self.0.get("attempts");
        let attempts = attempts.and_then(|attempts| Vec::deserialize(attempts).ok());
        attempts.unwrap_or_default()
    }
}
