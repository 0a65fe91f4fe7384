//! The confirmed differences, for people and programs.

use std::sync::LazyLock;

use crate::{
    domain::{AccountId, DriftFinding, ImageId, PermissionKey, Region},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{findings::FindingRow, table::select},
    },
};

/// Which findings to list. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// Only images of this account.
    pub account: Option<AccountId>,
    /// Only this Region.
    pub region: Option<Region>,
    /// Only this image.
    pub image: Option<ImageId>,
    /// Only shares with this account.
    pub shared_account: Option<AccountId>,
    /// Also findings that are resolved.
    pub include_resolved: bool,
}

/// Reads at most `limit` findings after `after`, ordered by their permissions.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    database: &Database,
    filter: &FindingFilter,
    after: Option<&PermissionKey>,
    limit: u32,
) -> Result<Vec<DriftFinding>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        select::<FindingRow>(
            "drift_finding
             WHERE ($1::text IS NULL OR account_id = $1) AND ($2::text IS NULL OR region = $2)
                 AND ($3::text IS NULL OR image_id = $3) AND ($4::text IS NULL OR shared_account_id = $4)
                 AND ($5 OR resolution IS NULL)
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
        .bind(filter.include_resolved)
        .bind(after.map_or("", |key| key.account.as_str()))
        .bind(after.map_or("", |key| key.region.as_str()))
        .bind(after.map_or("", |key| key.image.as_str()))
        .bind(after.map_or("", |key| key.shared_account.as_str()))
        .bind(i64::from(limit));
    let rows: Vec<FindingRow> = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.into_iter().map(DriftFinding::try_from).collect()
}

/// Reads the newest finding of a permission.
///
/// # Errors
/// When Postgres does not answer.
pub async fn of(database: &Database, key: &PermissionKey) -> Result<Option<DriftFinding>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        select::<FindingRow>(
            "drift_finding WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4",
        )
    });
    let query = sqlx::query_as(STATEMENT.as_str())
        .bind(key.account.as_str())
        .bind(key.region.as_str())
        .bind(key.image.as_str())
        .bind(key.shared_account.as_str());
    let row: Option<FindingRow> = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(DriftFinding::try_from).transpose()
}
