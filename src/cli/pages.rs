//! Requests the pages of a list, and prints them: each when it arrives, or all at once if a terminal or --sort needs all rows.

use std::mem;

use clap::Args;

use super::{
    console::{Console, unprintable},
    failure::Stop,
    format::rfc3339_seconds,
    json,
    list_args::{TableArgs, sort},
    options::Output,
    printer::{ListItem, Printer},
    text::one_line,
};
use crate::{client::Error, proto::v1::ArchivedRange};

/// The maximum of rows of a list on a terminal without --limit and --all.
const TERMINAL_LIMIT: u64 = 100;

/// The page size and the display of a list.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// The number of items of one call: 1 to 500
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=500))]
    page_size: i32,
    #[command(flatten)]
    table: TableArgs,
}

impl PageArgs {
    /// The display of a list that comes in one answer.
    pub(super) fn of(table: TableArgs) -> Self {
        Self { page_size: 100, table }
    }
}

/// A page of a list.
pub(super) struct ListPage<T> {
    pub(super) items: Vec<T>,
    pub(super) next_page_token: String,
    /// The entries that are not listed because they are archived. Later pages have only those archived since the page before.
    pub(super) archived: Vec<ArchivedRange>,
}

impl<T> ListPage<T> {
    /// A page of a list that is never archived.
    pub(super) fn of(items: Vec<T>, next_page_token: String) -> Self {
        Self {
            items,
            next_page_token,
            archived: Vec::new(),
        }
    }
}

/// Requests all pages and prints them. `ask` gets the page size and the page token.
pub(super) async fn follow<T: ListItem>(
    args: &PageArgs,
    output: Output,
    console: &mut Console<'_>,
    mut ask: impl AsyncFnMut(i32, String) -> Result<ListPage<T>, Error>,
) -> Result<(), Stop> {
    let table = &args.table;
    table.check::<T>(output)?;
    let on_terminal = output == Output::Table && console.view().width.is_some();
    let default = if on_terminal { TERMINAL_LIMIT } else { u64::MAX };
    let limit = table.limit().unwrap_or(default);
    // A sorted list begins with any of the rows, so all are needed.
    let needed = if table.sort().is_some() { u64::MAX } else { limit };
    let mut printer = Printer::of_list(output).with(table);
    let mut kept = Vec::new();
    let mut archived = Vec::new();
    let mut page_token = String::new();
    let mut taken = 0;
    let more = loop {
        let wanted = needed - taken;
        let page_size = i32::try_from(wanted).unwrap_or(args.page_size).min(args.page_size);
        let first = page_token.is_empty();
        let mut page = ask(page_size, page_token).await?;
        if first {
            printer.begin(console)?;
        }
        archived.append(&mut page.archived);
        page.items.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        taken += page.items.len() as u64;
        if on_terminal || table.sort().is_some() {
            kept.append(&mut page.items);
        } else {
            printer.page(&page.items, console)?;
        }
        let more = !page.next_page_token.is_empty();
        if !more || taken == needed {
            break more;
        }
        page_token = page.next_page_token;
    };
    if let Some(key) = table.sort() {
        sort(&mut kept, key, output)?;
        kept.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let left_out = if on_terminal {
        printer.whole(&kept, console)?
    } else {
        printer.page(&mem::take(&mut kept), console)?;
        Vec::new()
    };
    let rest = Rest {
        printed: printer.printed(),
        known: taken,
        more,
        by_default: table.limit().is_none(),
    };
    let member = match archived.as_slice() {
        [] => None,
        archived => Some(("archived", json::value(&archived).map_err(|error| unprintable(&error))?)),
    };
    printer.end(member, console)?;
    if let Some(note) = rest.note(T::NAME) {
        console.note(note);
    }
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        console.note(format_args!(
            "note: columns that do not fit: {names} (--wide shows all, --columns some)"
        ));
    }
    for range in &archived {
        console.note(missing(range));
    }
    Ok(())
}

/// What is known about the rows that were not printed.
struct Rest {
    printed: u64,
    /// The number of rows that arrived.
    known: u64,
    /// True if the service has another page, which may be empty.
    more: bool,
    /// True if the user has given no limit.
    by_default: bool,
}

impl Rest {
    fn note(&self, name: &str) -> Option<String> {
        let Self { printed, known, .. } = self;
        let how = if self.by_default { "; --all lists all" } else { "" };
        match (printed, self.more) {
            (0, _) => Some(format!("note: there are no such {name}")),
            (_, false) if known > printed => Some(format!("note: {printed} of {known} {name}{how}")),
            (_, true) if self.by_default => Some(format!("note: the first {printed} {name}; there may be more{how}")),
            (_, true) => Some(format!("note: stopped at --limit {printed}; there may be more")),
            (_, false) => None,
        }
    }
}

fn missing(range: &ArchivedRange) -> String {
    format!(
        "note: not listed, because archived: entries {} to {} of {}, until {}, in {}",
        range.start_index,
        range.end_index.saturating_sub(1),
        one_line(&range.account_id),
        rfc3339_seconds(range.end_time.as_ref()),
        one_line(&range.location),
    )
}
