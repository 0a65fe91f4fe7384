//! The SQL of a page of entries, with only the conditions of its filter.
//!
//! Kinds, actions, causes and the edges of months are literals, so that Postgres can choose partial indexes and partitions. All other
//! values are bound. The types of the literals cannot contain a quotation mark.

use sqlx::{Postgres, QueryBuilder};

use super::{
    EntryFilter, EntryPosition, Order,
    driver::{Column, Driver, has_indexed_text},
    entries::selected,
    windows::{Span, month_after, month_of},
};
use crate::{domain::Timestamp, store::rows::bigint};

/// A page of entries to read.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) filter: &'a EntryFilter,
    pub(super) order: Order,
    pub(super) after: Option<&'a EntryPosition>,
    pub(super) now: Timestamp,
}

impl Page<'_> {
    /// The statement that reads at most `limit` entries of the page from a time span.
    pub(super) fn statement(&self, driver: &Driver, span: Span, limit: u32) -> QueryBuilder<Postgres> {
        let mut sql = self.select();
        if let Driver::Each(column, values) = driver {
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

    /// The statement that reads at most `limit` entries of the page from the next `most` entries of any content in a time span.
    pub(super) fn walk(&self, span: Span, most: u32, limit: u32) -> QueryBuilder<Postgres> {
        let mut sql = self.select();
        sql.push("(SELECT * FROM audit_entry WHERE log_index >= 0");
        self.push_span(&mut sql, span);
        self.push_order(&mut sql, most);
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
        // `log_index >= 0` enables the index by time alone. Postgres would choose that index too often: a value can be frequent in a
        // month but rare at the end where the page starts.
        sql.push(match driver {
            Driver::Time => " WHERE log_index >= 0",
            _ => " WHERE true",
        });
        self.push_filter(sql, driver);
        self.push_span(sql, span);
    }

    fn push_filter(&self, sql: &mut QueryBuilder<Postgres>, driver: &Driver) {
        push_columns(sql, self.filter, driver);
        push_names(sql, self.filter);
        push_texts(sql, self.filter);
        push_ids(sql, self.filter);
    }

    fn push_span(&self, sql: &mut QueryBuilder<Postgres>, span: Span) {
        push_bound(sql, " AND recorded_at >= ", span.from, self.filter.from, month_of);
        push_bound(sql, " AND recorded_at < ", span.to, self.filter.to, month_after);
        if let Some(after) = self.after {
            push_after(sql, self.order, after);
        }
    }
}

/// The lists of values, except the one that the driver looks up value by value.
fn push_columns(sql: &mut QueryBuilder<Postgres>, filter: &EntryFilter, driver: &Driver) {
    for column in [Column::Account, Column::Region, Column::Principal] {
        if matches!(driver, Driver::Each(each, _) if *each == column) {
            continue;
        }
        let mut values = column.values(filter);
        match values.len() {
            0 => {}
            1 => {
                sql.push(" AND ")
                    .push(column.name())
                    .push(" = ")
                    .push_bind(values.pop());
            }
            _ => {
                sql.push(" AND ")
                    .push(column.name())
                    .push(" = ANY(")
                    .push_bind(values)
                    .push(")");
            }
        }
    }
}

/// The conditions on kinds, actions and causes.
fn push_names(sql: &mut QueryBuilder<Postgres>, filter: &EntryFilter) {
    let kinds = Column::Kind.values(filter);
    push_any_of(sql, "kind", kinds.iter().map(String::as_str).collect());
    push_any_of(
        sql,
        "action",
        filter.actions.iter().map(|action| action.as_str()).collect(),
    );
    push_any_of(sql, "cause", filter.causes.iter().map(|cause| cause.as_str()).collect());
}

fn push_any_of(sql: &mut QueryBuilder<Postgres>, column: &str, names: Vec<&str>) {
    match &names[..] {
        [] => {}
        [name] => {
            sql.push(format_args!(" AND {column} = '{name}'"));
        }
        names => {
            sql.push(format_args!(" AND {column} IN ('{}')", names.join("', '")));
        }
    }
}

fn push_texts(sql: &mut QueryBuilder<Postgres>, filter: &EntryFilter) {
    let Some(text) = &filter.text else { return };
    let pattern = contains(text);
    sql.push(" AND (reason ILIKE ").push_bind(pattern.clone());
    sql.push(" OR ticket ILIKE ").push_bind(pattern).push(")");
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

fn push_ids(sql: &mut QueryBuilder<Postgres>, filter: &EntryFilter) {
    if let Some(image) = &filter.image {
        sql.push(" AND image_id = ").push_bind(image.to_string());
    }
    if let Some(account) = &filter.shared_account {
        sql.push(" AND shared_account_id = ").push_bind(account.to_string());
    }
    if let Some(change) = &filter.change {
        sql.push(" AND change_id = ").push_bind(change.0);
    }
    if let Some(request) = &filter.request {
        sql.push(" AND request_id = ").push_bind(request.0);
    }
    if let Some(id) = &filter.aws_request {
        sql.push(" AND aws_request_id = ").push_bind(id.clone());
    }
}

/// The edge of a month is a literal, so that Postgres plans for that month's partition alone. A bound from the caller is bound, like all
/// values of callers, with the edge of its month as a literal beside it.
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
