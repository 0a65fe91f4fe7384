//! Counts of entries in buckets of time: from the rollups, and from the entries that are not in these yet.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Action, KindName, Region, Timestamp},
    store::{
        connection::{Database, Planning},
        error::StoreError,
        rows::{buckets::Bucket, count, parse},
    },
};

use super::cover::{self, Tiles};

/// A bucket of time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// All of the time asked about.
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

/// What counts are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Whose ledger it is.
    Account,
    /// The Region of the image.
    Region,
    /// The action.
    Action,
    /// The kind.
    Kind,
}

/// What to count. Empty lists match everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountQuery {
    /// From this full hour on.
    pub from: Timestamp,
    /// Before this full hour.
    pub to: Timestamp,
    /// The buckets.
    pub interval: Interval,
    /// What counts are told apart by.
    pub group_by: Vec<Dimension>,
    /// Entries of these ledgers.
    pub accounts: Vec<AccountId>,
    /// Entries about images in these Regions.
    pub regions: Vec<Region>,
    /// These actions.
    pub actions: Vec<Action>,
    /// These kinds.
    pub kinds: Vec<KindName>,
    /// At most so many counts.
    pub limit: u32,
}

/// A count. Each dimension of `group_by` is set, unless the entries have no value for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When the bucket begins, or the time asked about, whichever is later.
    pub start_time: Timestamp,
    /// Whose ledger it is.
    pub account: Option<AccountId>,
    /// The Region of the image.
    pub region: Option<Region>,
    /// The name of the action. A newer build may have recorded one that this build does not know.
    pub action: Option<String>,
    /// The name of the kind.
    pub kind: Option<String>,
    /// So many entries: never none.
    pub count: u64,
}

/// Counts entries. In the order of time, then of account, Region, action and kind, as far as these are told apart.
///
/// # Errors
/// When Postgres does not answer.
pub async fn counts(database: &Database, query: &CountQuery) -> Result<Vec<Count>, StoreError> {
    let tiles = cover::cover(query.from, query.to, query.interval.largest_bucket());
    if tiles.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = statement(query, &tiles);
    let query = sql.build_query_as::<Row>().persistent(false);
    let rows = database
        .run_planned(Planning::ByValues, async |connection| query.fetch_all(connection).await)
        .await?;
    rows.into_iter().map(read).collect()
}

fn statement(query: &CountQuery, tiles: &[Tiles]) -> QueryBuilder<Postgres> {
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
    for tiles in tiles {
        push_tiles(&mut sql, query, tiles);
        sql.push(" UNION ALL ");
    }
    push_rest(&mut sql, query);
    sql.push(") AS added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT ")
        .push(query.limit);
    sql
}

/// The rollups of one size, added up by the columns as they are: to find the interval of each row would take longer.
fn push_tiles(sql: &mut QueryBuilder<Postgres>, query: &CountQuery, tiles: &Tiles) {
    sql.push("SELECT start_time");
    push_columns(sql, query);
    sql.push(", sum(count)::bigint AS count FROM audit_rollup WHERE bucket = '")
        .push(tiles.bucket.as_str());
    sql.push("' AND start_time >= ").push_bind(tiles.from);
    sql.push(" AND start_time < ").push_bind(tiles.to);
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

/// The columns that counts are told apart by.
fn push_columns(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    for (dimension, column) in Dimension::COLUMNS {
        if query.group_by.contains(&dimension) {
            sql.push(", ").push(column);
        }
    }
}

/// Narrows it down to the accounts, Regions, actions and kinds asked for.
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
        if !values.is_empty() {
            sql.push(" AND ")
                .push(column)
                .push(" = ANY(")
                .push_bind(values)
                .push(")");
        }
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

    /// No rollup may reach over the edge of an interval.
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

type Row = (
    OffsetDateTime,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

/// An empty text stands for entries without a Region or an action.
fn read((start_time, account, region, action, kind, sum): Row) -> Result<Count, StoreError> {
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
