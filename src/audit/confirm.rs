//! The first checkpoint of a ledger that no running process began.
//!
//! If all checkpoints of a ledger were deleted, or its first one was never signed, the database cannot show whether its
//! entries are
//! what was recorded. An operator compares them with what the operator knows, such as an export or the log, and confirms
//! a size and
//! a root. The confirmation is an entry of the ledger, and the next checkpoint covers it.

use crate::{
    domain::{
        AccountId, ConfirmationBody,
        transition::{Command, CommandReply},
    },
    ledger::{Hash, merkle::hex},
    store::{CommitError, Committer, checkpoints},
};

use super::{Audit, Error, Signer};

/// What an operator confirms.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// The account of the ledger.
    pub account: AccountId,
    /// The size and the root, with the operator and the reason.
    pub body: ConfirmationBody,
}

/// Why a ledger is not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// There is nothing to confirm.
    #[error("the ledger of account {0} has no entries, or has a checkpoint: there is nothing to confirm")]
    NothingToConfirm(AccountId),
    /// The operator has seen another ledger.
    #[error("the ledger of account {account} has {size} entries, and its first {tree_size} do not have the root {}", hex(.root))]
    OtherLedger {
        /// The account of the ledger.
        account: AccountId,
        /// Its size.
        size: u64,
        /// The size that the operator confirms.
        tree_size: u64,
        /// The root that the operator confirms.
        root: Hash,
    },
    /// The ledger cannot be read, or was tampered with.
    #[error(transparent)]
    Audit(#[from] Error),
    /// The confirmation was not recorded, or it is not known whether it was.
    #[error("the confirmation is not known to be recorded")]
    Commit(#[from] CommitError),
}

impl Audit {
    /// The size and the root of a ledger without a checkpoint. Each entry in the table matches its hash, and the hashes give the
    /// root.
    ///
    /// # Errors
    /// [`ConfirmError`].
    pub async fn confirmable(&self, account: AccountId) -> Result<(u64, Hash), ConfirmError> {
        let grown = checkpoints::grown(&self.database, Some(&[account]), 1).await;
        let ledger = grown.map_err(Error::from)?.pop();
        let ledger = ledger.filter(|ledger| ledger.signed.is_none() && ledger.size > 0);
        let ledger = ledger.ok_or(ConfirmError::NothingToConfirm(account))?;
        let (size, root) = (ledger.size, ledger.root);
        let invalid = self.first_invalid(account, 0, size).await?;
        if self.tree(account, size).root().await? != root || invalid.is_some() {
            let log_index = invalid.unwrap_or_default();
            return Err(Error::Tampered { account, log_index }.into());
        }
        Ok((size, root))
    }

    /// Records a confirmation, and signs the ledger if it leads on from the confirmed root. Returns the index of the
    /// entry and the
    /// size of the checkpoint.
    ///
    /// # Errors
    /// [`ConfirmError`].
    pub async fn confirm(
        &self,
        confirmation: &Confirmation,
        committer: &Committer,
    ) -> Result<(u64, u64), ConfirmError> {
        let Confirmation { account, ref body } = *confirmation;
        let (size, _) = self.confirmable(account).await?;
        let ConfirmationBody { tree_size, root, .. } = *body;
        let other = ConfirmError::OtherLedger {
            account,
            size,
            tree_size,
            root,
        };
        if tree_size == 0 || tree_size > size || self.tree(account, size).roots(tree_size).await?.0 != root {
            return Err(other);
        }
        let reply = committer.commit(Command::Confirm(account, body.clone())).await?;
        let CommandReply::Confirmed(log_index) = reply else {
            return Err(CommitError::Rejected.into());
        };
        let covered = Signer::sign_confirmed(self, account, (tree_size, root)).await?;
        Ok((log_index, covered))
    }
}
