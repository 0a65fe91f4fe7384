//! Tables without borders and colours, so that `cut` and `grep` work on them.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// The spaces between two columns.
const GAP: u16 = 2;

/// The cells of one row, each with the name of its column.
pub(super) type Cells = Vec<(&'static str, String)>;

/// The names of the columns.
pub(super) fn head(cells: &Cells) -> Vec<&'static str> {
    cells.iter().map(|(name, _)| *name).collect()
}

/// The cells without their names.
pub(super) fn values(cells: Cells) -> Vec<String> {
    cells.into_iter().map(|(_, value)| value).collect()
}

/// One object, with one line for each name and value. Empty values are left out; values wrap to `width`.
pub(super) fn pairs(rows: Cells, width: Option<u16>) -> String {
    let mut table = plain(width);
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([name.to_owned(), value]);
    }
    shape(&mut table);
    finished(&table)
}

/// A list of objects, one row each under a head; empty if the list is empty.
pub(super) fn list(list: Vec<Cells>, width: Option<u16>) -> String {
    let Some(first) = list.first() else {
        return String::new();
    };
    rows(&head(first), list.into_iter().map(values).collect(), width)
}

/// Rows under a head. Only the last column wraps, so that ids can be copied.
pub(super) fn rows(head: &[&str], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = plain(width);
    table.set_header(head);
    table.add_rows(rows);
    shape(&mut table);
    finished(&table)
}

/// The width of a table of these rows, with the gap after its last column.
pub(super) fn width<'a>(head: &'a [String], rows: impl Iterator<Item = &'a Vec<String>>) -> u16 {
    let mut widths = vec![0; head.len()];
    for row in std::iter::once(head).chain(rows.map(Vec::as_slice)) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let width: usize = widths.iter().map(|width| width + usize::from(GAP)).sum();
    u16::try_from(width).unwrap_or(u16::MAX)
}

/// A table that is printed in parts, with one head. Columns never become narrower from part to part.
#[derive(Default)]
pub(super) struct StreamedTable {
    /// Empty before the first part with rows.
    widths: Vec<u16>,
}

impl StreamedTable {
    /// The next part. The head is in the first part with rows.
    pub(super) fn chunk(&mut self, rows: Vec<Cells>) -> String {
        let Some(first) = rows.first() else {
            return String::new();
        };
        let mut table = plain(None);
        if self.widths.is_empty() {
            self.widths = vec![0; first.len()];
            table.set_header(head(first));
        }
        table.add_rows(rows.into_iter().map(values));
        shape(&mut table);
        self.keep_widths(&mut table);
        finished(&table)
    }

    fn keep_widths(&mut self, table: &mut Table) {
        for (known, seen) in self.widths.iter_mut().zip(table.column_max_content_widths()) {
            *known = (*known).max(seen);
        }
        for (column, known) in table.column_iter_mut().zip(&self.widths) {
            let width = Width::Fixed(known + column.padding_width());
            column.set_constraint(ColumnConstraint::LowerBoundary(width));
        }
    }
}

fn plain(width: Option<u16>) -> Table {
    let mut table = Table::new();
    // The caller sets the width, because only it knows whether the output is a terminal.
    table.load_style(presets::NOTHING).force_no_tty();
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table
}

fn shape(table: &mut Table) {
    let last = table.column_count().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { GAP }));
        column.set_cell_alignment(CellAlignment::Left);
        if at != last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

fn finished(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    format!("{}\n", table.trim_fmt())
}
