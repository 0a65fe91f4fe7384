//! `sharewarden audit archive`: moves old months of the history from the table into files.
//!
//! The oldest month comes first. The entries of each account are exported under a checkpoint into a compressed [`mod@file`]. Each
//! file is read back and verified as an auditor would. If all files verify, one transaction detaches the month and records where
//! each file is. After an interruption at any point, the entries are in the table or in verified files. The hashes of the tree
//! stay, so proofs and later exports still lead back to the first entry.

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

/// What to archive, and where.
#[derive(Debug, Clone)]
pub struct ArchivePlan {
    /// Archives the months before this one.
    pub before: Month,
    /// The target folder. Each month gets a subfolder.
    pub to: PathBuf,
    /// The folder's location as recorded in the history, for files that are moved elsewhere later. Default: the path of `to`.
    pub location: Option<String>,
    /// What happens to the detached tables.
    pub then: Detached,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The entries of an account in a month are being written.
    Begun {
        /// The account.
        account: AccountId,
        /// The month.
        month: Month,
        /// The number of steps: each entry is written, and then verified.
        steps: u64,
    },
    /// This number of steps is done, of those of the account and month that were begun last.
    Advanced {
        /// The number of steps.
        done: u64,
    },
    /// The entries of an account are in a verified file.
    Written {
        /// The path of the file.
        file: PathBuf,
        /// The number of entries.
        entries: u64,
    },
    /// A month was archived and is no longer in the table.
    Archived {
        /// The archived month.
        month: Month,
        /// The number of entries.
        entries: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { account, month, .. } => write!(f, "archiving {month} of account {account}"),
            Self::Advanced { done } => write!(f, "{done} steps are done"),
            Self::Written { file, entries } => write!(f, "{}: {entries} entries, verified", file.display()),
            Self::Archived { month, entries } => write!(f, "{month} was archived: {entries} entries"),
        }
    }
}

/// Archives the past months before `plan.before`, and reports each step.
///
/// # Errors
/// [`Error`]. Months that were reported as archived stay archived; the others are unchanged.
pub async fn run(audit: &Audit, plan: &ArchivePlan, mut report: impl FnMut(Event)) -> Result<(), Error> {
    let before = plan.before.start();
    let current = Month::of(audit.database.now().await?);
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
        check_complete(&audit.database, &range).await?;
        report(Event::Begun {
            account: range.account,
            month,
            steps: 2 * range.entries,
        });
        let path = file::write(audit, &folder, &range, |done| report(Event::Advanced { done })).await?;
        let sha256 = file::verify(&path, &range, audit.keys.verifiers(), |verified| {
            report(Event::Advanced {
                done: range.entries + verified,
            });
        })?;
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

/// Detaching takes a lock that a long query may block, so it is retried for up to a minute.
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

/// Fails if an entry of the month is missing: between its first and last entry, or directly before or after them. The neighbours
/// may be in other months or in files.
async fn check_complete(database: &Database, range: &ArchiveRange) -> Result<(), Error> {
    let ArchiveRange {
        account,
        mut start_index,
        mut end_index,
        entries,
        ..
    } = *range;
    let is_complete = entries == end_index - start_index;
    // Read before the lookup of the next entry, because that entry may be added in between.
    let sizes = history::sizes(database, &[account]).await?;
    let size = sizes.first().map_or(0, |(_, size)| *size);
    if start_index > 0 && !exists(database, account, start_index - 1).await? {
        start_index -= 1;
    }
    if end_index < size && !exists(database, account, end_index).await? {
        end_index += 1;
    }
    if is_complete && (start_index, end_index) == (range.start_index, range.end_index) {
        return Ok(());
    }
    Err(Error::Gap {
        account,
        start_index,
        end_index,
        entries,
    })
}

/// True if the entry is in the table or in a file.
async fn exists(database: &Database, account: AccountId, log_index: u64) -> Result<bool, Error> {
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
