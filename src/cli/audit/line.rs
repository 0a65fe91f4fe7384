//! Reads the canonical text of an entry. What a newer service adds is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::cli::failure::{Exit, Failure};
use crate::cli::table::Cells;
use crate::domain::Kind;
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
    pub(super) fn known(&self) -> Option<Kind> {
        Kind::parse(&self.kind).filter(|kind| u64::from(kind.schema()) == self.schema)
    }

    /// Its line in CSV, of lists and of exports.
    pub(super) fn record(self, leaf_hash: &[u8]) -> Cells {
        let body = self.body;
        vec![
            ("account_id", self.account_id),
            ("log_index", self.log_index.to_string()),
            ("recorded_at", self.recorded_at),
            ("kind", self.kind),
            ("schema", self.schema.to_string()),
            ("action", body.action),
            ("cause", body.cause),
            ("region", body.region),
            ("image_id", body.image_id),
            ("shared_account_id", body.shared_account_id),
            ("principal", body.principal),
            ("reason", body.reason),
            ("ticket", body.ticket.unwrap_or_default()),
            ("change_id", body.change_id.unwrap_or_default()),
            ("request_id", body.request_id),
            (
                "generation",
                body.generation.map_or_else(String::new, |number| number.to_string()),
            ),
            ("previous", body.previous.unwrap_or_default()),
            ("attempts", body.attempts.len().to_string()),
            ("aws_request_id", body.aws_request_id.unwrap_or_default()),
            ("error_reason", body.error_reason.unwrap_or_default()),
            ("error_code", body.error_code.unwrap_or_default()),
            ("error_message", body.error_message.unwrap_or_default()),
            ("denied_by", body.denied_by.unwrap_or_default()),
            ("trace_id", body.trace_id.unwrap_or_default()),
            ("server_version", self.server_version),
            ("leaf_hash", hex(leaf_hash)),
        ]
    }
}

impl Members {
    /// A member that has another JSON type in the body of a newer kind is left out.
    fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_else(|_| {
            let mut members: Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
            members.retain(|name, value| {
                let alone = Map::from_iter([(name.clone(), value.clone())]);
                Self::deserialize(Value::Object(alone)).is_ok()
            });
            Self::deserialize(Value::Object(members)).unwrap_or_default()
        })
    }
}
