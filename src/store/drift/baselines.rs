//! The accounts in which unrecorded shares may be revoked without a caller, and the shares to revoke.

use std::time::Duration;

use crate::{
    domain::{AccountId, PermissionKey, Principal, Timestamp, drift::brake_limit},
    store::{connection::Database, error::StoreError, rows},
};

const TABLE: &str = "drift_baseline";

/// A revoke that failed is repeated after as long as the finding was open then, but not sooner than this.
const SHORTEST_DELAY: Duration = Duration::from_mins(1);
/// And not later than this.
const LONGEST_DELAY: Duration = Duration::from_hours(24);

/// An operator's decision that unrecorded shares which are found from now on may be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The index of its `drift.baseline` entry.
    pub log_index: u64,
    /// When it was confirmed.
    pub confirmed_at: Timestamp,
    /// The operator.
    pub principal: Principal,
    /// False in a database that was restored or failed over since.
    pub is_in_force: bool,
}

/// The baseline of an account, with what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineStatus {
    /// Whose unrecorded shares it is about.
    pub account: AccountId,
    /// The number of entries of its ledger.
    pub ledger_size: u64,
    /// The baseline, if there is one.
    pub baseline: Option<Baseline>,
    /// How many unrecorded shares were found since then and are open, or were revoked without a caller within a day.
    pub found: u64,
    /// The most of them that are revoked.
    pub limit: u64,
}

