//! `audit_entry`: lines are only ever added.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{domain::Entry, ledger::Hash};

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
    pub(in crate::store) stages: Vec<&'a str>,
    pub(in crate::store) actions: Vec<&'a str>,
    pub(in crate::store) causes: Vec<&'a str>,
    pub(in crate::store) changes: Vec<Option<Uuid>>,
    pub(in crate::store) requests: Vec<Uuid>,
    pub(in crate::store) principals: Vec<&'a str>,
    pub(in crate::store) reasons: Vec<&'a str>,
    pub(in crate::store) tickets: Vec<Option<&'a str>>,
    pub(in crate::store) regions: Vec<&'a str>,
    pub(in crate::store) images: Vec<&'a str>,
    pub(in crate::store) shared: Vec<&'a str>,
    pub(in crate::store) generations: Vec<Option<i64>>,
    pub(in crate::store) aws_requests: Vec<Option<&'a str>>,
    pub(in crate::store) errors: Vec<Option<&'a str>>,
    pub(in crate::store) hashes: Vec<&'a [u8]>,
    pub(in crate::store) texts: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    pub(in crate::store) fn of(lines: &'a [Line<'a>]) -> Self {
        let mut columns = Self::default();
        for Line { entry, text, leaf_hash } in lines {
            let (intent, key) = (&entry.intent, &entry.intent.key);
            columns.accounts.push(key.account.as_str());
            columns.indexes.push(bigint(entry.log_index));
            columns.times.push(entry.recorded_at.to_offset_date_time());
            columns.stages.push(entry.stage.as_str());
            columns.actions.push(intent.action.as_str());
            columns.causes.push(intent.cause.as_str());
            columns.changes.push(entry.generation.map(|_| intent.change_id.0));
            columns.requests.push(intent.request_id.0);
            columns.principals.push(intent.principal.as_str());
            columns.reasons.push(intent.reason.as_str());
            columns
                .tickets
                .push(intent.ticket.as_ref().map(|ticket| ticket.as_str()));
            columns.regions.push(key.region.as_str());
            columns.images.push(key.image.as_str());
            columns.shared.push(key.shared_account.as_str());
            columns.generations.push(entry.generation.map(bigint));
            let last = entry.attempts.last();
            columns
                .aws_requests
                .push(last.and_then(|attempt| attempt.aws_request_id.as_deref()));
            let failure = entry.failure.as_ref();
            columns.errors.push(failure.map(|failure| failure.reason.as_str()));
            columns.hashes.push(leaf_hash);
            columns.texts.push(text);
        }
        columns
    }
}
