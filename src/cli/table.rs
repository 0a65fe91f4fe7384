//! Tables without borders, so that `cut` and `grep` work on them. A list has one line for each row.
//!
//! Output that is not a terminal has all columns and full values. A list that is wider than its terminal gives up, in this order:
//! empty columns; columns with one value, which is told above; the ends of texts and the middles of ids; whole columns.

use unicode_width::UnicodeWidthStr;

use super::{
    cell::{Cell, TableRow},
    text::{cut, wrap},
    view::View,
};

/// The spaces between two columns.
const GAP: usize = 2;

/// The values of a CSV record, each with the name of its column.
pub(super) type Cells = Vec<(&'static str, String)>;

/// The names of the columns.
pub(super) fn head<T>(cells: &[(&'static str, T)]) -> Vec<&'static str> {
    cells.iter().map(|(name, _)| *name).collect()
}

/// The cells without their names.
pub(super) fn values(cells: Cells) -> Vec<String> {
    cells.into_iter().map(|(_, value)| value).collect()
}

/// One object, with one line for each name and value. Empty values are left out; values wrap between words.
pub(super) fn pairs<V: Into<Cell>>(rows: impl IntoIterator<Item = (&'static str, V)>, view: &View) -> String {
    let rows = rows.into_iter().map(|(name, value)| {
        let cell = value.into();
        (name, cell.detailed(view), cell)
    });
    let rows: Vec<_> = rows.filter(|(_, text, _)| !text.is_empty()).collect();
    let label = rows.iter().map(|(name, ..)| name.width()).max().unwrap_or_default() + GAP;
    let mut out = String::new();
    for (name, text, cell) in rows {
        let lines = match view.width {
            Some(width) => wrap(&text, usize::from(width).saturating_sub(label)),
            None => text.split('\n').map(str::to_owned).collect(),
        };
        for (at, line) in lines.iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            push_line(
                &mut out,
                &[(name.to_owned(), label - name.width()), (cell.colored(line, view), 0)],
            );
        }
    }
    out
}

/// A list, and the names of the columns that did not fit.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) text: String,
    pub(super) left_out: Vec<&'static str>,
}

/// What a list gives up to fit its terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fit<'a> {
    /// Empty columns and repeated values, then these columns in this order.
    Columns(&'a [&'static str]),
    /// Only the ends of values: the user has chosen the columns.
    Chosen,
}

/// A list of objects, one row each under a head; empty if the list is empty.
pub(super) fn list(rows: &[TableRow], fit: Fit<'_>, view: &View) -> Drawn {
    if rows.is_empty() {
        return Drawn::default();
    }
    let mut columns = columns(rows, view);
    let Some(width) = view.width.map(usize::from) else {
        let text = draw(&columns, rows.len(), true, view);
        return Drawn {
            text,
            left_out: Vec::new(),
        };
    };
    let mut drawn = Drawn::default();
    if let Fit::Columns(order) = fit {
        let mut told = take_constants(&mut columns, rows.len());
        for name in too_many(&mut columns, order, width) {
            match rows {
                [row] => told.extend(
                    row.iter()
                        .filter(|(column, _)| *column == name.name)
                        .map(|_| value_of(&name)),
                ),
                _ => drawn.left_out.push(name.name),
            }
        }
        drawn.text = above(&told, width, view);
    }
    shrink(&mut columns, width);
    drawn.text.push_str(&draw(&columns, rows.len(), true, view));
    drawn
}

/// The width of a list of these rows, with the gap after its last column.
pub(super) fn width<'a>(head: &[&str], rows: impl Iterator<Item = &'a Vec<String>>) -> u16 {
    let mut widths: Vec<_> = head.iter().map(|name| name.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let width: usize = widths.iter().map(|width| width + GAP).sum();
    u16::try_from(width).unwrap_or(u16::MAX)
}

/// A list that is printed in parts, with one head. Columns never become narrower from part to part.
#[derive(Default)]
pub(super) struct StreamedTable {
    /// The columns and their widths. Empty before the first part with rows.
    widths: Vec<(&'static str, usize)>,
}

impl StreamedTable {
    /// The next part. The head is in the first part with rows. On a terminal, the first part decides the widths.
    pub(super) fn chunk(&mut self, rows: &[TableRow], fit: Fit<'_>, view: &View) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let mut columns = columns(rows, view);
        let first = self.widths.is_empty();
        match view.width.map(usize::from) {
            Some(width) if first => {
                if let Fit::Columns(order) = fit {
                    too_many(&mut columns, order, width);
                }
                shrink(&mut columns, width);
            }
            Some(_) => {
                columns.retain(|column| self.widths.iter().any(|(name, _)| *name == column.name));
                for (column, (_, width)) in columns.iter_mut().zip(&self.widths) {
                    column.width = *width;
                }
            }
            None => {
                for (column, (_, width)) in columns.iter_mut().zip(&self.widths) {
                    column.width = column.width.max(*width);
                }
            }
        }
        self.widths = columns.iter().map(|column| (column.name, column.width)).collect();
        draw(&columns, rows.len(), first, view)
    }
}

/// A column of a list.
struct ListColumn<'a> {
    name: &'static str,
    cells: Vec<(&'a Cell, String)>,
    width: usize,
    min: usize,
}

fn columns<'a>(rows: &'a [TableRow], view: &View) -> Vec<ListColumn<'a>> {
    let names = rows.first().map(|row| head(row)).unwrap_or_default();
    let column = |(at, name): (usize, &&'static str)| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|(_, cell)| {
            let text = if view.width.is_some() {
                cell.fitted(view)
            } else {
                cell.full(view)
            };
            (cell, text)
        });
        let cells: Vec<_> = cells.collect();
        let widths = cells.iter().map(|(_, text)| text.width());
        let mins = cells.iter().map(|(cell, text)| cell.min_width(text.width()));
        ListColumn {
            name,
            width: widths.chain([name.width()]).max().unwrap_or_default(),
            min: mins.chain([name.width()]).max().unwrap_or_default(),
            cells,
        }
    };
    names.iter().enumerate().map(column).collect()
}

