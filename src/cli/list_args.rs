//! The options of lists: which columns, in which order, and the maximum of rows.

use std::cmp::Ordering;

use clap::Args;

use super::{
    failure::{Exit, Failure},
    options::Output,
    printer::ListItem,
    table::head,
    view::View,
};

/// The columns, the order and the maximum of the rows of a list.
#[derive(Debug, Clone, Default, Args)]
pub struct TableArgs {
    /// Stop after this number of items: 1 or more [default: 100 rows in a table on a terminal; else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// List all items
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show all columns with full values, on lines that may be longer than the terminal is wide
    #[arg(long)]
    wide: bool,
    /// Show these columns, in this order, by their names in the head, such as image,state
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "wide")]
    columns: Option<Vec<String>>,
    /// Sort by this column; write -NAME for the opposite order. Reads the whole list first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
}

impl TableArgs {
    /// The maximum that the user has given, if any.
    pub(super) fn limit(&self) -> Option<u64> {
        self.limit.or(self.all.then_some(u64::MAX))
    }

    pub(super) fn sort(&self) -> Option<&str> {
        self.sort.as_deref()
    }

    pub(super) fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// The view of the table.
    pub(super) fn view(&self, view: &View) -> View {
        if self.wide { view.wide() } else { *view }
    }

    /// Fails if an option names a column that the list does not have.
    pub(super) fn check<T: ListItem>(&self, output: Output) -> Result<(), Failure> {
        if self.columns.is_some() && output == Output::Json {
            let what = "--columns has no meaning for -o json, which has all fields";
            return Err(Failure::new(Exit::Invalid, what, "use -o table or -o csv"));
        }
        let known = names::<T>(output)?;
        let sort = self.sort.as_deref().map(|key| key.strip_prefix('-').unwrap_or(key));
        let mut named = self.columns.iter().flatten().map(String::as_str).chain(sort);
        let unknown = named.find(|name| position(&known, name).is_none());
        unknown.map_or(Ok(()), |name| {
            let known: Vec<_> = known.iter().map(|name| normal(name)).collect();
            let what = format!("this list has no column {name:?}");
            Err(Failure::new(Exit::Invalid, what, format!("use {}", known.join(", "))))
        })
    }
}

/// The names of the columns: those of the records for CSV, or else those of the table.
fn names<T: ListItem>(output: Output) -> Result<Vec<&'static str>, Failure> {
    let item = T::blank();
    Ok(match output {
        Output::Csv => head(&item.record()?),
        Output::Table | Output::Json => head(&item.row()),
    })
}

/// A name in the form that the options take.
fn normal(name: &str) -> String {
    name.to_lowercase().replace([' ', '_'], "-")
}

fn position(known: &[&str], name: &str) -> Option<usize> {
    known.iter().position(|known| normal(known) == normal(name))
}

/// The chosen columns, in the order in which they were chosen; all, without a choice.
pub(super) fn choose<V: Clone>(row: Vec<(&'static str, V)>, columns: Option<&[String]>) -> Vec<(&'static str, V)> {
    let Some(columns) = columns else {
        return row;
    };
    let known = head(&row);
    let chosen = columns
        .iter()
        .filter_map(|name| Some(row[position(&known, name)?].clone()));
    chosen.collect()
}

/// Sorts items by a column.
pub(super) fn sort<T: ListItem>(items: &mut Vec<T>, key: &str, output: Output) -> Result<(), Failure> {
    let (name, reverse) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
    let at = position(&names::<T>(output)?, name).unwrap_or_default();
    let view = View::plain();
    let mut keyed = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let value = match output {
            Output::Csv => item.record()?.swap_remove(at).1,
            Output::Table | Output::Json => item.row().swap_remove(at).1.full(&view),
        };
        keyed.push((value, item));
    }
    keyed.sort_by(|(a, _), (b, _)| if reverse { compare(b, a) } else { compare(a, b) });
    items.extend(keyed.into_iter().map(|(_, item)| item));
    Ok(())
}

/// Numbers by their value, all else as text.
fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}
