//! The SQL of a page of entries, with only the conditions of its filter.
//!
//! Kinds, actions, causes and the edges of months are literals, so that Postgres can choose partial indexes and
//! partitions. All other values are bound. The types of the literals cannot contain a quotation mark.

use sqlx::{Postgres, QueryBuilder};

use super::{
    Column, Condition, EntryFilter, EntryPosition, Order,
    driver::{Driver, has_indexed_text},
    entries::selected,
    windows::{Span, month_after, month_of},
};
use crate::{domain::Timestamp, store::rows::bigint};

/// A page of entries to read.
#[derive(Debug)]
pub(super) struct PageSelect<'a> {
    pub(super) filter: &'a EntryFilter,
    /// Those of the filter.
    pub(super) conditions: &'a [Condition],
    pub(super) order: Order,
    pub(super) after: Option<&'a EntryPosition>,
    pub(super) now: Timestamp,
}

impl PageSelect<'_> {
    /// The statement that reads at most `limit` entries of the page from a time span.
    pub(super) fn statement(&self, driver: &Driver, span: Span, limit: u32) -> QueryBuilder<Postgres> {
        let mut sql = self.select();
        if let Driver::Each(Condition { column, values }) = driver {
            sql.push("unnest(")
                .push_bind(values.clone())
                .push("::text[]) AS each (value) ");
            sql.push("CROSS JOIN LATERAL (SELECT ")
                .push(selected())
                .push(" FROM audit_entry");
            self.push_conditions(&mut sql, driver, span);
            sql.push(" AND ").push(column.name()).push(" = each.value");
            self.push_order(&mut sql, limit);
            sql.push(") AS found");
        } else {
            sql.push("audit_entry");
            self.push_conditions(&mut sql, driver, span);
        }
        self.push_order(&mut sql, limit);
        sql
    }

    /// The statement that reads at most `limit` entries of the page. It searches the next `max_walked` entries of any content in
    /// a time span.
    pub(super) fn walk(&self, span: Span, max_walked: u32, limit: u32) -> QueryBuilder<Postgres> {
        let mut sql = self.select();
        sql.push("(SELECT * FROM audit_entry WHERE log_index >= 0");
        self.push_span(&mut sql, span);
        self.push_order(&mut sql, max_walked);
        sql.push(") AS next_entries WHERE true");
        self.push_filter(&mut sql, &Driver::Time);
        self.push_order(&mut sql, limit);
        sql
    }

    /// Each row also has the time of the read, and whether anything was archived then. This usually saves a query.
    fn select(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(selected())
            .push(", EXISTS (SELECT FROM audit_archive) AS any_archived, statement_timestamp() AS read_at FROM ");
        sql
    }

    fn push_order(&self, sql: &mut QueryBuilder<Postgres>, limit: u32) {
        sql.push(match self.order {
            Order::NewestFirst => " ORDER BY recorded_at DESC, account_id DESC, log_index DESC LIMIT ",
            Order::OldestFirst => " ORDER BY recorded_at, account_id, log_index LIMIT ",
        });
        sql.push(limit);
    }

    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>, driver: &Driver, span: Span) {
        // `log_index >= 0` enables the index by time alone. Postgres would choose that index too often: a value can be
        // frequent in a month but rare at the end where the page starts.
        sql.push(match driver {
            Driver::Time => " WHERE log_index >= 0",
            _ => " WHERE true",
        });
        self.push_filter(sql, driver);
        self.push_span(sql, span);
    }

    fn push_filter(&self, sql: &mut QueryBuilder<Postgres>, driver: &Driver) {
        for condition in self.conditions {
            // What is looked up value by value needs no list, except for kinds: the list tells Postgres which partial
            // index has them.
            let is_listed =
                condition.column == Column::Kind || !matches!(driver, Driver::Each(each) if each == condition);
            if is_listed {
                push_condition(sql, condition);
            }
        }
        push_texts(sql, self.filter);
    }

    fn push_span(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        push_bound(sql, " AND recorded_at >= ", span.from, self.filter.from, month_of);
        push_bound(sql, " AND recorded_at < ", span.to, self.filter.to, month_after);
        if let Some(after) = self.after {
            push_after(sql, self.order, after);
        }
    }
}

fn push_condition(sql: &mut QueryBuilder<Postgres>, Condition { column, values }: &Condition) {
    sql.push(" AND ").push(column.name());
    let of_type = match column {
        Column::Action | Column::Kind | Column::Cause => {
            sql.push(format_args!(" IN ('{}')", values.join("', '")));
            return;
        }
        Column::Change | Column::Request => "uuid",
        _ => "text",
    };
    match &values[..] {
        [value] => sql.push(" = ").push_bind(value.clone()).push("::").push(of_type),
        values => sql
            .push(" = ANY(")
            .push_bind(values.to_vec())
            .push("::")
            .push(of_type)
            .push("[])"),
    };
}

/// Appends a condition that limits a column to values. An empty list means all values.
pub(super) fn push_any(sql: &mut QueryBuilder<Postgres>, column: &str, values: Vec<String>) {
    if !values.is_empty() {
        sql.push(format_args!(" AND {column} = ANY("))
            .push_bind(values)
            .push(")");
    }
}

fn push_texts(sql: &mut QueryBuilder<Postgres>, filter: &EntryFilter) {
    let Some(text) = &filter.text else { return };
    let pattern = contains(text);
    // The expressions of the index `audit_entry_text`. The collation is Unicode's root, so the locale of the database does not
    // matter.
    sql.push(" AND (lower(reason COLLATE \"und-x-icu\") LIKE lower(");
    sql.push_bind(pattern.clone());
    sql.push("::text COLLATE \"und-x-icu\") OR lower(ticket COLLATE \"und-x-icu\") LIKE lower(");
    sql.push_bind(pattern).push("::text COLLATE \"und-x-icu\"))");
    if !has_indexed_text(filter) {
        sql.push(" IS TRUE"); // keeps Postgres from reading the whole trigram index, which cannot find this text
    }
}

/// The LIKE pattern for texts that contain `text`.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// The edge of a month is a literal, so that Postgres plans for that month's partition alone. A bound from the caller
/// is bound, like all values of callers, with the edge of its month as a literal beside it.
fn push_bound(
    sql: &mut QueryBuilder<Postgres>,
    condition: &str,
    bound: Option<Timestamp>,
    asked: Option<Timestamp>,
    edge: fn(Timestamp) -> Option<Timestamp>,
) {
    let Some(time) = bound else { return };
    let mut literal = Some(time);
    if bound == asked {
        sql.push(condition).push_bind(time.to_offset_date_time());
        literal = edge(time);
    }
    if let Some(time) = literal {
        sql.push(format_args!("{condition}'{time}'::timestamptz"));
    }
}

/// The time is also compared alone, which selects the partitions.
fn push_after(sql: &mut QueryBuilder<Postgres>, order: Order, after: &EntryPosition) {
    let time = after.recorded_at.to_offset_date_time();
    let (bound, row) = match order {
        Order::NewestFirst => (" AND recorded_at <= ", "<"),
        Order::OldestFirst => (" AND recorded_at >= ", ">"),
    };
    sql.push(bound).push_bind(time);
    sql.push(" AND (recorded_at, account_id, log_index) ")
        .push(row)
        .push(" (");
    sql.push_bind(time).push(", ");
    sql.push_bind(after.account.to_string()).push(", ");
    sql.push_bind(bigint(after.log_index)).push(")");
}