/// Removes the columns that are empty, and those with the same value in all rows. Returns the names and values of the latter.
fn take_constants(columns: &mut Vec<ListColumn<'_>>, rows: usize) -> Vec<(&'static str, String)> {
    columns.retain(|column| column.cells.iter().any(|(_, text)| !text.is_empty()));
    let mut told = Vec::new();
    if rows > 1 {
        columns.retain(|column| {
            let same = column.cells.windows(2).all(|pair| pair[0].0 == pair[1].0);
            if same {
                told.push(value_of(column));
            }
            !same
        });
    }
    told
}

fn value_of(column: &ListColumn<'_>) -> (&'static str, String) {
    let value = column.cells.first().map(|(_, text)| text.clone());
    (column.name, value.unwrap_or_default())
}

/// Removes columns in this order until the rest fits, and returns them.
fn too_many<'a>(columns: &mut Vec<ListColumn<'a>>, order: &[&'static str], width: usize) -> Vec<ListColumn<'a>> {
    let mut removed = Vec::new();
    for name in order {
        let needed: usize = columns.iter().map(|column| column.min + GAP).sum();
        if needed <= width + GAP {
            break;
        }
        let at = columns.iter().position(|column| column.name == *name);
        removed.extend(at.map(|at| columns.remove(at)));
    }
    removed
}

/// Makes the widest columns narrower until the list fits; those that keep their smallest width come last.
fn shrink(columns: &mut [ListColumn<'_>], width: usize) {
    while columns.iter().map(|column| column.width + GAP).sum::<usize>() > width + GAP {
        let widest = columns
            .iter_mut()
            .max_by_key(|column| (column.width > column.min, column.width));
        match widest.filter(|column| column.width > 1) {
            Some(column) => column.width -= 1,
            None => return,
        }
    }
}

/// What is the same in all rows: names and values, as many on a line as fit.
fn above(told: &[(&'static str, String)], width: usize, view: &View) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (name, value) in told {
        let fact = cut(&format!("{name}: {value}"), width, view.ellipsis());
        match lines.last_mut() {
            Some(line) if line.width() + GAP + fact.width() <= width => *line = format!("{line}  {fact}"),
            _ => lines.push(fact),
        }
    }
    match lines.as_slice() {
        [] => String::new(),
        lines => format!("{}\n\n", lines.join("\n")),
    }
}

fn draw(columns: &[ListColumn<'_>], rows: usize, with_head: bool, view: &View) -> String {
    let mut out = String::new();
    if with_head {
        let names = columns.iter().map(|column| {
            let name = cut(column.name, column.width, view.ellipsis());
            let padding = column.width + GAP - name.width();
            (name, padding)
        });
        push_line(&mut out, &names.collect::<Vec<_>>());
    }
    for row in 0..rows {
        let cells = columns.iter().filter_map(|column| {
            let (cell, text) = column.cells.get(row)?;
            let text = cell.cut(text, column.width, view);
            let padding = column.width + GAP - text.width();
            Some((cell.colored(&text, view), padding))
        });
        push_line(&mut out, &cells.collect::<Vec<_>>());
    }
    out
}

/// One line of texts, each followed by this number of spaces. Nothing follows the last text.
fn push_line(out: &mut String, cells: &[(String, usize)]) {
    let last = cells.iter().rposition(|(text, _)| !text.is_empty());
    for (at, (text, padding)) in cells.iter().enumerate() {
        out.push_str(text);
        if last.is_some_and(|last| at < last) {
            out.extend(std::iter::repeat_n(' ', *padding));
        }
    }
    out.push('\n');
}
