//! Prints things of one kind as they come, page by page: a table has one head, JSON is one document all the same.

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use super::console::{Console, unprintable};
use super::failure::{Failure, Stop};
use super::options::Output;
use super::table::Pieces;
use super::{json, spreadsheet};

/// What can be listed.
pub(super) trait Listed: Serialize {
    /// What they are called, also as the member of the JSON document.
    const NAME: &'static str;
    /// The head of the table.
    const HEAD: &'static [&'static str];
    /// The head of the CSV, in parts.
    const COLUMNS: &'static [&'static [&'static str]];

    /// Its row in the table.
    fn row(&self) -> Vec<String>;
    /// Its line in the CSV.
    fn record(&self) -> Result<Vec<String>, Failure>;
}

/// Prints things as they come.
pub(super) struct Printer<T> {
    form: Form,
    printed: u64,
    things: PhantomData<T>,
}

enum Form {
    Table(Pieces),
    /// One document, with a list in it.
    Document,
    /// One document each, on one line.
    Lines,
    Csv,
}

impl<T: Listed> Printer<T> {
    /// For a list that has an end.
    pub(super) fn of_list(output: Output) -> Self {
        let form = match output {
            Output::Table => Form::Table(Pieces::new(T::HEAD)),
            Output::Json => Form::Document,
            Output::Csv => Form::Csv,
        };
        Self::new(form)
    }

    /// For what comes without end: JSON is one line for each thing.
    pub(super) fn of_stream(output: Output) -> Self {
        match output {
            Output::Json => Self::new(Form::Lines),
            output => Self::of_list(output),
        }
    }

    fn new(form: Form) -> Self {
        Self {
            form,
            printed: 0,
            things: PhantomData,
        }
    }

    /// How many were printed so far.
    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints what comes before the first thing.
    pub(super) fn begin(&mut self, console: &mut Console<'_>) -> Result<(), Stop> {
        match self.form {
            Form::Document => console.print(format_args!("{{\n  \"{}\": [", T::NAME)),
            Form::Csv => console.print(spreadsheet::line(T::COLUMNS.concat())?),
            Form::Table(_) | Form::Lines => Ok(()),
        }
    }

    /// Prints the next things.
    pub(super) fn page(&mut self, things: &[T], console: &mut Console<'_>) -> Result<(), Stop> {
        match &mut self.form {
            Form::Table(table) => console.print(table.piece(things.iter().map(T::row).collect()))?,
            Form::Document => self.document(things, console)?,
            Form::Lines => {
                for thing in things {
                    console.print_line(value(thing)?)?;
                }
            }
            Form::Csv => {
                for thing in things {
                    console.print(spreadsheet::line(thing.record()?)?)?;
                }
            }
        }
        self.printed += things.len() as u64;
        console.flush()
    }

    fn document(&self, things: &[T], console: &mut Console<'_>) -> Result<(), Stop> {
        for (at, thing) in things.iter().enumerate() {
            let comma = if at == 0 && self.printed == 0 { "" } else { "," };
            console.print(format_args!("{comma}\n    {}", value(thing)?))?;
        }
        Ok(())
    }

    /// Prints what comes after the last thing; a document gets one more member, if there is one.
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

fn value(thing: &impl Serialize) -> Result<Value, Failure> {
    json::value(thing).map_err(|error| unprintable(&error))
}
