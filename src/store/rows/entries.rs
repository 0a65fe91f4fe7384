//! `audit_entry`: lines are only ever added.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{domain::Entry, ledger::Hash, store::StoreError};

use super::bigint;

/// An entry with its canonical text and the hash of it.
pub(in crate::store) struct Line<'a> {
    pub(in crate::store) entry: &'a Entry,
    pub(in crate::store) text: String,
    pub(in crate::store) leaf_hash: Hash,
}

/// Adds lines.
pub(in crate::store) async fn append(connection: &mut PgConnection, lines: &[Line<'_>]) -> Result<(), StoreError> {
    let entries = || lines.iter().map(|line| line.entry);
    let intents = || entries().map(|entry| &entry.intent);
    let accounts: Vec<_> = intents().map(|intent| intent.key.account.to_string()).collect();
    let indexes: Vec<_> = entries().map(|entry| bigint(entry.log_index)).collect();
    let times: Vec<OffsetDateTime> = entries().map(|entry| entry.recorded_at.to_offset_date_time()).collect();
    let stages: Vec<_> = entries().map(|entry| entry.stage.as_str().to_owned()).collect();
    let actions: Vec<_> = intents().map(|intent| intent.action.as_str().to_owned()).collect();
    let causes: Vec<_> = intents().map(|intent| intent.cause.as_str().to_owned()).collect();
    let changes: Vec<Option<Uuid>> = entries()
        .map(|entry| entry.generation.map(|_| entry.intent.change_id.0))
        .collect();
    let requests: Vec<_> = intents().map(|intent| intent.request_id.0).collect();
    let principals: Vec<_> = intents().map(|intent| intent.principal.to_string()).collect();
    let reasons: Vec<_> = intents().map(|intent| intent.reason.to_string()).collect();
    let tickets: Vec<_> = intents()
        .map(|intent| intent.ticket.as_ref().map(ToString::to_string))
        .collect();
    let regions: Vec<_> = intents().map(|intent| intent.key.region.to_string()).collect();
    let images: Vec<_> = intents().map(|intent| intent.key.image.to_string()).collect();
    let shared: Vec<_> = intents().map(|intent| intent.key.shared_account.to_string()).collect();
    let generations: Vec<_> = entries().map(|entry| entry.generation.map(bigint)).collect();
    let aws_requests: Vec<_> = entries()
        .map(|entry| entry.attempts.last().and_then(|attempt| attempt.aws_request_id.clone()))
        .collect();
    let errors: Vec<_> = entries()
        .map(|entry| entry.failure.as_ref().map(|failure| failure.reason.as_str().to_owned()))
        .collect();
    let hashes: Vec<_> = lines.iter().map(|line| line.leaf_hash.to_vec()).collect();
    let texts: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
    let saved = sqlx::query!(
        "INSERT INTO audit_entry (account_id, log_index, recorded_at, stage, action, cause, change_id, request_id, principal,
             reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, leaf_hash, entry)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[],
             $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[],
             $16::text[], $17::text[], $18::bytea[], $19::text[])",
        &accounts,
        &indexes,
        &times,
        &stages,
        &actions,
        &causes,
        &changes as &[Option<Uuid>],
        &requests,
        &principals,
        &reasons,
        &tickets as &[Option<String>],
        &regions,
        &images,
        &shared,
        &generations as &[Option<i64>],
        &aws_requests as &[Option<String>],
        &errors as &[Option<String>],
        &hashes,
        &texts,
    )
    .execute(connection)
    .await?;
    super::expect_rows("audit_entry", saved.rows_affected(), lines.len())
}
