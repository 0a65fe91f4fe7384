//! The shares that were in effect at a point in time.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, ImageId, PermissionKey, Region, Timestamp},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{count, parse},
    },
};

use super::{StoredEntry, entries};

/// Which shares. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareFilter {
    /// Only images of this account.
    pub account: Option<AccountId>,
    /// Only this Region.
    pub region: Option<Region>,
    /// Only this image.
    pub image: Option<ImageId>,
    /// Only shares with this account.
    pub shared_account: Option<AccountId>,
    /// Also shares that ended after this time. None: only shares in effect at the queried time.
    pub since: Option<Timestamp>,
}

/// The place of a share in the order of a list: a permission may have been shared several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePosition {
    /// The image and the account that it was shared with.
    pub key: PermissionKey,
    /// The index of the entry that began the share.
    pub start_index: u64,
}

/// A share that was in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The image and the account that it was shared with.
    pub key: PermissionKey,
    /// When the `change.succeeded` entry of the grant was recorded.
    pub start_time: Timestamp,
    /// The index of that entry.
    pub start_index: u64,
    /// When the `change.succeeded` entry of the revoke was recorded, and its index. Absent while the share is in effect.
    pub end: Option<(Timestamp, u64)>,
}

impl Share {
    /// Its place in the order of a list.
    pub fn position(&self) -> SharePosition {
        SharePosition {
            key: self.key.clone(),
            start_index: self.start_index,
        }
    }
}

/// Reads at most `limit` shares after `after` that were in effect at `time`, ordered by their positions.
///
/// # Errors
/// When Postgres does not answer.
pub async fn shares_at(
    database: &Database,
    time: Timestamp,
    filter: &ShareFilter,
    after: Option<&SharePosition>,
    limit: u32,
) -> Result<Vec<Share>, StoreError> {
    let mut sql = statement(time, filter, after, limit);
    let query = sql.build_query_as::<ShareRow>().persistent(false);
    let rows = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.into_iter().map(share).collect()
}

fn statement(
    time: Timestamp,
    filter: &ShareFilter,
    after: Option<&SharePosition>,
    limit: u32,
) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT account_id, region, image_id, shared_account_id, start_time, start_index, end_time, end_index
         FROM share_interval WHERE start_time <= ",
    );
    sql.push_bind(time.to_offset_date_time());
    sql.push(" AND (end_time IS NULL OR end_time > ")
        .push_bind(filter.since.unwrap_or(time).to_offset_date_time())
        .push(")");
    let conditions = [
        ("account_id", filter.account.map(|account| account.to_string())),
        ("region", filter.region.as_ref().map(Region::to_string)),
        ("image_id", filter.image.as_ref().map(ImageId::to_string)),
        (
            "shared_account_id",
            filter.shared_account.map(|account| account.to_string()),
        ),
    ];
    for (column, value) in conditions {
        if value.is_some() {
            sql.push(" AND ").push(column).push(" = ").push_bind(value);
        }
    }
    if let Some(SharePosition { key, start_index }) = after {
        sql.push(" AND (account_id, region, image_id, shared_account_id, start_index) > (");
        sql.push_bind(key.account.to_string()).push(", ");
        sql.push_bind(key.region.to_string()).push(", ");
        sql.push_bind(key.image.to_string()).push(", ");
        sql.push_bind(key.shared_account.to_string()).push(", ");
        sql.push_bind(start_index.cast_signed()).push(")");
    }
    sql.push(" ORDER BY account_id, region, image_id, shared_account_id, start_index LIMIT ")
        .push(limit);
    sql
}

/// Reads the entry of the last grant that had succeeded at `time`, for each of the shares that has one in the table. Finds
/// entries by their images, and reads only those since the shares began.
///
/// # Errors
/// When Postgres does not answer.
pub async fn grants_at(
    database: &Database,
    time: Timestamp,
    shares: &[Share],
) -> Result<Vec<StoredEntry<'static>>, StoreError> {
    let Some(since) = shares.iter().map(|share| share.start_time).min() else {
        return Ok(Vec::new());
    };
    let texts = |text: fn(&PermissionKey) -> String| {
        let texts: BTreeSet<_> = shares.iter().map(|share| text(&share.key)).collect();
        texts.into_iter().collect::<Vec<_>>()
    };
    let sql = format!(
        "SELECT {} FROM (
             SELECT DISTINCT ON (account_id, region, image_id, shared_account_id) * FROM audit_entry
             WHERE image_id = ANY ($1) AND shared_account_id = ANY ($2) AND account_id = ANY ($3)
                 AND recorded_at >= $4 AND recorded_at <= $5 AND kind = 'change.succeeded' AND action = 'GRANT'
             ORDER BY account_id, region, image_id, shared_account_id, recorded_at DESC, log_index DESC
         ) AS granted",
        entries::selected(),
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(texts(|key| key.image.to_string()))
        .bind(texts(|key| key.shared_account.to_string()))
        .bind(texts(|key| key.account.to_string()))
        .bind(since.to_offset_date_time())
        .bind(time.to_offset_date_time());
    let read = async |connection: &mut PgConnection| {
        let rows = query.fetch_all(connection).await?;
        let entries = rows.iter().map(|row| Ok(entries::stored(row)?.into_owned()));
        Ok(entries.collect::<Vec<_>>())
    };
    let entries = database.run_planned(PlanCacheMode::Auto, read).await?;
    entries.into_iter().collect()
}

type ShareRow = (
    String,
    String,
    String,
    String,
    OffsetDateTime,
    i64,
    Option<OffsetDateTime>,
    Option<i64>,
);

fn share(
    (account, region, image, shared_account, start_time, start_index, end_time, end_index): ShareRow,
) -> Result<Share, StoreError> {
    const TABLE: &str = "share_interval";
    let end_index = end_index.map(|index| count(TABLE, index)).transpose()?;
    Ok(Share {
        key: PermissionKey {
            account: parse(TABLE, &account)?,
            region: parse(TABLE, &region)?,
            image: parse(TABLE, &image)?,
            shared_account: parse(TABLE, &shared_account)?,
        },
        start_time: Timestamp::new(start_time),
        start_index: count(TABLE, start_index)?,
        end: end_time.map(Timestamp::new).zip(end_index),
    })
}
