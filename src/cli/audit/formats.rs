//! Encodes the entries of an export in each format.

use super::{canonical::CanonicalEntry, cloudevents, export::ExportFormat, ocsf};
use crate::{
    cli::{
        failure::{Exit, Failure},
        spreadsheet, table,
    },
    ledger::{
        Hash,
        checkpoint::Checkpoint,
        export::{ExportWriter, Header, LineError, PolicySetText},
    },
};

/// Writes entries in a format.
pub(super) enum Encoder {
    /// The format that `audit verify` reads.
    Jsonl(ExportWriter),
    Csv,
    /// Has the origin of the ledger.
    Ocsf(String),
    /// Has the origin of the ledger.
    CloudEvents(String),
}

impl Encoder {
    /// Appends the text before the first entry to `out`.
    pub(super) fn begin(format: ExportFormat, header: &Header, out: &mut String) -> Result<Self, Failure> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Jsonl(ExportWriter::begin(header, out).map_err(unwritten)?),
            ExportFormat::Csv => {
                out.push_str(&spreadsheet::line(table::head(&CanonicalEntry::default().record(&[])))?);
                Self::Csv
            }
            ExportFormat::Ocsf => Self::Ocsf(origin(header)),
            ExportFormat::Cloudevents => Self::CloudEvents(origin(header)),
        })
    }

    /// Appends the next entry to `out`.
    pub(super) fn entry(&mut self, canonical: &str, hash: &Hash, out: &mut String) -> Result<(), Failure> {
        match self {
            Self::Jsonl(writer) => writer.entry(canonical, hash, out).map_err(unwritten)?,
            Self::Csv => out.push_str(&spreadsheet::line(table::values(
                CanonicalEntry::parse(canonical)?.record(hash),
            ))?),
            Self::Ocsf(origin) => {
                out.push_str(&ocsf::event(
                    origin,
                    &CanonicalEntry::parse(canonical)?,
                    canonical,
                    hash,
                ));
                out.push('\n');
            }
            Self::CloudEvents(origin) => {
                out.push_str(&cloudevents::event(
                    origin,
                    &CanonicalEntry::parse(canonical)?,
                    canonical,
                ));
                out.push('\n');
            }
        }
        Ok(())
    }

    /// The policy sets that the entries name, if the format has their texts.
    pub(super) fn policy_sets(&self) -> Vec<Hash> {
        match self {
            Self::Jsonl(writer) => writer.policy_sets().collect(),
            Self::Csv | Self::Ocsf(_) | Self::CloudEvents(_) => Vec::new(),
        }
    }

    /// Appends the text of one of [`policy_sets`](Self::policy_sets) to `out`.
    pub(super) fn policy_set(&self, set: &PolicySetText, out: &mut String) -> Result<(), Failure> {
        match self {
            Self::Jsonl(writer) => writer.policy_set(set, out).map_err(unwritten),
            Self::Csv | Self::Ocsf(_) | Self::CloudEvents(_) => Ok(()),
        }
    }
}

/// The origin in the checkpoint, which is the globally unique name of the ledger.
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
    Failure::new(Exit::General, what, "report this: it is a bug in this program")
}
