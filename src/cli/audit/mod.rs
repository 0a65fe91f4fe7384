//! The commands of the audit history: query, watch, summarise, export and verify.
//!
//! Read [`filter`] and [`time_arg`] for the common arguments, [`list`] for the queries, then `show`, `watch` and `summary`.
//! `export` writes files in the formats of `formats`. `verify` checks files and ledgers without trusting the server. `checkpoint`
//! prints a signed checkpoint. `why` explains a share. `key` makes signing keys and needs no service.

mod at;
mod canonical;
mod chart;
mod checkpoint;
mod cloudevents;
mod entry;
mod export;
mod fields;
mod filter;
mod formats;
mod key;
mod ledger_stream;
mod list;
mod ocsf;
pub(super) mod policy_sets;
mod proof;
mod show;
mod state;
mod summary;
mod summary_table;
pub(super) mod time_arg;
mod verifier_keys;
mod verify;
mod verify_file;
mod verify_live;
mod watch;
mod watch_state;
mod why;

pub use at::AtArgs;
pub use checkpoint::{CheckpointArgs, CheckpointCommand};
use clap::Subcommand;
pub use export::{ExportArgs, ExportFormat};
pub use filter::{ActionFilter, CauseFilter, FilterArgs};
pub use key::{KeyCommand, key};
pub use list::{AuditListArgs, HistoryArgs};
pub use show::ShowArgs;
pub use summary::{BucketSize, GroupBy, RankBy, SummaryArgs};
pub use time_arg::TimeArg;
pub use verifier_keys::VerifierKeyArgs;
pub use verify::VerifyArgs;
pub use verify_file::LineReader;
pub use watch::{StartPosition, WatchArgs};
pub use why::WhyArgs;

use super::{connection::Client, console::Console, failure::Stop, help::with_examples, options::ClientOptions};

/// The commands under `audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// List entries, by any combination of filters
    ///
    /// Newest first. Entries that are added while the pages are read do not change the pages.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit list --account 111122223333 --kind change.denied --since 7d -o csv",
        "sharewarden audit list --asked-by alice --text CHG-1 --wide",
    ]))]
    List(Box<AuditListArgs>),
    /// Show one entry, with its calls to AWS, its canonical text and its hash
    ///
    /// This program computes the hash from the canonical text. With --proof it also requests an inclusion proof from the service
    /// and verifies it.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit show --account 111122223333 17 --proof --key \"$VKEY\"",
        "sharewarden audit show 17 -a 111122223333 --local",
    ]))]
    Show(ShowArgs),
    /// List the entries about one permission, newest first
    #[command(after_long_help = with_examples(&[
        "sharewarden audit history 111122223333/eu-central-1/wsi-basewin11 --with 000011112222",
        "sharewarden audit history wsi-basewin11 -w 000011112222 --oldest-first -o json",
    ]))]
    History(HistoryArgs),
    /// List the permissions at a given time, according to the ledger
    #[command(after_long_help = with_examples(&[
        "sharewarden audit at 2026-10-01T12:00:00Z --account 111122223333",
        "sharewarden audit at 7d --with 000011112222 -o csv",
    ]))]
    At(AtArgs),
    /// Print entries as they are added
    ///
    /// Reconnects after a disconnect and continues with the next entry, without a gap and without a duplicate. Ctrl-C ends it.
    /// JSON has one document on each line.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit watch --account 111122223333 --from-beginning -o json",
        "sharewarden audit watch --position 111122223333:17 --limit 10",
    ]))]
    Watch(WatchArgs),
    /// Count entries over time, and rank principals, images and recipients by requests
    ///
    /// The counts are exact. The service reads them from a table of counts, not from the entries. The range is extended to full
    /// hours (UTC), or to full days with --top or with buckets of a day and more. In a terminal, bars show the counts.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit summary --since 30d --by day --group-by kind --top principal",
        "sharewarden audit summary --since 7d --kind change.denied --by hour -o csv",
    ]))]
    Summary(SummaryArgs),
    /// Write a copy of a ledger: verifiable JSON lines, or CSV, OCSF or CloudEvents for other tools
    ///
    /// `jsonl` has the entries byte for byte and a signed checkpoint: `audit verify` needs only this file and a verifier key. The
    /// other formats cannot be verified.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit export --account 111122223333 --to 111122223333.jsonl",
        "sharewarden audit export --account 111122223333 --format ocsf > history.ocsf",
    ]))]
    Export(ExportArgs),
    /// Verify an export offline, or the ledgers of the service at --server without trusting it
    ///
    /// Recomputes the hash of every entry and the root hash, and checks the signature of the checkpoint with your keys. With
    /// --against it also checks that the ledger only grew since a checkpoint that you kept. With --state it also compares the
    /// rows that no hash covers. Exits with 9 if a check fails.
    #[command(after_long_help = with_examples(&[
        "sharewarden audit verify --export 111122223333.jsonl.gz --key \"$VKEY\" --against 111122223333.checkpoint",
        "sharewarden audit verify --server https://sharewarden.example.com --account 111122223333 --key \"$VKEY\"",
    ]
    ))]
    Verify(VerifyArgs),
}

impl AuditCommand {
    /// True if the answer has a CSV form.
    pub(super) fn has_csv(&self) -> bool {
        match self {
            Self::List(_) | Self::History(_) | Self::At(_) | Self::Watch(_) | Self::Summary(_) => true,
            Self::Show(_) | Self::Export(_) | Self::Verify(_) => false,
        }
    }
}

/// Runs a command that calls the service.
pub(super) async fn run(
    options: &ClientOptions,
    client: &Client,
    command: AuditCommand,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match command {
        AuditCommand::List(args) => list::list(options, client, &args, console).await,
        AuditCommand::Show(args) => show::show(options, client, args, console).await,
        AuditCommand::History(args) => list::history(options, client, args, console).await,
        AuditCommand::At(args) => at::at(options, client, args, console).await,
        AuditCommand::Watch(args) => watch::watch(options, client, args, console).await,
        AuditCommand::Summary(args) => summary::summary(options, client, &args, console).await,
        AuditCommand::Export(args) => export::export(options, client, args, console).await,
        AuditCommand::Verify(args) => verify_live::verify(options, client, args, console).await,
    }
}

/// Runs `checkpoint` and `checkpoint add-signatures`.
pub(super) use checkpoint::run as checkpoint;
/// Runs `audit verify --export`, which needs no service.
pub(super) use verify_file::verify as verify_export;
/// Runs `why`.
pub(super) use why::why;
