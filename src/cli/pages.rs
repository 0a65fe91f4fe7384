//! Requests the pages of a list, and prints each when it arrives.

use clap::Args;

use super::{
    console::{Console, unprintable},
    failure::Stop,
    format::rfc3339_seconds,
    json,
    options::Output,
    printer::{ListItem, Printer},
    text::one_line,
};
use crate::{client::Error, proto::v1::ArchivedRange};

/// The page size and the limit of a list.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// The number of items of one call: 1 to 500
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=500))]
    page_size: i32,
    /// Stop after this number of items: 1 or more [default: list all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
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

/// Requests all pages and prints each. `ask` gets the page size and the page token.
pub(super) async fn follow<T: ListItem>(
    args: &PageArgs,
    output: Output,
    console: &mut Console<'_>,
    mut ask: impl AsyncFnMut(i32, String) -> Result<ListPage<T>, Error>,
) -> Result<(), Stop> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut printer = Printer::of_list(output);
    let mut archived = Vec::new();
    let mut page_token = String::new();
    loop {
        let wanted = limit - printer.printed();
        let page_size = i32::try_from(wanted).unwrap_or(args.page_size).min(args.page_size);
        let first = page_token.is_empty();
        let mut page = ask(page_size, page_token).await?;
        if first {
            printer.begin(console)?;
        }
        archived.append(&mut page.archived);
        page.items.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        printer.page(&page.items, console)?;
        let more = !page.next_page_token.is_empty();
        if !more || printer.printed() == limit {
            return end(printer, more, &archived, console);
        }
        page_token = page.next_page_token;
    }
}

fn end<T: ListItem>(
    printer: Printer<T>,
    more: bool,
    archived: &[ArchivedRange],
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let printed = printer.printed();
    let member = match archived {
        [] => None,
        archived => Some(("archived", json::value(&archived).map_err(|error| unprintable(&error))?)),
    };
    printer.end(member, console)?;
    if printed == 0 {
        console.note(format_args!("note: there are no such {}", T::NAME));
    } else if more {
        console.note(format_args!("note: stopped at --limit {printed}; there may be more"));
    }
    for range in archived {
        console.note(missing(range));
    }
    Ok(())
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
