//! Counts and rankings as tables with bars, and as CSV.

use super::chart::Bars;
use crate::{
    cli::{
        cell::{Cell, TableRow},
        console::Console,
        failure::Stop,
        format::{action, name, rfc3339},
        spreadsheet,
        table::{self, Fit},
        text::one_line,
    },
    proto::v1::{
        SummarizeAuditEntriesRequest, SummarizeAuditEntriesResponse, SummaryCount, SummaryDimension, SummaryInterval,
        SummaryRanked, SummaryRanking,
    },
};

/// The length of a date in RFC 3339.
const DATE: usize = 10;

/// Prints the counts, then each ranking.
pub(super) fn print(
    request: &SummarizeAuditEntriesRequest,
    answer: &SummarizeAuditEntriesResponse,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    console.note(format_args!(
        "note: from {} to {}, UTC",
        rfc3339(request.start_time.as_ref()),
        rfc3339(request.end_time.as_ref())
    ));
    if answer.counts.is_empty() {
        console.note("note: there are no such entries");
        return Ok(());
    }
    let columns = Columns::of(request);
    let whole_days = console.view().width.is_some() && request.interval() != SummaryInterval::Hour;
    let rows = answer.counts.iter().map(|count| {
        let mut cells = columns.cells(count);
        if whole_days && columns.time {
            // The time of day is always midnight.
            cells[0].truncate(DATE);
        }
        (cells, count.count)
    });
    console.print(with_bars(columns.head(false, "COUNT"), rows.collect(), console))?;
    for ranked in &answer.rankings {
        let rows = ranked
            .ranks
            .iter()
            .map(|rank| (vec![one_line(&rank.value)], rank.count));
        let head = vec![ranking_head(ranked), "REQUESTS"];
        console.print_line("")?;
        console.print(with_bars(head, rows.collect(), console))?;
    }
    Ok(())
}

/// The counts as CSV.
pub(super) fn csv_of_counts(
    request: &SummarizeAuditEntriesRequest,
    answer: &SummarizeAuditEntriesResponse,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let columns = Columns::of(request);
    console.print(spreadsheet::line(columns.head(true, "count"))?)?;
    for count in &answer.counts {
        let mut cells = columns.cells(count);
        cells.push(count.count.to_string());
        console.print(spreadsheet::line(cells)?)?;
    }
    Ok(())
}

/// The rankings as CSV.
pub(super) fn csv_of_rankings(answer: &SummarizeAuditEntriesResponse, console: &mut Console<'_>) -> Result<(), Stop> {
    console.print(spreadsheet::line(["ranking", "value", "count"])?)?;
    for ranked in &answer.rankings {
        for rank in &ranked.ranks {
            let cells = [ranking(ranked), rank.value.clone(), rank.count.to_string()];
            console.print(spreadsheet::line(cells)?)?;
        }
    }
    Ok(())
}

/// The columns before the count: the bucket and the dimensions of the request.
struct Columns {
    time: bool,
    dimensions: Vec<SummaryDimension>,
}

impl Columns {
    fn of(request: &SummarizeAuditEntriesRequest) -> Self {
        Self {
            time: request.interval != SummaryInterval::Unspecified as i32,
            dimensions: request.group_by().collect(),
        }
    }

    /// The names of the columns, in the table or in CSV.
    fn head(&self, csv: bool, count: &'static str) -> Vec<&'static str> {
        let pick = |table, name| if csv { name } else { table };
        let time = self.time.then(|| pick("FROM", "from"));
        let dimensions = self.dimensions.iter().map(|dimension| match dimension {
            SummaryDimension::Account => pick("ACCOUNT", "account"),
            SummaryDimension::Region => pick("REGION", "region"),
            SummaryDimension::Action => pick("ACTION", "action"),
            SummaryDimension::Kind => pick("KIND", "kind"),
            SummaryDimension::Unspecified => "",
        });
        time.into_iter().chain(dimensions).chain([count]).collect()
    }

    fn cells(&self, count: &SummaryCount) -> Vec<String> {
        let time = self.time.then(|| rfc3339(count.start_time.as_ref()));
        let dimensions = self.dimensions.iter().map(|dimension| match dimension {
            SummaryDimension::Account => one_line(&count.account_id),
            SummaryDimension::Region => one_line(&count.region),
            SummaryDimension::Action => action(count.action),
            SummaryDimension::Kind => one_line(&count.kind),
            SummaryDimension::Unspecified => String::new(),
        });
        time.into_iter().chain(dimensions).collect()
    }
}

/// A table with bars in its last column, if the terminal is wide enough.
fn with_bars(mut head: Vec<&'static str>, rows: Vec<(Vec<String>, u64)>, console: &Console<'_>) -> String {
    let cells = |(mut cells, count): (Vec<String>, u64)| {
        cells.push(count.to_string());
        (cells, count)
    };
    let mut rows: Vec<_> = rows.into_iter().map(cells).collect();
    let max = rows.iter().map(|(_, count)| *count).max().unwrap_or_default();
    let taken = table::width(&head, rows.iter().map(|(cells, _)| cells));
    if let Some(bars) = Bars::beside(taken, console.view().width, console.has_unicode()) {
        head.push("");
        for (cells, count) in &mut rows {
            cells.push(bars.bar(*count, max));
        }
    }
    let row = |(cells, _): (Vec<String>, u64)| head.iter().copied().zip(cells.into_iter().map(Cell::Text)).collect();
    let rows: Vec<TableRow> = rows.into_iter().map(row).collect();
    table::list(&rows, Fit::Chosen, console.view()).text
}

fn ranking(ranked: &SummaryRanked) -> String {
    name(ranked.ranking, "SUMMARY_RANKING_", SummaryRanking::as_str_name)
        .to_lowercase()
        .replace('_', " ")
}

fn ranking_head(ranked: &SummaryRanked) -> &'static str {
    match ranked.ranking() {
        SummaryRanking::Principal => "PRINCIPAL",
        SummaryRanking::Image => "IMAGE",
        SummaryRanking::SharedAccount => "SHARED ACCOUNT",
        SummaryRanking::Unspecified => "VALUE",
    }
}
