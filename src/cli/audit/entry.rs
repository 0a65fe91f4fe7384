//! An entry as a row, as a line of CSV and as a table of its own.

use super::line::{COLUMNS, Line};
use crate::cli::failure::Failure;
use crate::cli::printer::Listed;
use crate::cli::render;
use crate::cli::table;
use crate::cli::text::{lines, one_line};
use crate::cli::words::{access, action, cause, moment, second, stage};
use crate::ledger::merkle::hex;
use crate::proto::v1::AuditEntry;

impl Listed for AuditEntry {
    const NAME: &'static str = "entries";
    const HEAD: &'static [&'static str] = &[
        "ACCOUNT",
        "INDEX",
        "RECORDED",
        "STAGE",
        "ACTION",
        "REGION",
        "IMAGE",
        "RECIPIENT",
        "PRINCIPAL",
        "REASON",
    ];
    const COLUMNS: &'static [&'static str] = COLUMNS;

    fn row(&self) -> Vec<String> {
        vec![
            one_line(&self.account_id),
            self.log_index.to_string(),
            second(self.record_time.as_ref()),
            stage(self.stage),
            action(self.action),
            one_line(&self.region),
            one_line(&self.image_id),
            one_line(&self.shared_account_id),
            one_line(&self.principal),
            one_line(&self.reason),
        ]
    }

    fn record(&self) -> Result<Vec<String>, Failure> {
        Ok(Line::parse(&self.canonical)?.record(&self.leaf_hash))
    }
}

/// Everything of one entry.
pub(super) fn entry(entry: &AuditEntry, width: Option<u16>) -> String {
    let mut rows = vec![
        ("Account", one_line(&entry.account_id)),
        ("Index", entry.log_index.to_string()),
        ("Recorded", moment(entry.record_time.as_ref())),
        ("Stage", stage(entry.stage)),
        ("Action", action(entry.action)),
        ("Region", one_line(&entry.region)),
        ("Image", one_line(&entry.image_id)),
        ("Recipient", one_line(&entry.shared_account_id)),
        ("Principal", one_line(&entry.principal)),
        ("Reason", lines(&entry.reason)),
        ("Ticket", one_line(&entry.ticket)),
        ("Cause", cause(entry.cause)),
        ("Change", one_line(&entry.change_id)),
        ("Request id", one_line(&entry.request_id)),
    ];
    if entry.generation > 0 {
        rows.push(("Generation", entry.generation.to_string()));
        rows.push(("Previous", access(entry.previous)));
    }
    rows.extend([
        (
            "Error",
            render::error(entry.error_reason, &entry.error_code, &entry.error_message),
        ),
        ("Denied by", one_line(&entry.denied_by)),
        ("Trace id", one_line(&entry.trace_id)),
        ("Server version", one_line(&entry.server_version)),
        ("Leaf hash", hex(&entry.leaf_hash)),
    ]);
    let mut text = table::pairs(rows, width);
    text.push_str(&render::attempts(&entry.attempts, width));
    text
}
