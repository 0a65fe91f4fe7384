//! `audit_entry`: lines are only ever added.

use std::borrow::Cow;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Entry, ShareEffect},
    ledger::Hash,
};

use super::bigint;

/// An entry with its canonical text and the hash of it.
pub(in crate::store) struct Line<'a> {
    pub(in crate::store) entry: &'a Entry,
    pub(in crate::store) text: String,
    pub(in crate::store) leaf_hash: Hash,
}

/// Lines, column by column.
#[derive(Default)]
pub(in crate::store) struct Lines<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) indexes: Vec<i64>,
    pub(in crate::store) times: Vec<OffsetDateTime>,
    pub(in crate::store) kinds: Vec<&'a str>,
    pub(in crate::store) actions: Vec<Option<Text<'a>>>,
    pub(in crate::store) causes: Vec<Option<Text<'a>>>,
    pub(in crate::store) changes: Vec<Option<Uuid>>,
    pub(in crate::store) requests: Vec<Option<Uuid>>,
    pub(in crate::store) principals: Vec<Option<Text<'a>>>,
    pub(in crate::store) reasons: Vec<Option<Text<'a>>>,
    pub(in crate::store) tickets: Vec<Option<Text<'a>>>,
    pub(in crate::store) regions: Vec<Option<Text<'a>>>,
    pub(in crate::store) images: Vec<Option<Text<'a>>>,
    pub(in crate::store) shared: Vec<Option<Text<'a>>>,
    pub(in crate::store) generations: Vec<Option<i64>>,
    pub(in crate::store) aws_requests: Vec<Option<Text<'a>>>,
    pub(in crate::store) errors: Vec<Option<Text<'a>>>,
    pub(in crate::store) ranked: Vec<bool>,
    pub(in crate::store) share_effects: Vec<Option<&'a str>>,
    pub(in crate::store) once: Vec<Option<&'static str>>,
    pub(in crate::store) hashes: Vec<&'a [u8]>,
    pub(in crate::store) texts: Vec<&'a str>,
}

/// A text that repeats a member of the body.
pub(in crate::store) type Text<'a> = Cow<'a, str>;

impl<'a> Lines<'a> {
    pub(in crate::store) fn of(lines: &'a [Line<'a>]) -> Self {
        let mut columns = Self::default();
        for Line { entry, text, leaf_hash } in lines {
            let repeated = entry.columns();
            columns.accounts.push(entry.account.as_str());
            columns.indexes.push(bigint(entry.log_index));
            columns.times.push(entry.recorded_at.to_offset_date_time());
            columns.kinds.push(entry.body.kind_name());
            columns.actions.push(repeated.action);
            columns.causes.push(repeated.cause);
            columns.changes.push(repeated.change_id);
            columns.requests.push(repeated.request_id);
            columns.principals.push(repeated.principal);
            columns.reasons.push(repeated.reason);
            columns.tickets.push(repeated.ticket);
            columns.regions.push(repeated.region);
            columns.images.push(repeated.image_id);
            columns.shared.push(repeated.shared_account_id);
            columns.generations.push(repeated.generation.map(bigint));
            columns.aws_requests.push(repeated.aws_request_id);
            columns.errors.push(repeated.error_reason);
            columns.ranked.push(entry.body.is_ranked());
            columns
                .share_effects
                .push(entry.body.share_effect().map(ShareEffect::as_str));
            columns.once.push(entry.body.once());
            columns.hashes.push(leaf_hash);
            columns.texts.push(text);
        }
        columns
    }
}
