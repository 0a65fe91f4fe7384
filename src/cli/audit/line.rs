//! Reads the canonical text of an entry. What a newer service adds is passed over.

use serde::Deserialize;

use crate::cli::failure::{Exit, Failure};
use crate::ledger::merkle::hex;

/// The members of the text.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) account_id: String,
    pub(super) log_index: u64,
    pub(super) recorded_at: String,
    pub(super) stage: String,
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
    pub(super) error: Option<ErrorLine>,
    pub(super) denied_by: Option<String>,
    pub(super) trace_id: Option<String>,
    pub(super) server_version: String,
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

/// Why a change failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorLine {
    pub(super) reason: String,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// The columns of an entry in CSV, of lists and of exports.
pub(super) const COLUMNS: &[&str] = &[
    "account_id",
    "log_index",
    "recorded_at",
    "stage",
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
        serde_json::from_str(canonical).map_err(|error| {
            let what = format!("the canonical text of an entry cannot be read: {error}");
            Failure::new(Exit::General, what, "use a client as new as the service")
        })
    }

    /// The AWS request id of the last call.
    pub(super) fn aws_request_id(&self) -> Option<&str> {
        self.attempts.last()?.aws_request_id.as_deref()
    }

    /// Its line in CSV: see [`COLUMNS`].
    pub(super) fn record(self, leaf_hash: &[u8]) -> Vec<String> {
        let aws_request_id = self.aws_request_id().unwrap_or_default().to_owned();
        let error = self.error.unwrap_or_default();
        vec![
            self.account_id,
            self.log_index.to_string(),
            self.recorded_at,
            self.stage,
            self.action,
            self.cause,
            self.region,
            self.image_id,
            self.shared_account_id,
            self.principal,
            self.reason,
            self.ticket.unwrap_or_default(),
            self.change_id.unwrap_or_default(),
            self.request_id,
            self.generation.map_or_else(String::new, |number| number.to_string()),
            self.previous.unwrap_or_default(),
            self.attempts.len().to_string(),
            aws_request_id,
            error.reason,
            error.code.unwrap_or_default(),
            error.message.unwrap_or_default(),
            self.denied_by.unwrap_or_default(),
            self.trace_id.unwrap_or_default(),
            self.server_version,
            hex(leaf_hash),
        ]
    }
}
