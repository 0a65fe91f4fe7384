//! `audit export`: a copy of a ledger. The file appears only when it is complete.

use std::{
    fs::Permissions,
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;

use super::{formats::Encoder, ledger_stream::LedgerStream, policy_sets, verifier_keys::unwritable};
use crate::{
    cli::{
        connection::Client,
        console::Console,
        failure::{Failure, Stop},
        options::ClientOptions,
        progress::ProgressMeter,
    },
    ledger::merkle::hex,
    proto::v1::ExportAuditEntriesRequest,
};

/// Arguments of `audit export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The AWS account of the ledger: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// The index of the first entry
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    start: u64,
    /// The index after the last entry: 1 or more [default: the tree size of the checkpoint]
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(u64).range(1..))]
    end: Option<u64>,
    /// Use the checkpoint with this tree size, in entries: 1 or more [default: the latest checkpoint]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tree_size: Option<u64>,
    /// The format of the entries
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
    /// Write to this file. It is created or replaced when the export is complete [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// How `audit export` writes entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The canonical texts, byte for byte, with the hashes and the checkpoint that verify them
    Jsonl,
    /// CSV (RFC 4180); a text that a spreadsheet would read as a formula gets a ' in front
    Csv,
    /// OCSF API Activity (class 6003), one event on each line
    Ocsf,
    /// CloudEvents 1.0 in JSON, one event on each line
    Cloudevents,
}

pub(super) async fn export(
    options: &ClientOptions,
    client: &Client,
    args: ExportArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = ExportAuditEntriesRequest {
        account_id: options.account(args.account)?,
        start_index: args.start,
        end_index: args.end.unwrap_or_default(),
        tree_size: args.tree_size.unwrap_or_default(),
    };
    let mut ledger = LedgerStream::open(client, request).await?;
    let what = format!("exporting {}", ledger.header().account);
    match args.to {
        None => {
            let mut print = |text: &str, console: &mut Console<'_>| console.print(text);
            // A terminal that shows the entries has no place for a bar.
            let progress = match console.view().width {
                Some(_) => ProgressMeter::hidden(),
                None => ProgressMeter::of(console, &what, "entries"),
            };
            write(client, &mut ledger, args.format, progress, console, &mut print).await?;
            Ok(())
        }
        Some(path) => {
            let mut file = NewFile::create(&path)?;
            let mut append = |text: &str, _: &mut Console<'_>| Ok(file.write(text)?);
            let progress = ProgressMeter::of(console, &what, "entries");
            let entries = write(client, &mut ledger, args.format, progress, console, &mut append).await?;
            file.complete()?;
            console.note(format_args!("note: {entries} entries are in {}", path.display()));
            Ok(())
        }
    }
}

async fn write(
    client: &Client,
    ledger: &mut LedgerStream<'_>,
    format: ExportFormat,
    progress: ProgressMeter,
    console: &mut Console<'_>,
    put: &mut impl FnMut(&str, &mut Console<'_>) -> Result<(), Stop>,
) -> Result<u64, Stop> {
    let header = ledger.header().clone();
    progress.total(header.end_index - header.start_index);
    let mut text = String::new();
    let mut encoder = Encoder::begin(format, &header, &mut text)?;
    let mut done = 0;
    while let Some(entries) = ledger.next().await? {
        for (canonical, hash) in &entries {
            encoder.entry(canonical, hash, &mut text)?;
        }
        put(&text, console)?;
        text.clear();
        done += entries.len() as u64;
        progress.done(done);
    }
    for digest in encoder.policy_sets() {
        match policy_sets::text(client, digest).await? {
            Some(set) => encoder.policy_set(&set, &mut text)?,
            None => console.note(format_args!(
                "warning: the service does not have the text of the policy set {}, so its decisions cannot be made again",
                hex(&digest)
            )),
        }
        put(&text, console)?;
        text.clear();
    }
    put(&text, console)?;
    Ok(done)
}

/// A temporary file that gets its name when it is complete. It is removed if that does not happen.
pub(super) struct NewFile<'a> {
    path: &'a Path,
    file: BufWriter<NamedTempFile>,
}

impl<'a> NewFile<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self, Failure> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // In the same folder, so that the rename is atomic. With the permissions of any new file, not those of a temporary one.
        let file = tempfile::Builder::new()
            .prefix(".sharewarden-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    pub(super) fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| unwritable(self.path, &error))
    }

    pub(super) fn complete(self) -> Result<(), Failure> {
        let path = self.path;
        self.into_place().map_err(|error| unwritable(path, &error))
    }

    fn into_place(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(self.path)?;
        Ok(())
    }
}
