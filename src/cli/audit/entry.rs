//! An entry as a row of a table, as a CSV record and as a table with one line for each field.

use super::canonical::CanonicalEntry;
use crate::{
    cli::{
        failure::Failure,
        format::{access, action, cause, rfc3339, rfc3339_seconds},
        justification,
        printer::ListItem,
        render,
        table::{self, Cells},
        text::one_line,
    },
    domain::{EntryKind, entry::decode},
    ledger::merkle::hex,
    proto::v1::{AuditEntry, ChangeBody, CheckpointConfirmedBody, DenialsBody, audit_entry::Body},
};

impl ListItem for AuditEntry {
    const NAME: &'static str = "entries";

    fn row(&self) -> Cells {
        // Read from the text, which has these members even if this program does not know the kind.
        let body = CanonicalEntry::parse(&self.canonical).unwrap_or_default().body;
        vec![
            ("ACCOUNT", one_line(&self.account_id)),
            ("INDEX", self.log_index.to_string()),
            ("RECORDED", rfc3339_seconds(self.record_time.as_ref())),
            ("KIND", kind(self)),
            ("ACTION", one_line(body.text("action"))),
            ("REGION", one_line(body.text("region"))),
            ("IMAGE", one_line(body.text("image_id"))),
            ("RECIPIENT", one_line(body.text("shared_account_id"))),
            ("PRINCIPAL", one_line(body.text("principal"))),
            ("REASON", one_line(body.text("reason"))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        Ok(CanonicalEntry::parse(&self.canonical)?.record(&self.leaf_hash))
    }

    fn blank() -> Self {
        Self {
            canonical: "{}".to_owned(),
            ..Self::default()
        }
    }
}

/// The kind, with a label if this program does not know it.
fn kind(entry: &AuditEntry) -> String {
    let name = one_line(&entry.kind);
    match EntryKind::parse(&entry.kind) {
        Some(_) if known_kind(entry).is_some() => name,
        Some(kind) if kind.schema() == entry.schema => format!("{name} (unknown value)"),
        Some(_) => format!("{name} (unknown schema {})", entry.schema),
        None => format!("{name} (unknown)"),
    }
}

/// All fields of one entry.
pub(super) fn entry(entry: &AuditEntry, width: Option<u16>) -> String {
    let mut rows = vec![
        ("Account", one_line(&entry.account_id)),
        ("Index", entry.log_index.to_string()),
        ("Recorded", rfc3339(entry.record_time.as_ref())),
        ("Kind", kind(entry)),
        ("Meaning", meaning(entry).into()),
    ];
    let mut attempts = String::new();
    match entry.body.as_ref().filter(|_| known_kind(entry).is_some()) {
        Some(Body::Change(change)) => {
            rows.extend(change_rows(change));
            attempts = render::attempts(&change.attempts, width);
        }
        Some(Body::Denials(denials)) => rows.extend(denials_rows(denials)),
        Some(Body::CheckpointConfirmed(confirmed)) => rows.extend(confirmation_rows(confirmed)),
        _ => {}
    }
    rows.extend([
        ("Server version", one_line(&entry.server_version)),
        ("Leaf hash", hex(&entry.leaf_hash)),
    ]);
    let mut text = table::pairs(rows, width);
    text.push_str(&attempts);
    text
}

/// The kind, if this program knows it, its schema and all values of the body. Read from the text, because the service may be
/// older than this program.
fn known_kind(entry: &AuditEntry) -> Option<EntryKind> {
    let kind = EntryKind::parse(&entry.kind).filter(|kind| kind.schema() == entry.schema)?;
    match decode(&entry.canonical) {
        Ok(recorded) => recorded.entry.body.kind(),
        Err(_) => Some(kind),
    }
}

fn meaning(entry: &AuditEntry) -> &'static str {
    match known_kind(entry) {
        Some(kind) => kind.description(),
        None => "This version does not know this kind or schema. The text is below.",
    }
}

fn denials_rows(denials: &DenialsBody) -> Cells {
    let principal = match &*denials.principal {
        "" => "several".to_owned(),
        principal => one_line(principal),
    };
    vec![
        ("Principal", principal),
        ("Count", denials.count.to_string()),
        ("First", rfc3339(denials.first_time.as_ref())),
        ("Last", rfc3339(denials.last_time.as_ref())),
        ("Last denied by", one_line(&denials.denied_by)),
    ]
}

fn confirmation_rows(confirmed: &CheckpointConfirmedBody) -> Cells {
    let mut rows = vec![("Operator", one_line(&confirmed.operator))];
    rows.extend(justification::rows(confirmed));
    rows.extend([
        ("Tree size", confirmed.tree_size.to_string()),
        ("Root hash", hex(&confirmed.root_hash)),
    ]);
    rows
}

fn change_rows(change: &ChangeBody) -> Cells {
    let mut rows = vec![
        ("Action", action(change.action)),
        ("Region", one_line(&change.region)),
        ("Image", one_line(&change.image_id)),
        ("Recipient", one_line(&change.shared_account_id)),
        ("Principal", one_line(&change.principal)),
    ];
    rows.extend(justification::rows(change));
    rows.extend([
        ("Cause", cause(change.cause)),
        ("Change", one_line(&change.change_id)),
        ("Request id", one_line(&change.request_id)),
    ]);
    if change.generation > 0 {
        rows.push(("Generation", change.generation.to_string()));
        rows.push(("Previous", access(change.previous)));
    }
    rows.extend([
        (
            "Error",
            render::error(change.error_reason, &change.error_code, &change.error_message),
        ),
        ("Denied by", one_line(&change.denied_by)),
        ("Trace id", one_line(&change.trace_id)),
    ]);
    rows
}
