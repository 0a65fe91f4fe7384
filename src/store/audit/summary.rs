//! Counts of entries by time bucket: from the rollups, plus the entries that are not counted there yet.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Action, KindName, Region, Timestamp},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{buckets::Bucket, count, parse},
    },
};

use super::{
    cover::{self, Rollups},
    statement::push_any,
};

/// The length of a time bucket, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// The whole time span of the query.
    Whole,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

/// A dimension to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// The account of the ledger.
    Account,
    /// The Region of the image.
    Region,
    /// The action.
    Action,
    /// The kind.
    Kind,
}

/// What to count. An empty list matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountQuery {
    /// The start, a full hour.
    pub from: Timestamp,
    /// The end (exclusive), a full hour.
    pub to: Timestamp,
    /// The length of the buckets.
    pub interval: Interval,
    /// A dimension to group by.
    pub group_by: Vec<Dimension>,
    /// Entries of these ledgers.
    pub accounts: Vec<AccountId>,
    /// Entries about images in these Regions.
    pub regions: Vec<Region>,
    /// These actions.
    pub actions: Vec<Action>,
    /// These kinds.
    pub kinds: Vec<KindName>,
}

/// A count. Each dimension of `group_by` is set, unless its entries have no value for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The start of the bucket, or of the query if that is later.
    pub start_time: Timestamp,
    /// The account of the ledger.
    pub account: Option<AccountId>,
    /// The Region of the image.
    pub region: Option<Region>,
    /// The name of the action. A newer build may have recorded one that this build does not know.
    pub action: Option<String>,
    /// The name of the kind.
    pub kind: Option<String>,
    /// Number of entries, never zero.
    pub count: u64,
}

/// Counts entries, at most `limit` counts. Ordered by time, then by the dimensions.
///
/// # Errors
/// When Postgres does not answer.
pub async fn counts(database: &Database, query: &CountQuery, limit: u32) -> Result<Vec<Count>, StoreError> {
    let rollups = cover::cover(query.from, query.to, query.interval.largest_bucket());
    if rollups.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = statement(query, &rollups, limit);
    let query = sql.build_query_as::<CountRow>().persistent(false);
    let rows = database
        .run_planned(PlanCacheMode::Auto, async |connection| {
            query.fetch_all(connection).await
        })
        .await?;
    rows.into_iter().map(read).collect()
}

fn statement(query: &CountQuery, rollups: &[Rollups], limit: u32) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    match query.interval.unit() {
        None => sql.push_bind(query.from.to_offset_date_time()).push("::timestamptz"),
        Some(unit) => sql
            .push("greatest(date_trunc('")
            .push(unit)
            .push("', start_time, 'UTC'), ")
            .push_bind(query.from.to_offset_date_time())
            .push(")"),
    };
    for (dimension, column) in Dimension::COLUMNS {
        sql.push(if query.group_by.contains(&dimension) {
            ", "
        } else {
            ", NULL::text AS "
        })
        .push(column);
    }
    sql.push(", sum(count)::bigint FROM (");
    for rollups in rollups {
        push_rollups(&mut sql, query, rollups);
        sql.push(" UNION ALL ");
    }
    push_rest(&mut sql, query);
    sql.push(") AS added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT ")
        .push(limit);
    sql
}

/// The rollups of one size, summed before their interval is computed: computing it for each row is slower.
fn push_rollups(sql: &mut QueryBuilder<Postgres>, query: &CountQuery, rollups: &Rollups) {
    sql.push("SELECT start_time");
    push_columns(sql, query);
    sql.push(", sum(count)::bigint AS count FROM audit_rollup WHERE bucket = '")
        .push(rollups.bucket.as_str());
    sql.push("' AND start_time >= ").push_bind(rollups.from);
    sql.push(" AND start_time < ").push_bind(rollups.to);
    push_lists(sql, query);
    sql.push(" GROUP BY start_time");
    push_columns(sql, query);
}

/// The entries that are not in the rollups yet.
fn push_rest(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    sql.push("SELECT recorded_at AS start_time");
    push_columns(sql, query);
    sql.push(", 1 AS count FROM audit_entry_uncounted WHERE recorded_at >= ")
        .push_bind(query.from.to_offset_date_time());
    sql.push(" AND recorded_at < ")
        .push_bind(query.to.to_offset_date_time());
    push_lists(sql, query);
}

/// The columns to group by.
fn push_columns(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    for (dimension, column) in Dimension::COLUMNS {
        if query.group_by.contains(&dimension) {
            sql.push(", ").push(column);
        }
    }
}

/// The conditions on accounts, Regions, actions and kinds.
fn push_lists(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    let lists: [(_, Vec<String>); 4] = [
        ("account_id", query.accounts.iter().map(ToString::to_string).collect()),
        ("region", query.regions.iter().map(ToString::to_string).collect()),
        (
            "action",
            query.actions.iter().map(|action| action.as_str().into()).collect(),
        ),
        ("kind", query.kinds.iter().map(ToString::to_string).collect()),
    ];
    for (column, values) in lists {
        push_any(sql, column, values);
    }
}

impl Interval {
    fn unit(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Hour => Some("hour"),
            Self::Day => Some("day"),
            Self::Week => Some("week"),
            Self::Month => Some("month"),
        }
    }

    /// A rollup must not cross the edge of an interval.
    fn largest_bucket(self) -> Bucket {
        match self {
            Self::Hour => Bucket::Hour,
            Self::Day | Self::Week => Bucket::Day,
            Self::Month | Self::Whole => Bucket::Month,
        }
    }
}

impl Dimension {
    const COLUMNS: [(Self, &'static str); 4] = [
        (Self::Account, "account_id"),
        (Self::Region, "region"),
        (Self::Action, "action"),
        (Self::Kind, "kind"),
    ];
}

type CountRow = (
    OffsetDateTime,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

/// An empty text means entries without a Region or an action.
fn read((start_time, account, region, action, kind, sum): CountRow) -> Result<Count, StoreError> {
    const TABLE: &str = "audit_rollup";
    let region = region.filter(|region| !region.is_empty());
    Ok(Count {
        start_time: Timestamp::new(start_time),
        account: account.map(|text| parse(TABLE, &text)).transpose()?,
        region: region.map(|text| parse(TABLE, &text)).transpose()?,
        action: action.filter(|action| !action.is_empty()),
        kind,
        count: count(TABLE, sum)?,
    })
}
