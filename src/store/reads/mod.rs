//! Queries on permissions, requests and changes. [`changes`] has the lists for operators, [`due`] the work to claim,
//! [`ends`] the shares to end,
//! [`pending`] the gauges.

pub mod changes;
pub mod due;
pub mod ends;
pub mod pending;

use std::sync::LazyLock;

use sqlx::{
    FromRow, Postgres,
    postgres::{PgArguments, PgRow},
    query::QueryAs,
};

use crate::{
    domain::{
        AccountId, Change, ChangeId, ImageId, Permission, PermissionKey, PermissionState, Region, Request, RequestId,
        Timestamp, transition::Snapshot,
    },
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{changes::ChangeRow, permissions::PermissionRow, requests::RequestRow, table::select},
    },
};

/// Which permissions to list. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionFilter {
    /// Only images of this account.
    pub account: Option<AccountId>,
    /// Only this Region.
    pub region: Option<Region>,
    /// Only this image.
    pub image: Option<ImageId>,
    /// Only shares with this account.
    pub shared_account: Option<AccountId>,
    /// Only this state.
    pub state: Option<PermissionState>,
    /// Only shares that end before this time.
    pub expire_before: Option<Timestamp>,
}

/// Runs a statement and converts its row, if there is one.
async fn read_one<R, T>(
    database: &Database,
    query: QueryAs<'_, Postgres, R, PgArguments>,
) -> Result<Option<T>, StoreError>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    T: TryFrom<R, Error = StoreError>,
{
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(T::try_from).transpose()
}

/// Reads one permission.
///
/// # Errors
/// When Postgres does not answer.
pub async fn permission(database: &Database, key: &PermissionKey) -> Result<Option<Permission>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        select::<PermissionRow>(
            "share_permission WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4",
        )
    });
    let query = sqlx::query_as(STATEMENT.as_str())
        .bind(key.account.as_str())
        .bind(key.region.as_str())
        .bind(key.image.as_str())
        .bind(key.shared_account.as_str());
    read_one::<PermissionRow, _>(database, query).await
}

/// Reads at most `limit` permissions after `after`, ordered by their keys.
///
/// # Errors
/// When Postgres does not answer.
pub async fn permissions(
    database: &Database,
    filter: &PermissionFilter,
    after: Option<&PermissionKey>,
    limit: u32,
) -> Result<Vec<Permission>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        select::<PermissionRow>(
            "share_permission
             WHERE ($1::text IS NULL OR account_id = $1) AND ($2::text IS NULL OR region = $2)
                 AND ($3::text IS NULL OR image_id = $3) AND ($4::text IS NULL OR shared_account_id = $4)
                 AND ($5::text IS NULL OR state = $5)
                 AND ($11::timestamptz IS NULL OR (expire_time < $11 AND applied IS DISTINCT FROM 'NOT_SHARED'))
                 AND (account_id, region, image_id, shared_account_id) > ($6, $7, $8, $9)
             ORDER BY account_id, region, image_id, shared_account_id
             LIMIT $10",
        )
    });
    let query = sqlx::query_as(STATEMENT.as_str())
        .bind(filter.account.as_ref().map(AccountId::as_str))
        .bind(filter.region.as_ref().map(Region::as_str))
        .bind(filter.image.as_ref().map(ImageId::as_str))
        .bind(filter.shared_account.as_ref().map(AccountId::as_str))
        .bind(filter.state.map(PermissionState::as_str))
        .bind(after.map_or("", |key| key.account.as_str()))
        .bind(after.map_or("", |key| key.region.as_str()))
        .bind(after.map_or("", |key| key.image.as_str()))
        .bind(after.map_or("", |key| key.shared_account.as_str()))
        .bind(i64::from(limit))
        .bind(filter.expire_before.map(Timestamp::to_offset_date_time));
    let rows: Vec<PermissionRow> = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.into_iter().map(Permission::try_from).collect()
}

/// Reads one change.
///
/// # Errors
/// When Postgres does not answer.
pub async fn change(database: &Database, account: AccountId, id: ChangeId) -> Result<Option<Change>, StoreError> {
    static STATEMENT: LazyLock<String> =
        LazyLock::new(|| select::<ChangeRow>("change WHERE account_id = $1 AND change_id = $2"));
    let query = sqlx::query_as(STATEMENT.as_str()).bind(account.as_str()).bind(id.0);
    read_one::<ChangeRow, _>(database, query).await
}

/// Reads an accepted request, the change that answers it, and the permission.
///
/// # Errors
/// When Postgres does not answer.
pub async fn requested(
    database: &Database,
    account: AccountId,
    request_id: RequestId,
) -> Result<Option<(Request, Snapshot)>, StoreError> {
    static STATEMENT: LazyLock<String> =
        LazyLock::new(|| select::<RequestRow>("request WHERE account_id = $1 AND request_id = $2"));
    let query = sqlx::query_as(STATEMENT.as_str())
        .bind(account.as_str())
        .bind(request_id.0);
    let Some(request) = read_one::<RequestRow, Request>(database, query).await? else {
        return Ok(None);
    };
    let Some(change) = change(database, account, request.change_id).await? else {
        return Ok(None);
    };
    let permission = permission(database, &change.intent.key).await?;
    Ok(permission.map(|permission| (request, Snapshot { change, permission })))
}

/// Reads the changes that have ended, with their permissions.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ended(database: &Database, changes: &[(AccountId, ChangeId)]) -> Result<Vec<Snapshot>, StoreError> {
    let mut snapshots = Vec::new();
    for chunk in changes.chunks(1000) {
        for (account, id) in only_ended(database, chunk).await? {
            if let Some(change) = change(database, account, id).await?
                && let Some(permission) = permission(database, &change.intent.key).await?
            {
                snapshots.push(Snapshot { change, permission });
            }
        }
    }
    Ok(snapshots)
}

/// The ids of the changes that have ended. Usually few of many.
async fn only_ended(
    database: &Database,
    changes: &[(AccountId, ChangeId)],
) -> Result<Vec<(AccountId, ChangeId)>, StoreError> {
    let accounts: Vec<_> = changes.iter().map(|(account, _)| account.to_string()).collect();
    let ids: Vec<_> = changes.iter().map(|(_, id)| id.0).collect();
    let query = sqlx::query_scalar!(
        r#"SELECT k.change_id AS "change_id!" FROM unnest($1::text[], $2::uuid[]) AS k (account_id, change_id)
           WHERE EXISTS (
               SELECT FROM change
               WHERE change.account_id = k.account_id AND change.change_id = k.change_id AND ended_at IS NOT NULL
               OFFSET 0 -- forces a lookup by primary key for each, and never a scan
           )"#,
        &accounts,
        &ids,
    );
    let ended = database.run(async |conn| query.fetch_all(conn).await).await?;
    Ok(changes
        .iter()
        .filter(|(_, id)| ended.contains(&id.0))
        .copied()
        .collect())
}
