//! Revokes unrecorded shares without a caller, in accounts whose configuration and whose operator say so.
//!
//! Every replica runs it. The committer checks each revoke again: one whose finding is resolved, or whose permission has a change
//! in progress, is not accepted. A finding counts when its scan is complete: then all that the scan found is known, and if that
//! is more than the brake lets through, nothing is revoked.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        AccountId, Action, Cause, Intent,
        transition::{Command, CommandReply},
    },
    store::{
        CommitError, StoreError,
        drift::baselines::{self, Baseline, BaselineStatus},
    },
    telemetry::{DriftRevocation, Instruments},
    worker::{NextRound, Trigger, Worker},
};

use super::DriftParts;

/// What the revoke of an unrecorded share says.
const REASON: &str = "AWS had this share, and the ledger did not";

/// The time between two searches.
const INTERVAL: Duration = Duration::from_secs(2);

/// The most shares of an account that are revoked together.
const BATCH: u32 = 100;

/// The size of the largest checkpoint of an account's ledger that this replica knows.
pub type KnownSize = Arc<dyn Fn(AccountId) -> Option<u64> + Send + Sync>;

/// The worker.
pub struct DriftRevokes {
    parts: DriftParts,
    /// The accounts with `on_drift = "revoke"`.
    accounts: Vec<AccountId>,
    known_size: KnownSize,
    instruments: Instruments,
}

/// Why a round of the worker failed.
#[derive(Debug, thiserror::Error)]
pub enum DriftRevokeError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The committer did not accept the revokes of an account.
    #[error("the revokes of unrecorded shares of account {0} cannot be submitted")]
    Commit(AccountId, #[source] CommitError),
}

impl DriftRevokes {
    /// The worker for these accounts.
    pub fn new(parts: DriftParts, accounts: Vec<AccountId>, known_size: KnownSize, instruments: Instruments) -> Self {
        Self {
            parts,
            accounts,
            known_size,
            instruments,
        }
    }

    /// The state of an account. A ledger that is shorter than a checkpoint was restored: its baseline is removed for good,
    /// because everything that was granted since looks unrecorded.
    async fn state(&self, status: &BaselineStatus) -> Result<DriftRevocation, StoreError> {
        let is_short = (self.known_size)(status.account).is_some_and(|known| known > status.ledger_size);
        if is_short && baselines::remove(&self.parts.database, status.account).await? {
            tracing::error!(
                account_id = %status.account, ledger_size = status.ledger_size,
                "the ledger is shorter than a signed checkpoint: unrecorded shares are not revoked any more until an operator \
                 confirms a baseline"
            );
            return Ok(DriftRevocation::WithoutBaseline);
        }
        Ok(state(status))
    }

    async fn revoke(&self, account: AccountId, baseline: &Baseline) -> Result<(), DriftRevokeError> {
        let shares = baselines::to_revoke(&self.parts.database, account, baseline.log_index, BATCH).await?;
        let commands = shares.into_iter().map(|(key, found_index)| {
            let id = self.parts.clock.uuid();
            let intent = Arc::new(Intent::of_service(id, key, Action::Revoke, Cause::Drift, REASON));
            (intent.clone(), Command::RevokeUnrecorded(intent, found_index))
        });
        let submitted = self.parts.commits.commit_all(commands, |intent, reply| {
            if matches!(reply, CommandReply::Opened(_)) {
                let key = &intent.key;
                tracing::warn!(
                    account_id = %key.account, change_id = %intent.change_id, permission = %key,
                    "a share that the ledger does not have is revoked"
                );
                self.parts.forwarder.look_for_due(key.account, &key.region);
            }
        });
        submitted
            .await
            .map_err(|error| DriftRevokeError::Commit(account, error))
    }
}

/// What happens with unrecorded shares of an account with `on_drift = "revoke"`.
pub(super) fn state(status: &BaselineStatus) -> DriftRevocation {
    match &status.baseline {
        Some(baseline) if baseline.is_in_force => match status.found > status.limit {
            true => DriftRevocation::Braked,
            false => DriftRevocation::Revoking,
        },
        _ => DriftRevocation::WithoutBaseline,
    }
}

impl Worker for DriftRevokes {
    const NAME: &'static str = "drift_revokes";
    const FAILURE: &'static str = "cannot revoke unrecorded shares";
    type Error = DriftRevokeError;

    fn every(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, DriftRevokeError> {
        let mut result = Ok(());
        let mut states = Vec::new();
        for status in baselines::status(&self.parts.database, &self.accounts).await? {
            let state = self.state(&status).await?;
            states.push(state);
            if let (DriftRevocation::Revoking, Some(baseline), 1..) = (state, &status.baseline, status.found) {
                result = result.and(self.revoke(status.account, baseline).await);
            }
        }
        self.instruments.set_drift_revocation(&states);
        result.map(|()| NextRound::Interval)
    }
}
