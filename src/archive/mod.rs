//! `sharewarden audit archive`: old months of the history go into files, and out of the table.
//!
//! For each month, the oldest first: every account's entries are exported under a checkpoint into a compressed [`mod@file`], the
//! file is read back and verified as an auditor would, and only when all of them hold is the month detached, in one
//! transaction that notes where each file is. Whatever stops it in between, the entries are in the table, or in files that
//! were verified. The tree's hashes stay: proofs and later exports still lead back to the first entry.

mod error;
mod file;
mod month;

use std::{fmt, path::PathBuf, time::Duration};

use crate::{
    audit::Audit,
    domain::AccountId,
    store::{
        Database,
        archive::{self as partitions, ArchiveRange, Detached, MonthPartition},
        audit::{self as history, Archived},
    },
};

pub use error::Error;
pub use month::Month;

const MAX_DETACH_ATTEMPTS: u32 = 20;
const DETACH_RETRY_DELAY: Duration = Duration::from_secs(3);

/// What to archive, and where to.
#[derive(Debug, Clone)]
pub struct ArchivePlan {
    /// Months before this one.
    pub before: Month,
    /// The folder that gets a folder for each month.
    pub to: PathBuf,
    /// How the history is to name this folder, where the files move on to another place. Default: its own path.
    pub location: Option<String>,
    /// What becomes of the tables.
    pub then: Detached,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The entries of an account are in a file that was verified.
    Written {
        /// The file.
        file: PathBuf,
        /// So many entries.
        entries: u64,
    },
    /// A month is out of the table.
    Archived {
        /// Which.
        month: Month,
        /// So many entries.
        entries: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { file, entries } => write!(f, "{}: {entries} entries, verified", file.display()),
            Self::Archived { month, entries } => write!(f, "{month} is archived: {entries} entries"),
        }
    }
}

/// Archives the months that are over and before `plan.before`, and tells of each step.
///
/// # Errors
/// [`Error`]. The months that were told of as archived are; the others are as they were.
pub async fn run(audit: &Audit, plan: &ArchivePlan, mut report: impl FnMut(Event)) -> Result<(), Error> {
    let before = plan.before.start();
    let current = Month::of(audit.clock.now());
    if plan.before > current {
        return Err(Error::NotOver { current });
    }
    for partition in partitions::months_before(&audit.database, before).await? {
        let month = Month::of(partition.start);
        let entries = archive(audit, plan, month, &partition, &mut report).await?;
        report(Event::Archived { month, entries });
    }
    Ok(())
}

async fn archive(
    audit: &Audit,
    plan: &ArchivePlan,
    month: Month,
    partition: &MonthPartition,
    report: &mut impl FnMut(Event),
) -> Result<u64, Error> {
    let folder = plan.to.join(month.to_string());
    let mut files = Vec::new();
    for range in partitions::ranges(&audit.database, partition).await? {
        check_whole(&audit.database, &range).await?;
        let path = file::write(audit, &folder, &range).await?;
        let sha256 = file::verify(&path, &range, audit.keys.verifiers())?;
        report(Event::Written {
            file: path.clone(),
            entries: range.entries,
        });
        files.push(file::archived(&range, location(plan, month, &path), sha256));
    }
    if !files.is_empty() {
        file::sync_folder(&folder)?;
    }
    detach(audit, plan, partition, &files).await?;
    Ok(files.iter().map(|file| file.end_index - file.start_index).sum())
}

/// Detaching takes a lock that somebody's long query may be holding: it is tried for a while.
async fn detach(
    audit: &Audit,
    plan: &ArchivePlan,
    partition: &MonthPartition,
    files: &[Archived],
) -> Result<(), Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match partitions::detach(&audit.database, partition, files, plan.then).await {
            Err(error) if error.is_transient() && attempts < MAX_DETACH_ATTEMPTS => {
                audit.clock.sleep(DETACH_RETRY_DELAY).await
            }
            done => return Ok(done?),
        }
    }
}

/// Between the first and the last entry of a month there is none missing, and neither is the one before or the one after: these
/// may be in other months.
async fn check_whole(database: &Database, range: &ArchiveRange) -> Result<(), Error> {
    let ArchiveRange {
        account,
        mut start_index,
        mut end_index,
        entries,
        ..
    } = *range;
    let is_whole = entries == end_index - start_index;
    // Before the entry after the last is looked for: it may be added meanwhile.
    let sizes = history::sizes(database, &[account]).await?;
    let size = sizes.first().map_or(0, |(_, size)| *size);
    if start_index > 0 && !is_there(database, account, start_index - 1).await? {
        start_index -= 1;
    }
    if end_index < size && !is_there(database, account, end_index).await? {
        end_index += 1;
    }
    if is_whole && (start_index, end_index) == (range.start_index, range.end_index) {
        return Ok(());
    }
    Err(Error::Gap {
        account,
        start_index,
        end_index,
        entries,
    })
}

/// True when an entry is in the table or in a file.
async fn is_there(database: &Database, account: AccountId, log_index: u64) -> Result<bool, Error> {
    let in_table = history::entry(database, account, log_index).await?.is_some();
    Ok(in_table || history::archived_at(database, account, log_index).await?.is_some())
}

fn location(plan: &ArchivePlan, month: Month, path: &std::path::Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match &plan.location {
        Some(location) => format!("{}/{month}/{name}", location.trim_end_matches('/')),
        None => std::path::absolute(path)
            .unwrap_or_else(|_| path.into())
            .to_string_lossy()
            .into_owned(),
    }
}
