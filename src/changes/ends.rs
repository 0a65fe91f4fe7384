//! The worker of ends: revokes each share when its end is reached.
//!
//! Every replica runs it, so that a replica that stops delays no end. The committer checks each revoke again: a share that was
//! renewed, or whose end another replica carries out, is left alone. The revokes take no lease here. Recovery claims them as the
//! forwarder has room. Both are commands in the background: many ends at once delay no caller.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use crate::{
    domain::{
        AccountId, Action, Cause, ChangeId, Intent, PermissionKey, Timestamp,
        transition::{Command, CommandReply},
    },
    forwarder::Forwarder,
    store::{Background, CommitError, StoreError, ends},
    worker::{NextRound, Trigger, Worker},
};

use super::ChangeService;

/// What the revoke at an end says. The grant that ends has the reason of a person.
const REASON: &str = "the end of the share was reached";

/// The time between two searches for due ends. They are submitted within 5 s (P12).
const INTERVAL: Duration = Duration::from_secs(1);

/// The most ends that are submitted together.
const BATCH: u32 = 500;

/// The most ends that are committed at the same time. They are submitted faster than recovery claims them (P12).
const AT_ONCE: usize = 48;

/// No share is ended while the clocks of the database and the replica differ by more than this: one of them is wrong.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// Why a round of the worker failed.
#[derive(Debug, thiserror::Error)]
pub enum EndsError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A clock is wrong, and the end of a share may not have come.
    #[error(
        "no share is ended, because the clock of the database ({database}) and of this replica ({replica}) differ by more than 60 s"
    )]
    ClocksDiffer {
        /// The clock of the database.
        database: Timestamp,
        /// The clock of the replica.
        replica: Timestamp,
    },
    /// The committer did not accept the ends of an account.
    #[error("the ends of account {account} cannot be submitted")]
    Commit {
        /// The account. There may be others.
        account: AccountId,
        /// Why.
        source: CommitError,
    },
}

/// Revokes shares at their end.
pub struct Ends {
    changes: ChangeService,
    commits: Background,
}

impl Ends {
    /// The worker, with the parts of the server that submit changes.
    pub fn new(changes: ChangeService) -> Self {
        let commits = changes.committer.in_background(AT_ONCE);
        Self { changes, commits }
    }

    /// Submits the ends. Returns the accounts that did not accept one, each with a reason.
    async fn submit(&self, shares: Vec<(PermissionKey, ChangeId)>) -> BTreeMap<AccountId, EndsError> {
        let mut accounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, ending) in shares {
            let (account, id) = (key.account, self.changes.clock.uuid());
            let intent = Intent::of_service(id, key, Action::Revoke, Cause::Expiry, REASON);
            accounts.entry(account).or_default().push((intent, ending));
        }
        let mut submitted = JoinSet::new();
        for (account, ends) in accounts {
            let (commits, forwarder) = (self.commits.clone(), self.changes.forwarder.clone());
            submitted.spawn(async move {
                let commands = ends.into_iter().map(|(intent, ending)| {
                    let intent = Arc::new(intent);
                    ((intent.clone(), ending), Command::End(intent, ending))
                });
                let submitted = commits.commit_all(commands, |(intent, ending), reply| {
                    if matches!(reply, CommandReply::Opened(_)) {
                        accepted(&forwarder, &intent, ending);
                    }
                });
                (account, submitted.await)
            });
        }
        let failed = submitted.join_all().await.into_iter();
        let failed = failed.filter_map(|(account, submitted)| Some((account, submitted.err()?)));
        failed
            .map(|(account, source)| (account, EndsError::Commit { account, source }))
            .collect()
    }

    fn check_clocks(&self, database: Timestamp) -> Result<(), EndsError> {
        let replica = self.changes.clock.now();
        match database.since(replica).max(replica.since(database)) > MAX_CLOCK_DIFFERENCE {
            true => Err(EndsError::ClocksDiffer { database, replica }),
            false => Ok(()),
        }
    }
}

fn accepted(forwarder: &Forwarder, intent: &Intent, ending: ChangeId) {
    let key = &intent.key;
    tracing::info!(
        account_id = %key.account, change_id = %intent.change_id, ended_change_id = %ending,
        "a share has reached its end, and is revoked"
    );
    forwarder.look_for_due(key.account, &key.region);
}

impl Worker for Ends {
    const NAME: &'static str = "ends";
    const FAILURE: &'static str = "cannot end shares whose end was reached";
    type Error = EndsError;

    fn every(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, EndsError> {
        let mut failed = BTreeMap::new();
        loop {
            let apart_from: Vec<_> = failed.keys().copied().collect();
            let due = ends::due(&self.changes.database, &apart_from, BATCH).await?;
            self.check_clocks(due.now)?;
            let is_last = due.shares.len() < BATCH as usize;
            failed.append(&mut self.submit(due.shares).await);
            if is_last {
                return match failed.into_values().next() {
                    Some(error) => Err(error),
                    None => Ok(NextRound::Interval),
                };
            }
        }
    }
}
