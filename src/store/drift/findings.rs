//! The confirmed differences, for people and programs.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;

use crate::{
    domain::{AccountId, DriftFinding, ImageId, PermissionKey, Region, SharingEvent},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{events::FindingEventRow, findings::FindingRow, table::ReadRow},
    },
};

/// A finding, with the call to AWS that made the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributedFinding {
    /// How AWS and the ledger differ, and what became of it.
    pub finding: DriftFinding,
    /// The call. None if CloudTrail has none, or was not read so far yet.
    pub event: Option<SharingEvent>,
}

impl AttributedFinding {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let finding = DriftFinding::try_from(FindingRow::read(row, 0)?)?;
        let event = FindingEventRow::read_joined(row, FindingRow::COLUMNS.0.len())?;
        Ok(Self {
            event: event.map(|event| event.of(&finding)),
            finding,
        })
    }
}

/// `SELECT` findings with their events. `rest` follows the tables. It names the key columns as those of `finding`.
fn attributed(rest: &str) -> String {
    let (findings, events) = (FindingRow::COLUMNS.of("finding"), FindingEventRow::COLUMNS.of("event"));
    format!(
        "SELECT {findings}, {events} FROM drift_finding AS finding
         LEFT JOIN drift_finding_event AS event
             ON (event.account_id, event.region, event.image_id, event.shared_account_id)
                 = (finding.account_id, finding.region, finding.image_id, finding.shared_account_id)
         {rest}"
    )
}
use super::BUILD_WITH_ADOPTIONS;

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

/// Whether a grant can adopt the share of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoptable {
    /// AWS was found to have a share that the ledger does not have.
    Yes,
    /// No such difference is open.
    No,
    /// The schema still admits builds that know no adoptions.
    NotAdmitted,
}

/// Reads whether a grant can adopt the share of a permission. The transition decides it again.
///
/// # Errors
/// When Postgres does not answer.
pub async fn adoptable(database: &Database, key: &PermissionKey) -> Result<Adoptable, StoreError> {
    let query = sqlx::query!(
        r#"SELECT oldest_build >= $5 AS "is_admitted!", EXISTS (
               SELECT FROM drift_finding
               WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4
                   AND difference = 'UNRECORDED_SHARE' AND resolution IS NULL) AS "is_open!"
           FROM build_admission"#,
        key.account.as_str(),
        key.region.as_str(),
        key.image.as_str(),
        key.shared_account.as_str(),
        BUILD_WITH_ADOPTIONS,
    );
    let row = database.run(async |conn| query.fetch_one(conn).await).await?;
    Ok(match (row.is_admitted, row.is_open) {
        (false, _) => Adoptable::NotAdmitted,
        (true, true) => Adoptable::Yes,
        (true, false) => Adoptable::No,
    })
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
) -> Result<Vec<AttributedFinding>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        attributed(
            "WHERE ($1::text IS NULL OR finding.account_id = $1) AND ($2::text IS NULL OR finding.region = $2)
                 AND ($3::text IS NULL OR finding.image_id = $3) AND ($4::text IS NULL OR finding.shared_account_id = $4)
                 AND ($5 OR finding.resolution IS NULL)
                 AND (finding.account_id, finding.region, finding.image_id, finding.shared_account_id) > ($6, $7, $8, $9)
             ORDER BY finding.account_id, finding.region, finding.image_id, finding.shared_account_id
             LIMIT $10",
        )
    });
    let query = sqlx::query(STATEMENT.as_str())
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
    let rows = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.iter().map(AttributedFinding::read).collect()
}

/// Reads the newest finding of a permission.
///
/// # Errors
/// When Postgres does not answer.
pub async fn of(database: &Database, key: &PermissionKey) -> Result<Option<AttributedFinding>, StoreError> {
    static STATEMENT: LazyLock<String> = LazyLock::new(|| {
        attributed(
            "WHERE finding.account_id = $1 AND finding.region = $2 AND finding.image_id = $3 AND finding.shared_account_id = $4",
        )
    });
    let query = sqlx::query(STATEMENT.as_str())
        .bind(key.account.as_str())
        .bind(key.region.as_str())
        .bind(key.image.as_str())
        .bind(key.shared_account.as_str());
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.as_ref().map(AttributedFinding::read).transpose()
}
