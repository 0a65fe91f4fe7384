//! Exports a ledger, or a range of it, in a form that can be verified without this service.
//!
//! Lines and hashes are sent as they are stored, also if they do not match: the verifier finds that. A verifier does not see the
//! other columns of a row, so a row whose columns contradict its line ends the export with an error.

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{AccountId, EntryColumns, entry::decode},
    ledger::{Hash, export::Header, merkle::leaf_hash},
    store::{Database, audit::StoredEntry},
};

use super::{Audit, Error, VerifiedCheckpoint, reads, tail::ReadPermits};

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRange {
    /// The account of the ledger.
    pub account: AccountId,
    /// The first entry.
    pub start: u64,
    /// One past the last entry. None: every entry that the checkpoint covers.
    pub end: Option<u64>,
    /// The size of the checkpoint that covers the range. None: the latest one.
    pub tree_size: Option<u64>,
}

/// The entries of an export, page by page.
#[derive(Debug)]
pub struct Export {
    database: Database,
    stop: CancellationToken,
    permits: ReadPermits,
    account: AccountId,
    next: u64,
    end: u64,
}

/// What an export has of a stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedEntry {
    /// Its index in the ledger.
    pub log_index: u64,
    /// The canonical text.
    pub text: String,
    /// The leaf hash in the tree. Not compared with the text.
    pub leaf_hash: Hash,
}

impl Audit {
    /// Starts an export. Returns the checkpoint that covers it, the header that a verifier needs, and the entries.
    ///
    /// # Errors
    /// When there is no such checkpoint, it does not cover the range, or the tree does not have its root.
    pub async fn export(&self, range: ExportRange) -> Result<(VerifiedCheckpoint, Header, Export), Error> {
        let account = range.account;
        let checkpoint = self.checkpoint(account, range.tree_size).await?;
        let size = checkpoint.signed.size;
        let (start, end) = (range.start, range.end.unwrap_or(size));
        self.check_covered(account, start.max(end), size).await?;

        let tree = self.tree(account, size);
        let proof = tree.consistency(end).await?;
        if proof.second_root != checkpoint.signed.root {
            let log_index = self.first_unproven(account, size).await?;
            return Err(Error::Tampered { account, log_index });
        }
        let header = Header {
            account,
            start_index: start,
            end_index: end,
            checkpoint: checkpoint.stored.note.clone(),
            left_hashes: tree.frontier(start).await?.hashes().to_vec(),
            consistency_proof: proof.hashes,
        };
        let export = Export {
            database: self.database.clone(),
            stop: self.stop.clone(),
            permits: self.tail.read_permits(),
            account,
            next: start,
            end,
        };
        Ok((checkpoint, header, export))
    }

    async fn check_covered(&self, account: AccountId, needed: u64, size: u64) -> Result<(), Error> {
        if needed <= size {
            return Ok(());
        }
        let tree_size = self.tree_size(account).await?;
        Err(if needed > tree_size {
            Error::EntryNotFound {
                account,
                log_index: needed - 1,
                tree_size,
            }
        } else {
            Error::NotYetCovered {
                account,
                tree_size: size,
            }
        })
    }
}

impl Export {
    /// The next page of entries. None after the last page.
    ///
    /// # Errors
    /// [`Error::Tampered`] if an entry is missing, [`Error::EntryArchived`], [`Error::Stopping`], or an error of the store.
    pub async fn next(&mut self) -> Result<Option<Vec<ExportedEntry>>, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::Stopping);
        }
        if self.next >= self.end {
            return Ok(None);
        }
        let page = reads::mapped_page(&self.database, self.account, self.next, self.end, exported);
        let entries: Vec<_> = self.permits.run(page).await?.into_iter().collect::<Result<_, _>>()?;
        self.next += entries.len() as u64;
        Ok(Some(entries))
    }
}

fn exported(stored: StoredEntry<'_>) -> Result<ExportedEntry, Error> {
    let log_index = stored.log_index;
    match columns_contradict_text(&stored) {
        true => Err(Error::Tampered {
            account: stored.account,
            log_index,
        }),
        false => Ok(ExportedEntry {
            log_index,
            text: stored.text.into_owned(),
            leaf_hash: stored.leaf_hash,
        }),
    }
}

/// True if the line matches its hash and the columns, which queries use, do not match the line.
fn columns_contradict_text(stored: &StoredEntry) -> bool {
    let is_contradicted = match EntryColumns::of_text(&stored.text) {
        Some(columns) => columns != stored.columns,
        None => decode(&stored.text).is_ok_and(|recorded| recorded.entry.columns() != stored.columns),
    };
    // Hashing a text takes longer than reading it, and nearly no entry needs it.
    is_contradicted && leaf_hash(stored.text.as_bytes()) == stored.leaf_hash
}