/// Reads the baselines of these accounts.
///
/// # Errors
/// When Postgres does not answer.
pub async fn status(database: &Database, accounts: &[AccountId]) -> Result<Vec<BaselineStatus>, StoreError> {
    let accounts: Vec<_> = accounts.iter().map(AccountId::to_string).collect();
    let query = sqlx::query!(
        r#"SELECT asked.account_id AS "account_id!", coalesce(ledger.size, 0) AS "size!", b.log_index AS "log_index?",
               b.confirmed_at AS "confirmed_at?", b.principal AS "principal?",
               (b.system_identifier, b.timeline, b.table_oid) = (here.system_identifier, here.timeline, here.table_oid) AS is_in_force,
               found.count AS "found!", share.count AS "shares!"
           FROM unnest($1::text[]) AS asked (account_id)
           CROSS JOIN (SELECT system_identifier, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline,
                           'drift_baseline'::regclass::oid::bigint AS table_oid
                       FROM pg_control_system()) AS here
           LEFT JOIN ledger ON ledger.account_id = asked.account_id
           LEFT JOIN drift_baseline AS b ON b.account_id = asked.account_id
           CROSS JOIN LATERAL (
               SELECT count(*) FROM drift_finding AS f
               WHERE f.account_id = asked.account_id AND f.difference = 'UNRECORDED_SHARE' AND f.found_index > b.log_index
                   AND (f.resolution IS NULL OR f.resolution = 'REVOKED' AND f.resolved_at > statement_timestamp() - interval '1
                   day'
                       AND EXISTS (SELECT FROM change AS c
                           WHERE c.account_id = f.account_id AND c.change_id = f.resolved_by_change_id AND c.cause = 'DRIFT'))
           ) AS found
           CROSS JOIN LATERAL (
               SELECT count(*) FROM share_interval AS s
               WHERE s.account_id = asked.account_id AND s.end_index IS NULL AND found.count > 0
           ) AS share"#,
        &accounts,
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let statuses = rows.into_iter().map(|row| {
        let baseline = match (row.log_index, row.confirmed_at, row.principal) {
            (Some(log_index), Some(confirmed_at), Some(principal)) => Some(Baseline {
                log_index: rows::count(TABLE, log_index)?,
                confirmed_at: Timestamp::new(confirmed_at),
                principal: rows::parse(TABLE, &principal)?,
                is_in_force: row.is_in_force.unwrap_or(false),
            }),
            _ => None,
        };
        Ok(BaselineStatus {
            account: rows::parse(TABLE, &row.account_id)?,
            ledger_size: rows::count("ledger", row.size)?,
            baseline,
            found: rows::count("drift_finding", row.found)?,
            limit: brake_limit(rows::count("share_interval", row.shares)?),
        })
    });
    statuses.collect()
}

/// Reads the baseline of an account.
///
/// # Errors
/// When Postgres does not answer.
pub async fn of(database: &Database, account: AccountId) -> Result<BaselineStatus, StoreError> {
    let status = status(database, &[account]).await?.pop();
    status.ok_or_else(|| StoreError::corrupt(TABLE, "the answer has no row"))
}

/// Puts a baseline in force, by its entry.
///
/// # Errors
/// When Postgres does not answer.
pub async fn put(
    database: &Database,
    account: AccountId,
    log_index: u64,
    principal: &Principal,
) -> Result<(), StoreError> {
    let query = sqlx::query!(
        "INSERT INTO drift_baseline (account_id, log_index, principal, system_identifier, timeline, table_oid)
         SELECT $1, $2, $3, system_identifier, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
             'drift_baseline'::regclass::oid::bigint
         FROM pg_control_system()
         ON CONFLICT (account_id) DO UPDATE SET log_index = excluded.log_index, confirmed_at = excluded.confirmed_at,
             principal = excluded.principal, system_identifier = excluded.system_identifier, timeline = excluded.timeline,
             table_oid = excluded.table_oid",
        account.as_str(),
        rows::bigint(log_index),
        principal.as_str(),
    );
    database.run(async |conn| query.execute(conn).await).await.map(drop)
}

/// Removes the baseline of an account. False if there was none.
///
/// # Errors
/// When Postgres does not answer.
pub async fn remove(database: &Database, account: AccountId) -> Result<bool, StoreError> {
    let query = sqlx::query!("DELETE FROM drift_baseline WHERE account_id = $1", account.as_str());
    let removed = database.run(async |conn| query.execute(conn).await).await?;
    Ok(removed.rows_affected() > 0)
}

/// At most `limit` open findings of unrecorded shares after the entry `after`, each with its index. Findings of a scan that is
/// not complete are left out, because the others of the scan are not known yet. So are findings whose revoke failed a short
/// time ago.
///
/// # Errors
/// When Postgres does not answer.
pub async fn to_revoke(
    database: &Database,
    account: AccountId,
    after: u64,
    limit: u32,
) -> Result<Vec<(PermissionKey, u64)>, StoreError> {
    let query = sqlx::query!(
        "SELECT f.region, f.image_id, f.shared_account_id, f.found_index FROM drift_finding AS f
         WHERE f.account_id = $1 AND f.resolution IS NULL AND f.difference = 'UNRECORDED_SHARE' AND f.found_index > $2
             AND NOT EXISTS (SELECT FROM drift_scan AS s
                 WHERE (s.account_id, s.region, s.scan_id) = (f.account_id, f.region, f.scan_id))
             AND NOT EXISTS (SELECT FROM change AS c
                 WHERE c.account_id = f.account_id AND c.created_at >= f.found_at AND c.cause = 'DRIFT'
                     AND (c.region, c.image_id, c.shared_account_id) = (f.region, f.image_id, f.shared_account_id)
                     AND (c.ended_at IS NULL OR c.ended_at > statement_timestamp()
                         - least(make_interval(secs => $4), greatest(make_interval(secs => $3), c.ended_at - f.found_at))))
         ORDER BY f.found_index LIMIT $5",
        account.as_str(),
        rows::bigint(after),
        SHORTEST_DELAY.as_secs_f64(),
        LONGEST_DELAY.as_secs_f64(),
        i64::from(limit),
    );
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    let shares = rows.into_iter().map(|row| {
        let key = PermissionKey {
            account,
            region: rows::parse("drift_finding", &row.region)?,
            image: rows::parse("drift_finding", &row.image_id)?,
            shared_account: rows::parse("drift_finding", &row.shared_account_id)?,
        };
        Ok((key, rows::count("drift_finding", row.found_index)?))
    });
    shares.collect()
}
