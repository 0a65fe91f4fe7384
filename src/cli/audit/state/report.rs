//! The result of the comparison.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::recorded_rows::RowName;
use crate::cli::text::one_line;

/// One field of one row that is not what the entries tell.
pub(super) struct Difference {
    pub(super) row: String,
    pub(super) field: &'static str,
    /// What the ledger says.
    pub(super) ledger: String,
    /// What the table says.
    pub(super) table: String,
}

impl Difference {
    /// A whole row that one side does not have.
    pub(super) fn of_row(name: &RowName, is_recorded: bool) -> Self {
        let has = |has: bool| if has { "present" } else { "absent" }.to_owned();
        Self {
            row: name.to_string(),
            field: "row",
            ledger: has(is_recorded),
            table: has(!is_recorded),
        }
    }
}

/// What was compared, and the differences.
pub(in crate::cli::audit) struct StateReport {
    permissions: usize,
    changes: usize,
    shares: usize,
    pub(super) counts: usize,
    /// One past the last entry that the rows were compared with.
    pub(super) end_index: u64,
    pub(super) differences: Vec<Difference>,
}

/// What no call of the API shows.
const UNCOMPARED: &str = "the rows of requests, the time from which the end of a share is due, the sums of rankings over all accounts, \
                          and values below the 100th of a ranking: no call shows them";

impl StateReport {
    pub(super) fn of(rows: &BTreeSet<RowName>) -> Self {
        let count = |is_of: fn(&RowName) -> bool| rows.iter().filter(|name| is_of(name)).count();
        Self {
            permissions: count(|name| matches!(name, RowName::Permission(_))),
            changes: count(|name| matches!(name, RowName::Change(..))),
            shares: count(|name| matches!(name, RowName::Share(..))),
            counts: 0,
            end_index: 0,
            differences: Vec::new(),
        }
    }

    /// The number of differences.
    pub(in crate::cli::audit) fn differences(&self) -> usize {
        self.differences.len()
    }

    /// What was compared, and a line for each difference.
    pub(in crate::cli::audit) fn text(&self) -> String {
        let Self {
            permissions,
            changes,
            shares,
            counts,
            end_index,
            differences,
        } = self;
        let mut lines = vec![format!(
            "{permissions} permissions, {changes} changes, {shares} shares and {counts} counts were compared with {end_index} entries: \
             {} differences",
            differences.len()
        )];
        lines.extend(differences.iter().map(|each| {
            format!(
                "{}, {}: the ledger says {:?}, the table says {:?}",
                one_line(&each.row),
                each.field,
                each.ledger,
                each.table
            )
        }));
        lines.join("\n")
    }

    /// What was not compared.
    pub(in crate::cli::audit) fn unknown() -> &'static str {
        UNCOMPARED
    }

    pub(in crate::cli::audit) fn json(&self) -> Value {
        let differences = self
            .differences
            .iter()
            .map(|each| json!({ "row": each.row, "field": each.field, "ledger": each.ledger, "table": each.table }));
        json!({
            "permissions": self.permissions,
            "changes": self.changes,
            "shares": self.shares,
            "counts": self.counts,
            "endIndex": self.end_index.to_string(),
            "differences": differences.collect::<Vec<_>>(),
        })
    }
}
