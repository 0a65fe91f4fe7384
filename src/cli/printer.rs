//! Prints the items of a list page by page. A table has one head, and JSON is one document, over all pages.

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use super::{
    cell::TableRow,
    console::{Console, unprintable},
    failure::{Failure, Stop},
    json,
    list_args::{TableArgs, choose},
    options::Output,
    spreadsheet,
    table::{self, Cells, Fit, StreamedTable},
    view::View,
};

/// A message that can be an item of a list.
pub(super) trait ListItem: Serialize + Default {
    /// The plural name, which is also the member of the JSON document.
    const NAME: &'static str;
    /// The columns that a narrow terminal does without, the first one first.
    const DISPENSABLE: &'static [&'static str];

    /// The row in the table.
    fn row(&self) -> TableRow;
    /// The record in the CSV.
    fn record(&self) -> Result<Cells, Failure>;

    /// An empty item. Its record has the column names of the CSV.
    fn blank() -> Self {
        Self::default()
    }
}

/// Prints items, page by page.
pub(super) struct Printer<T> {
    form: Form,
    table: TableArgs,
    printed: u64,
    items: PhantomData<T>,
}

enum Form {
    Table(StreamedTable),
    /// One JSON document with an array.
    Document,
    /// One JSON document for each item, on one line.
    Lines,
    Csv,
}

impl<T: ListItem> Printer<T> {
    /// A printer for a list.
    pub(super) fn of_list(output: Output) -> Self {
        let form = match output {
            Output::Table => Form::Table(StreamedTable::default()),
            Output::Json => Form::Document,
            Output::Csv => Form::Csv,
        };
        Self::new(form)
    }

    /// A printer for a stream without an end. JSON has one line for each item.
    pub(super) fn of_stream(output: Output) -> Self {
        match output {
            Output::Json => Self::new(Form::Lines),
            output => Self::of_list(output),
        }
    }

    fn new(form: Form) -> Self {
        Self {
            form,
            table: TableArgs::default(),
            printed: 0,
            items: PhantomData,
        }
    }

    /// Prints the columns of the options.
    pub(super) fn with(mut self, table: &TableArgs) -> Self {
        self.table = table.clone();
        self
    }

    fn record(&self, item: &T) -> Result<Vec<String>, Failure> {
        Ok(table::values(choose(item.record()?, self.table.columns())))
    }

    fn fit(&self) -> Fit<'static> {
        match self.table.columns() {
            Some(_) => Fit::Chosen,
            None => Fit::Columns(T::DISPENSABLE),
        }
    }

    /// The number of items that were printed.
    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints the start of the output, before the first item.
    pub(super) fn begin(&mut self, console: &mut Console<'_>) -> Result<(), Stop> {
        match self.form {
            Form::Document => console.print(format_args!("{{\n  \"{}\": [", T::NAME)),
            Form::Csv => {
                let names = choose(T::blank().record()?, self.table.columns());
                console.print(spreadsheet::line(table::head(&names))?)
            }
            Form::Table(_) | Form::Lines => Ok(()),
        }
    }

    /// Prints the next items.
    pub(super) fn page(&mut self, items: &[T], console: &mut Console<'_>) -> Result<(), Stop> {
        let (fit, view) = (self.fit(), self.table.view(console.view()));
        match &mut self.form {
            Form::Table(streamed) => {
                let rows = items.iter().map(|item| choose(item.row(), self.table.columns()));
                // What is printed in parts stays on the screen while time passes.
                let view = View {
                    relative: false,
                    ..view
                };
                console.print(streamed.chunk(&rows.collect::<Vec<_>>(), fit, &view))?;
            }
            Form::Document => self.document(items, console)?,
            Form::Lines => {
                for item in items {
                    console.print_line(value(item)?)?;
                }
            }
            Form::Csv => {
                for item in items {
                    console.print(spreadsheet::line(self.record(item)?)?)?;
                }
            }
        }
        self.printed += items.len() as u64;
        console.flush()
    }

    /// Prints a table with all its rows, for a terminal. Returns the names of the columns that did not fit.
    pub(super) fn whole(&mut self, items: &[T], console: &mut Console<'_>) -> Result<Vec<&'static str>, Stop> {
        let rows = items.iter().map(|item| choose(item.row(), self.table.columns()));
        let drawn = table::list(&rows.collect::<Vec<_>>(), self.fit(), &self.table.view(console.view()));
        console.print_list(&drawn.text)?;
        self.printed += items.len() as u64;
        console.flush()?;
        Ok(drawn.left_out)
    }

    fn document(&self, items: &[T], console: &mut Console<'_>) -> Result<(), Stop> {
        for (at, item) in items.iter().enumerate() {
            let comma = if at == 0 && self.printed == 0 { "" } else { "," };
            console.print(format_args!("{comma}\n    {}", value(item)?))?;
        }
        Ok(())
    }

    /// Prints the end of the output, after the last item. Adds `member` to a JSON document.
    pub(super) fn end(self, member: Option<(&str, Value)>, console: &mut Console<'_>) -> Result<(), Stop> {
        if !matches!(self.form, Form::Document) {
            return Ok(());
        }
        console.print(if self.printed == 0 { "]" } else { "\n  ]" })?;
        if let Some((name, value)) = member {
            console.print(format_args!(",\n  \"{name}\": {value}"))?;
        }
        console.print_line("\n}")
    }
}

fn value(item: &impl Serialize) -> Result<Value, Failure> {
    json::value(item).map_err(|error| unprintable(&error))
}
