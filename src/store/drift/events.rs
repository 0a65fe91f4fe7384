//! Events of CloudTrail against what is on record: which are known, which changes can have made them, and which calls of the
//! service must have an event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::Duration,
};

use crate::{
    domain::{
        AccountId, Change, ChangeId, EventId, ReadEvent, Region, Timestamp, change::MAX_ATTEMPTS, trail::CandidateTimes,
    },
    store::{
        connection::Database,
        error::StoreError,
        rows::{changes::ChangeRow, table::select},
    },
};

/// A call is recorded in an entry this long before the time of its event at the earliest, because clocks differ.
const CLOCKS: Duration = Duration::from_mins(10);

/// The most changes of one permission that can have made a call. They follow one another, so there are few.
const MAX_CANDIDATES: i64 = 1000;

/// What is on record of some events.
#[derive(Debug, Default)]
pub struct OnRecord {
    /// Events that are recorded.
    pub events: BTreeSet<EventId>,
    /// AWS request ids of calls of the service.
    pub calls: BTreeSet<String>,
}

/// Reads which of these events are recorded, and which of their request ids are in entries of changes.
///
/// # Errors
/// When Postgres does not answer.
pub async fn on_record(
    database: &Database,
    account: AccountId,
    region: &Region,
    events: &[ReadEvent],
) -> Result<OnRecord, StoreError> {
    let Some(first) = events.iter().map(|read| read.event.at).min() else {
        return Ok(OnRecord::default());
    };
    let ids: Vec<_> = events.iter().map(|read| read.event.id.0).collect();
    let calls: Vec<_> = events.iter().filter_map(|read| read.aws_request_id.clone()).collect();
    let query = sqlx::query!(
        r#"SELECT event_id AS "event_id?", NULL AS "call?" FROM drift_event
         WHERE account_id = $1 AND region = $2 AND event_id = ANY ($3)
         UNION ALL SELECT NULL, aws_request_id FROM audit_entry
         WHERE aws_request_id = ANY ($4) AND account_id = $1 AND recorded_at >= $5"#,
        account.as_str(),
        region.as_str(),
        &ids,
        &calls,
        (first - CLOCKS).to_offset_date_time(),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let mut found = OnRecord::default();
    for row in rows {
        found.events.extend(row.event_id.map(EventId));
        found.calls.extend(row.call);
    }
    Ok(found)
}

/// Reads the changes of the event's permission that can have made the call: with its request id, with a call whose request id is
/// not known, or in progress.
///
/// # Errors
/// When Postgres does not answer.
pub async fn candidates(database: &Database, read: &ReadEvent) -> Result<Vec<Change>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        select::<ChangeRow>(
            "change
             WHERE EXISTS (
                     SELECT FROM share_permission
                     WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4)
                 AND account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4
                 AND created_at BETWEEN $5 AND $6 AND (ended_at IS NULL OR ended_at >= $7)
                 AND (ended_at IS NULL OR jsonb_array_length(attempts) >= $10 OR EXISTS (
                     SELECT FROM jsonb_array_elements(attempts) AS attempt
                     WHERE attempt ->> 'operation' = 'UpdateWorkspaceImagePermission'
                         AND (attempt ->> 'classification' = 'UNKNOWN' OR NOT attempt ? 'aws_request_id'
                             OR attempt ->> 'aws_request_id' = $8)))
             ORDER BY created_at DESC LIMIT $9",
        )
    });
    let (key, times) = (&read.event.key, CandidateTimes::of(&read.event));
    let query = sqlx::query_as(STATEMENT.as_str())
        .bind(key.account.as_str())
        .bind(key.region.as_str())
        .bind(key.image.as_str())
        .bind(key.shared_account.as_str())
        .bind(times.accepted_from.to_offset_date_time())
        .bind(times.accepted_until.to_offset_date_time())
        .bind(times.ended_from.to_offset_date_time())
        .bind(read.aws_request_id.as_deref())
        .bind(MAX_CANDIDATES)
        .bind(i32::try_from(MAX_ATTEMPTS).unwrap_or(i32::MAX));
    let rows: Vec<ChangeRow> = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter().map(Change::try_from).collect()
}

/// Calls of the service that AWS accepted.
#[derive(Debug, Default)]
pub struct AcceptedCalls {
    /// By AWS request id, with their changes.
    pub calls: BTreeMap<String, ChangeId>,
    /// When the first of their changes was accepted.
    pub first: Option<Timestamp>,
}

/// Reads at most `limit` calls that AWS accepted, for changes that ended in this time and took at most `longest`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn accepted_calls(
    database: &Database,
    (account, region): (AccountId, &Region),
    (from, until): (Timestamp, Timestamp),
    longest: Duration,
    limit: usize,
) -> Result<AcceptedCalls, StoreError> {
    let query = sqlx::query!(
        r#"SELECT change_id, created_at, attempt ->> 'aws_request_id' AS "call!"
         FROM change CROSS JOIN LATERAL jsonb_array_elements(attempts) AS attempt
         WHERE account_id = $1 AND region = $2 AND ended_at >= $3 AND ended_at < $4
             AND created_at >= $3 - make_interval(secs => $5) AND created_at < $4
             AND ended_at - created_at <= make_interval(secs => $5)
             AND attempt ->> 'operation' = 'UpdateWorkspaceImagePermission' AND attempt ->> 'classification' = 'ACCEPTED'
             AND attempt ? 'aws_request_id'
         LIMIT $6"#,
        account.as_str(),
        region.as_str(),
        from.to_offset_date_time(),
        until.to_offset_date_time(),
        longest.as_secs_f64(),
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    Ok(AcceptedCalls {
        first: rows.iter().map(|row| Timestamp::new(row.created_at)).min(),
        calls: rows
            .into_iter()
            .map(|row| (row.call, ChangeId(row.change_id)))
            .collect(),
    })
}
