//! `audit_entry`: lines are only ever added.

use crate::{
    domain::{Entry, EntryColumns, ShareEffect},
    ledger::Hash,
};

use super::{
    bigint,
    table::{Bigint, Boolean, Bytea, Text, Timestamptz, Uuid},
};

/// An entry with its canonical text and the hash of it.
pub(in crate::store) struct Line<'a> {
    pub(in crate::store) entry: &'a Entry,
    /// The members of the body that columns repeat.
    pub(in crate::store) repeated: EntryColumns<'a>,
    pub(in crate::store) text: String,
    pub(in crate::store) leaf_hash: Hash,
}

super::table::rows! {
    /// Lines to be saved.
    rows Lines of line: &'a Line<'a>;
    account_id: Text = line.entry.account.as_str(),
    log_index: Bigint = bigint(line.entry.log_index),
    recorded_at: Timestamptz = line.entry.recorded_at.to_offset_date_time(),
    kind: Text = line.entry.body.kind_name(),
    action: Option<Text> = line.repeated.action.as_deref(),
    cause: Option<Text> = line.repeated.cause.as_deref(),
    change_id: Option<Uuid> = line.repeated.change_id,
    request_id: Option<Uuid> = line.repeated.request_id,
    principal: Option<Text> = line.repeated.principal.as_deref(),
    reason: Option<Text> = line.repeated.reason.as_deref(),
    ticket: Option<Text> = line.repeated.ticket.as_deref(),
    region: Option<Text> = line.repeated.region.as_deref(),
    image_id: Option<Text> = line.repeated.image_id.as_deref(),
    shared_account_id: Option<Text> = line.repeated.shared_account_id.as_deref(),
    generation: Option<Bigint> = line.repeated.generation.map(bigint),
    aws_request_id: Option<Text> = line.repeated.aws_request_id.as_deref(),
    error_reason: Option<Text> = line.repeated.error_reason.as_deref(),
    is_ranked: Boolean = line.entry.body.is_ranked(),
    share_effect: Option<Text> = line.entry.body.share_effect().map(ShareEffect::as_str),
    once: Option<Text> = line.entry.body.once(),
    leaf_hash: Bytea = line.leaf_hash.to_vec(),
    entry: Text = &line.text,
}
