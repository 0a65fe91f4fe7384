//! A copy of a ledger, or of a part of it, that can be verified without this service.
//!
//! The lines and their hashes are sent as they are stored, whether they fit together or not: it is for the verifier to see. What
//! a verifier cannot see is told instead: a row whose other columns do not say what its line says.

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{AccountId, entry::decode},
    ledger::{export::Header, merkle::leaf_hash},
    store::{Database, audit::StoredEntry},
};

use super::{Audit, Error, VerifiedCheckpoint, reads, tail::ReadPermits};

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRange {
    /// Whose ledger.
    pub account: AccountId,
    /// The first entry.
    pub start: u64,
    /// One past the last entry; none: all that the checkpoint covers.
    pub end: Option<u64>,
    /// Under the checkpoint of this size; none: the latest one.
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

impl Audit {
    /// Begins an export: tells the checkpoint that covers it, and what it takes to verify it.
    ///
    /// # Errors
    /// When there is no such checkpoint, it does not cover the range, or the tree does not lead to it.
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
            permits: self.tail.permits(),
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
    /// The next entries: none when all were read.
    ///
    /// # Errors
    /// [`Error::Tampered`] where an entry is gone, [`Error::EntryArchived`], [`Error::Stopping`], or the store's.
    pub async fn next(&mut self) -> Result<Option<Vec<StoredEntry<'static>>>, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::Stopping);
        }
        if self.next >= self.end {
            return Ok(None);
        }
        let page = reads::stored_page(&self.database, self.account, self.next, self.end);
        let entries = self.permits.wait(page).await?;
        if let Some(entry) = entries.iter().find(|entry| contradicts_itself(entry)) {
            return Err(Error::Tampered {
                account: self.account,
                log_index: entry.log_index,
            });
        }
        self.next += entries.len() as u64;
        Ok(Some(entries))
    }
}

/// True when the line is what was recorded, and the columns beside it, which questions are answered by, say something else.
fn contradicts_itself(stored: &StoredEntry) -> bool {
    leaf_hash(stored.text.as_bytes()) == stored.leaf_hash
        && decode(&stored.text).is_ok_and(|recorded| recorded.entry.columns() != stored.columns)
}
