//! Counts of entries in buckets of time: from the rollups, and from the entries that are not in these yet.

use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use crate::{
    domain::{AccountId, Action, Region, Stage, Timestamp},
    store::{
        Database, StoreError,
        at_hand::Planning,
        rows::{buckets::Bucket, count, named, parse},
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
    /// The stage.
    Stage,
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
    /// These stages.
    pub stages: Vec<Stage>,
    /// At most so many counts.
    pub limit: u32,
}

/// A count. What is told apart is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// When the bucket begins, or the time asked about, whichever is later.
    pub start_time: Timestamp,
    /// Whose ledger it is.
    pub account: Option<AccountId>,
    /// The Region of the image.
    pub region: Option<Region>,
    /// The action.
    pub action: Option<Action>,
    /// The stage.
    pub stage: Option<Stage>,
    /// So many entries: never none.
    pub count: u64,
}

/// Counts entries. In the order of time, then of account, Region, action and stage, as far as these are told apart.
///
/// # Errors
/// When Postgres does not answer.
pub async fn counts(database: &Database, query: &CountQuery) -> Result<Vec<Count>, StoreError> {
    let tiles = cover::cover(query.from, query.to, query.interval.largest_bucket());
    if tiles.is_empty() {
        return Ok(Vec::new());
    }
    let (by_stage, limit) = (query.group_by.contains(&Dimension::Stage), query.limit);
    let mut sql = statement(query, &tiles);
    let query = sql.build_query_as::<Row>().persistent(false);
    let rows = database
        .run_planned(Planning::ByValues, async |connection| query.fetch_all(connection).await)
        .await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        push_counts(&mut counts, row, by_stage)?;
    }
    counts.truncate(limit as usize);
    Ok(counts)
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
    for (dimension, column) in Dimension::OF_ROWS {
        sql.push(if query.group_by.contains(&dimension) {
            ", "
        } else {
            ", NULL::text AS "
        })
        .push(column);
    }
    // The stages side by side, as they are kept: a row for each would be five times as much to group, to sort and to send.
    let asked_for = |stage: &Stage| query.stages.is_empty() || query.stages.contains(stage);
    for stage in STAGES {
        if asked_for(&stage) {
            sql.push(format_args!(", sum({})::bigint", column_of(stage)));
        } else {
            sql.push(", 0::bigint");
        }
    }
    sql.push(" FROM (");
    for (at, tiles) in tiles.iter().enumerate() {
        sql.push(if at == 0 { "" } else { " UNION ALL " });
        push_tiles(&mut sql, query, tiles);
    }
    push_rest(&mut sql, query);
    let asked: Vec<_> = STAGES.into_iter().filter(asked_for).map(column_of).collect();
    sql.push(format_args!(
        ") AS added GROUP BY 1, 2, 3, 4 HAVING sum({}) > 0 ORDER BY 1, 2, 3, 4 LIMIT ",
        asked.join(" + ")
    ))
    .push(query.limit);
    sql
}

/// The rollups of one size, added up by the columns as they are: to find the interval of each row would take longer.
fn push_tiles(sql: &mut QueryBuilder<Postgres>, query: &CountQuery, tiles: &Tiles) {
    let mut columns = vec!["start_time"];
    columns.extend(
        Dimension::OF_ROWS
            .iter()
            .filter(|(dimension, _)| query.group_by.contains(dimension))
            .map(|(_, column)| *column),
    );
    let columns = columns.join(", ");
    sql.push("SELECT ").push(&columns);
    for stage in STAGES {
        sql.push(format_args!(", sum({0})::bigint AS {0}", column_of(stage)));
    }
    sql.push(" FROM audit_rollup WHERE bucket = '")
        .push(tiles.bucket.as_str());
    sql.push("' AND start_time >= ").push_bind(tiles.from);
    sql.push(" AND start_time < ").push_bind(tiles.to);
    push_lists(sql, query);
    sql.push(" GROUP BY ").push(&columns);
}

/// The entries that are not in the rollups yet.
fn push_rest(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    sql.push(" UNION ALL SELECT recorded_at");
    for (dimension, column) in Dimension::OF_ROWS {
        if query.group_by.contains(&dimension) {
            sql.push(", ").push(column);
        }
    }
    for stage in STAGES {
        sql.push(format_args!(", (stage = '{}')::integer", stage.as_str()));
    }
    sql.push(" FROM audit_entry_uncounted WHERE recorded_at >= ")
        .push_bind(query.from.to_offset_date_time());
    sql.push(" AND recorded_at < ")
        .push_bind(query.to.to_offset_date_time());
    push_lists(sql, query);
}

/// Narrows it down to the accounts, Regions and actions asked for.
fn push_lists(sql: &mut QueryBuilder<Postgres>, query: &CountQuery) {
    let lists: [(_, Vec<String>); 3] = [
        ("account_id", query.accounts.iter().map(ToString::to_string).collect()),
        ("region", query.regions.iter().map(ToString::to_string).collect()),
        (
            "action",
            query.actions.iter().map(|action| action.as_str().into()).collect(),
        ),
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

/// The stages, in the order of their names.
const STAGES: [Stage; 5] = [
    Stage::Denied,
    Stage::Failed,
    Stage::Requested,
    Stage::Succeeded,
    Stage::Superseded,
];

/// The column that counts a stage's entries.
fn column_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Requested => "requested",
        Stage::Denied => "denied",
        Stage::Succeeded => "succeeded",
        Stage::Failed => "failed",
        Stage::Superseded => "superseded",
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
    /// Those that rows are grouped by; the stages lie side by side in them.
    const OF_ROWS: [(Self, &'static str); 3] = [
        (Self::Account, "account_id"),
        (Self::Region, "region"),
        (Self::Action, "action"),
    ];
}

type Row = (
    OffsetDateTime,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    i64,
    i64,
    i64,
    i64,
);

/// Adds a count of each stage that there is an entry of, or one of all of them.
fn push_counts(counts: &mut Vec<Count>, row: Row, by_stage: bool) -> Result<(), StoreError> {
    const TABLE: &str = "audit_rollup";
    let (start_time, account, region, action, denied, failed, requested, succeeded, superseded) = row;
    let sums = [denied, failed, requested, succeeded, superseded];
    let of_all = Count {
        start_time: Timestamp::new(start_time),
        account: account.map(|text| parse(TABLE, &text)).transpose()?,
        region: region.map(|text| parse(TABLE, &text)).transpose()?,
        action: action.map(|name| named(TABLE, Action::parse, &name)).transpose()?,
        stage: None,
        count: count(TABLE, sums.iter().sum())?,
    };
    if !by_stage {
        counts.push(of_all);
        return Ok(());
    }
    for (stage, sum) in STAGES.into_iter().zip(sums) {
        if sum != 0 {
            counts.push(Count {
                stage: Some(stage),
                count: count(TABLE, sum)?,
                ..of_all.clone()
            });
        }
    }
    Ok(())
}
