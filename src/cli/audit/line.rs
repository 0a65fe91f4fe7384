//! Reads the canonical text of an entry. What a newer service adds is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::cli::failure::{Exit, Failure};
use crate::domain::EntryKind;
use crate::ledger::merkle::hex;

/// The members of the text.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) account_id: String,
    pub(super) log_index: u64,
    pub(super) recorded_at: String,
    pub(super) kind: String,
    pub(super) schema: u64,
    pub(super) server_version: String,
    /// The members of the body that this program has a name for.
    pub(super) body: Members,
}

/// The members of the text, with the body as it stands there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    account_id: String,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    kind: String,
    log_index: u64,
    recorded_at: String,
    schema: u64,
    server_version: String,
}

/// Members of bodies. Those of `change.*` kinds; a body of another kind may have some of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Members {
    pub(super) action: String,
    pub(super) cause: String,
    pub(super) change_id: Option<String>,
    pub(super) request_id: String,
    pub(super) principal: String,
    pub(super) reason: String,
    pub(super) ticket: Option<String>,
    pub(super) region: String,
    pub(super) image_id: String,
    pub(super) shared_account_id: String,
    pub(super) generation: Option<u64>,
    pub(super) previous: Option<String>,
    pub(super) attempts: Vec<AttemptLine>,
    pub(super) aws_request_id: Option<String>,
    pub(super) error_reason: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) denied_by: Option<String>,
    pub(super) trace_id: Option<String>,
}

/// A call to AWS.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AttemptLine {
    pub(super) operation: String,
    pub(super) started_at: String,
    pub(super) duration_us: u64,
    pub(super) classification: String,
    pub(super) aws_request_id: Option<String>,
    pub(super) error_code: Option<String>,
}

/// The columns of an entry in CSV, of lists and of exports.
pub(super) const COLUMNS: &[&str] = &[
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
    "reason",
    "ticket",
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
    "trace_id",
    "server_version",
    "leaf_hash",
];

impl Line {
    pub(super) fn parse(canonical: &str) -> Result<Self, Failure> {
        let envelope: Envelope<'_> = serde_json::from_str(canonical).map_err(|error| {
            let what = format!("the canonical text of an entry cannot be read: {error}");
            Failure::new(Exit::General, what, "use a client as new as the service")
        })?;
        Ok(Self {
            account_id: envelope.account_id,
            log_index: envelope.log_index,
            recorded_at: envelope.recorded_at,
            kind: envelope.kind,
            schema: envelope.schema,
            server_version: envelope.server_version,
            body: envelope.body.map(|body| Members::read(body.get())).unwrap_or_default(),
        })
    }

    /// The kind, if this program knows it with this schema.
    pub(super) fn known(&self) -> Option<EntryKind> {
        EntryKind::parse(&self.kind).filter(|kind| u64::from(kind.schema()) == self.schema)
    }

    /// Its line in CSV: see [`COLUMNS`].
    pub(super) fn record(self, leaf_hash: &[u8]) -> Vec<String> {
        let body = self.body;
        vec![
            self.account_id,
            self.log_index.to_string(),
            self.recorded_at,
            self.kind,
            self.schema.to_string(),
            body.action,
            body.cause,
            body.region,
            body.image_id,
            body.shared_account_id,
            body.principal,
            body.reason,
            body.ticket.unwrap_or_default(),
            body.change_id.unwrap_or_default(),
            body.request_id,
            body.generation.map_or_else(String::new, |number| number.to_string()),
            body.previous.unwrap_or_default(),
            body.attempts.len().to_string(),
            body.aws_request_id.unwrap_or_default(),
            body.error_reason.unwrap_or_default(),
            body.error_code.unwrap_or_default(),
            body.error_message.unwrap_or_default(),
            body.denied_by.unwrap_or_default(),
            body.trace_id.unwrap_or_default(),
            self.server_version,
            hex(leaf_hash),
        ]
    }
}

impl Members {
    /// A member that has another JSON type in the body of a newer kind is left out.
    fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_else(|_| {
            let members: Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
            let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
            let required = |name: &str| text(name).unwrap_or_default();
            Self {
                action: required("action"),
                cause: required("cause"),
                change_id: text("change_id"),
                request_id: required("request_id"),
                principal: required("principal"),
                reason: required("reason"),
                ticket: text("ticket"),
                region: required("region"),
                image_id: required("image_id"),
                shared_account_id: required("shared_account_id"),
                generation: members.get("generation").and_then(Value::as_u64),
                previous: text("previous"),
                attempts: members
                    .get("attempts")
                    .and_then(|attempts| serde_json::from_value(attempts.clone()).ok())
                    .unwrap_or_default(),
                aws_request_id: text("aws_request_id"),
                error_reason: text("error_reason"),
                error_code: text("error_code"),
                error_message: text("error_message"),
                denied_by: text("denied_by"),
                trace_id: text("trace_id"),
            }
        })
    }
}
