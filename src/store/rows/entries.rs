//! `audit_entry`: rows are only inserted.

use crate::{
    domain::{Entry, EntryColumns, ShareEffect},
    ledger::Hash,
};

use super::{
    bigint,
    table::{Bigint, Boolean, Bytea, Text, Timestamptz, Uuid},
};

/// An entry with its canonical text and the leaf hash of that text.
pub(in crate::store) struct EncodedEntry<'a> {
    pub(in crate::store) entry: &'a Entry,
    /// The members of the body that are repeated in columns.
    pub(in crate::store) columns: EntryColumns<'a>,
    pub(in crate::store) text: String,
    pub(in crate::store) leaf_hash: Hash,
}

super::table::rows! {
    /// Entries to save.
    rows EncodedEntries of encoded: &'a EncodedEntry<'a>;
    account_id: Text = encoded.entry.account.as_str(),
    log_index: Bigint = bigint(encoded.entry.log_index),
    recorded_at: Timestamptz = encoded.entry.recorded_at.to_offset_date_time(),
    kind: Text = encoded.entry.body.kind_name(),
    action: Option<Text> = encoded.columns.action.as_deref(),
    cause: Option<Text> = encoded.columns.cause.as_deref(),
    change_id: Option<Uuid> = encoded.columns.change_id,
    request_id: Option<Uuid> = encoded.columns.request_id,
    principal: Option<Text> = encoded.columns.principal.as_deref(),
    reason: Option<Text> = encoded.columns.reason.as_deref(),
    ticket: Option<Text> = encoded.columns.ticket.as_deref(),
    region: Option<Text> = encoded.columns.region.as_deref(),
    image_id: Option<Text> = encoded.columns.image_id.as_deref(),
    shared_account_id: Option<Text> = encoded.columns.shared_account_id.as_deref(),
    generation: Option<Bigint> = encoded.columns.generation.map(bigint),
    aws_request_id: Option<Text> = encoded.columns.aws_request_id.as_deref(),
    error_reason: Option<Text> = encoded.columns.error_reason.as_deref(),
    is_ranked: Boolean = encoded.entry.body.is_ranked(),
    share_effect: Option<Text> = encoded.entry.body.share_effect().map(ShareEffect::as_str),
    once: Option<Text> = encoded.entry.body.once(),
    leaf_hash: Bytea = encoded.leaf_hash.to_vec(),
    entry: Text = &encoded.text,
}
