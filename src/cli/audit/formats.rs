//! The formats of an export.

use super::line::Line;
use super::{cloudevents, ocsf};
use crate::cli::failure::{Exit, Failure};
use crate::cli::{spreadsheet, table};
use crate::ledger::Hash;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::export::{ExportWriter, Header, LineError};

use super::export::ExportFormat;

/// Writes entries in a format.
pub(super) enum Encoder {
    /// The verifiable file.
    Jsonl(ExportWriter),
    Csv,
    /// With the origin of the ledger.
    Ocsf(String),
    /// With the origin of the ledger.
    CloudEvents(String),
}

impl Encoder {
    /// Writes what comes before the entries to the end of `out`.
    pub(super) fn begin(format: ExportFormat, header: &Header, out: &mut String) -> Result<Self, Failure> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Jsonl(ExportWriter::begin(header, out).map_err(unwritten)?),
            ExportFormat::Csv => {
                out.push_str(&spreadsheet::line(table::head(&Line::default().record(&[])))?);
                Self::Csv
            }
            ExportFormat::Ocsf => Self::Ocsf(origin(header)),
            ExportFormat::Cloudevents => Self::CloudEvents(origin(header)),
        })
    }

    /// Writes the next entry to the end of `out`.
    pub(super) fn entry(&mut self, canonical: &str, hash: &Hash, out: &mut String) -> Result<(), Failure> {
        match self {
            Self::Jsonl(writer) => writer.entry(canonical, hash, out).map_err(unwritten)?,
            Self::Csv => out.push_str(&spreadsheet::line(table::values(Line::parse(canonical)?.record(hash)))?),
            Self::Ocsf(origin) => {
                out.push_str(&ocsf::event(origin, &Line::parse(canonical)?, canonical, hash));
                out.push('\n');
            }
            Self::CloudEvents(origin) => {
                out.push_str(&cloudevents::event(origin, &Line::parse(canonical)?, canonical));
                out.push('\n');
            }
        }
        Ok(())
    }
}

/// The origin that the checkpoint has: the name of the ledger among all ledgers.
fn origin(header: &Header) -> String {
    let note: Result<crate::ledger::Note, _> = header.checkpoint.parse();
    let checkpoint = note.ok().and_then(|note| note.text().parse::<Checkpoint>().ok());
    checkpoint.map_or_else(
        || format!("sharewarden/{}", header.account),
        |checkpoint| checkpoint.origin,
    )
}

fn unwritten(error: LineError) -> Failure {
    let what = format!("the export cannot be written: {error}");
    Failure::new(Exit::General, what, "report this: it is a fault of this program")
}
