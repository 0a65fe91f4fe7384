//! An entry as a row of a table, as a CSV record and as a table with one line for each field.

use super::canonical::CanonicalEntry;
use crate::{
    cli::{
        cell::{Cell, TableRow},
        cloud_trail::event_rows,
        ends,
        failure::Failure,
        format::{access, action, cause, difference, drift_resolution},
        justification,
        printer::ListItem,
        render,
        table::{self, Cells},
        text::one_line,
        view::View,
    },
    domain::{EntryKind, entry::decode},
    ledger::merkle::hex,
    proto::v1::{
        AuditEntry, ChangeBody, CheckpointConfirmedBody, DenialsBody, DriftBaselineBody, DriftFoundBody,
        DriftObservedBody, DriftResolvedBody, audit_entry::Body,
    },
};

impl ListItem for AuditEntry {
    const NAME: &'static str = "entries";

    const DISPENSABLE: &'static [&'static str] = &[
        "ENDS",
        "REGION",
        "REASON",
        "RECIPIENT",
        "ACTION",
        "PRINCIPAL",
        "IMAGE",
        "ACCOUNT",
    ];

    fn row(&self) -> TableRow {
        // Read from the text, which has these members even if this program does not know the kind.
        let body = CanonicalEntry::parse(&self.canonical).unwrap_or_default().body;
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("INDEX", self.log_index.to_string().into()),
            ("RECORDED", Cell::Time(self.record_time)),
            ("KIND", Cell::State(kind(self))),
            ("ACTION", one_line(body.text("action")).into()),
            ("REGION", one_line(body.text("region")).into()),
            ("IMAGE", Cell::Id(one_line(body.text("image_id")))),
            ("RECIPIENT", one_line(body.text("shared_account_id")).into()),
            ("PRINCIPAL", Cell::Text(one_line(body.text("principal")))),
            ("REASON", Cell::Text(one_line(body.text("reason")))),
            ("ENDS", Cell::Time(body.time("expire_time"))),
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

/// All fields of one entry, its calls to AWS, and the text that its hash covers, each under a heading.
pub(super) fn entry(entry: &AuditEntry, view: &View) -> String {
    let mut rows = vec![
        ("Account", one_line(&entry.account_id).into()),
        ("Index", entry.log_index.to_string().into()),
        ("Recorded at", Cell::Moment(entry.record_time)),
        ("Kind", Cell::State(kind(entry))),
        ("Meaning", Cell::Text(meaning(entry).into())),
    ];
    let mut calls = String::new();
    match entry.body.as_ref().filter(|_| known_kind(entry).is_some()) {
        Some(Body::Change(change)) => {
            rows.extend(change_rows(change));
            calls = render::attempts(&change.attempts, view);
        }
        Some(Body::Denials(denials)) => rows.extend(denials_rows(denials)),
        Some(Body::CheckpointConfirmed(confirmed)) => rows.extend(confirmation_rows(confirmed)),
        Some(Body::DriftFound(found)) => rows.extend(drift_rows(found)),
        Some(Body::DriftResolved(resolved)) => rows.extend(resolved_drift_rows(resolved)),
        Some(Body::DriftBaseline(baseline)) => rows.extend(baseline_rows(baseline)),
        Some(Body::DriftObserved(observed)) => rows.extend(observed_rows(observed)),
        None => {}
    }
    rows.extend([
        ("Server version", one_line(&entry.server_version).into()),
        ("Leaf hash", hex(&entry.leaf_hash).into()),
    ]);
    let mut text = table::pairs(rows, view);
    if !calls.is_empty() {
        text.push_str("\nCalls to AWS");
        text.push_str(&calls);
    }
    // Not wrapped, because the hash covers exactly this text.
    text.push_str(&format!(
        "\nText that the leaf hash covers\n{}\n",
        one_line(&entry.canonical)
    ));
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

fn denials_rows(denials: &DenialsBody) -> TableRow {
    let principal = match &*denials.principal {
        "" => "several".to_owned(),
        principal => one_line(principal),
    };
    vec![
        ("Principal", principal.into()),
        ("Denials", denials.count.to_string().into()),
        ("First denial at", Cell::Moment(denials.first_time)),
        ("Last denial at", Cell::Moment(denials.last_time)),
        ("Last denied by", one_line(&denials.denied_by).into()),
    ]
}

fn drift_rows(found: &DriftFoundBody) -> TableRow {
    vec![
        ("Difference", difference(found.difference).into()),
        ("Region", one_line(&found.region).into()),
        ("Image", one_line(&found.image_id).into()),
        ("Recipient", one_line(&found.shared_account_id).into()),
        ("First seen at", Cell::Moment(found.first_seen_time)),
        ("Seen again at", Cell::Moment(found.seen_time)),
        ("Scan", one_line(&found.scan_id).into()),
    ]
}

fn resolved_drift_rows(resolved: &DriftResolvedBody) -> TableRow {
    vec![
        ("Difference", difference(resolved.difference).into()),
        ("Resolution", drift_resolution(resolved.resolution).into()),
        ("Region", one_line(&resolved.region).into()),
        ("Image", one_line(&resolved.image_id).into()),
        ("Recipient", one_line(&resolved.shared_account_id).into()),
        ("Found in entry", resolved.found_index.to_string().into()),
        ("Change", one_line(&resolved.change_id).into()),
        ("Seen at", Cell::Moment(resolved.seen_time)),
        ("Scan", one_line(&resolved.scan_id).into()),
    ]
}

fn baseline_rows(baseline: &DriftBaselineBody) -> TableRow {
    let decision = match baseline.is_confirmed {
        true => "confirmed",
        false => "withdrawn",
    };
    let mut rows = vec![
        ("Baseline", decision.to_owned().into()),
        ("Principal", one_line(&baseline.principal).into()),
    ];
    rows.extend(justification::rows(baseline));
    rows
}

fn observed_rows(observed: &DriftObservedBody) -> TableRow {
    let mut rows = vec![
        ("Access", access(observed.access).into()),
        ("Region", one_line(&observed.region).into()),
        ("Image", one_line(&observed.image_id).into()),
        ("Recipient", one_line(&observed.shared_account_id).into()),
    ];
    rows.extend(observed.event.iter().flat_map(event_rows));
    rows
}

fn confirmation_rows(confirmed: &CheckpointConfirmedBody) -> TableRow {
    let mut rows = vec![("Operator", one_line(&confirmed.operator).into())];
    rows.extend(justification::rows(confirmed));
    rows.extend([
        ("Tree size", confirmed.tree_size.to_string().into()),
        ("Root hash", hex(&confirmed.root_hash).into()),
    ]);
    rows
}

fn change_rows(change: &ChangeBody) -> TableRow {
    let mut rows = vec![
        ("Action", action(change.action).into()),
        ("Region", one_line(&change.region).into()),
        ("Image", one_line(&change.image_id).into()),
        ("Recipient", one_line(&change.shared_account_id).into()),
        ("Principal", one_line(&change.principal).into()),
        (
            "Credentials",
            render::credentials(change.authentication.as_ref()).into(),
        ),
        ("Claims", render::claims(change.authentication.as_ref()).into()),
    ];
    rows.extend(justification::rows(change));
    rows.extend([
        ("Cause", cause(change.cause).into()),
        ("Ends", Cell::Moment(change.expire_time)),
        (
            "Previous basis",
            ends::basis_text(change.previous_basis.as_ref()).into(),
        ),
        ("Change", one_line(&change.change_id).into()),
        ("Request id", one_line(&change.request_id).into()),
    ]);
    if change.generation > 0 {
        rows.push(("Generation", change.generation.to_string().into()));
        rows.push(("Previous", access(change.previous).into()));
    }
    rows.extend([
        (
            "Error",
            render::error(change.error_reason, &change.error_code, &change.error_message).into(),
        ),
        ("Denied by", one_line(&change.denied_by).into()),
    ]);
    rows.extend(render::decision(change.decision.as_ref()));
    rows.push(("Trace id", one_line(&change.trace_id).into()));
    rows
}
