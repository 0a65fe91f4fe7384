//! Group commit: commands wait in lanes, and each lane commits what waits in one transaction after the other.
//!
//! An account always belongs to the same lane, so a lane's commands for it are in order. A lane never waits when it is
//! idle: it takes what is there. One commit, and one flush to disk, serves the whole batch; a command that is refused
//! (a re-used request id, say) is answered from the transition, without failing its neighbours.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::{
    clock::{Clock, Elapsed},
    domain::{
        AccountId, ReplicaId,
        transition::{Answer, Command, Work},
    },
};

use super::{
    Database, Outcomes, StoreError,
    batch::{self, Committed, Rules},
};

/// How commands are committed.
#[derive(Debug, Clone)]
pub struct CommitterSettings {
    /// So many lanes, each with a connection of its own. 1 or more.
    pub lanes: usize,
    /// So many commands may wait in a lane.
    pub queue: usize,
    /// At most so many commands in a transaction.
    pub max_batch: usize,
    /// Keep every transaction to a single account, as a Postgres that is distributed by account likes it.
    pub single_account_batches: bool,
    /// How long a lease lasts.
    pub lease_for: Duration,
    /// A batch is given up after so long.
    pub commit_timeout: Duration,
}

/// A command was not committed, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The lane is full. Nothing happened.
    #[error("too many commands are waiting")]
    Overloaded,
    /// Postgres did not confirm the commit in time. It may have happened: the same command again finds out.
    #[error("the audit store does not answer")]
    Unavailable,
}

/// Work, and until when its lease lasts on this replica's clock. Reckoned from before the transaction that gave it, so
/// that it never lasts longer here than in the database.
#[derive(Debug)]
pub struct Leased {
    /// The work.
    pub work: Work,
    /// When the lease was given, or before.
    pub since: Elapsed,
}

/// The only writer.
#[derive(Debug, Clone)]
pub struct Committer {
    lanes: Arc<[mpsc::Sender<Waiting>]>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    answer: oneshot::Sender<Result<(Answer, Elapsed), CommitError>>,
}

impl Committer {
    /// Starts the lanes, as tasks of `tasks`. They end when every clone of the committer is gone. Work is sent to `work`.
    pub fn start(
        database: &Database,
        settings: &CommitterSettings,
        replica: ReplicaId,
        clock: &Clock,
        outcomes: &Outcomes,
        work: &mpsc::UnboundedSender<Leased>,
        tasks: &TaskTracker,
    ) -> Self {
        let lanes = (0..settings.lanes.max(1)).map(|_| {
            let (sender, receiver) = mpsc::channel(settings.queue.max(1));
            let lane = Lane {
                database: database.clone(),
                rules: Rules {
                    replica,
                    lease_for: settings.lease_for,
                    server_version: env!("CARGO_PKG_VERSION"),
                },
                settings: settings.clone(),
                clock: clock.clone(),
                outcomes: outcomes.clone(),
                work: work.clone(),
                known: HashSet::new(),
            };
            tasks.spawn(lane.run(receiver));
            sender
        });
        Self { lanes: lanes.collect() }
    }

    /// Commits a command, or refuses at once when its lane is full.
    ///
    /// # Errors
    /// [`CommitError`]. Dropping the future does not take the command back.
    pub async fn commit(&self, command: Command) -> Result<Answer, CommitError> {
        let (answer, receiver) = oneshot::channel();
        let lane = self.lane(command.key().account);
        lane.try_send(Waiting { command, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommitError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
            })?;
        Ok(receive(receiver).await?.0)
    }

    /// Commits a command that must not be lost to a full lane, and tells from before when its answer is.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`].
    pub async fn commit_patiently(&self, command: Command) -> Result<(Answer, Elapsed), CommitError> {
        let (answer, receiver) = oneshot::channel();
        let lane = self.lane(command.key().account);
        lane.send(Waiting { command, answer })
            .await
            .map_err(|_| CommitError::Unavailable)?;
        receive(receiver).await
    }

    fn lane(&self, account: AccountId) -> &mpsc::Sender<Waiting> {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[(hasher.finish() % lanes) as usize]
    }
}

async fn receive(
    receiver: oneshot::Receiver<Result<(Answer, Elapsed), CommitError>>,
) -> Result<(Answer, Elapsed), CommitError> {
    receiver.await.unwrap_or(Err(CommitError::Unavailable))
}

struct Lane {
    database: Database,
    rules: Rules,
    settings: CommitterSettings,
    clock: Clock,
    outcomes: Outcomes,
    work: mpsc::UnboundedSender<Leased>,
    known: HashSet<AccountId>,
}

impl Lane {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, self.settings.max_batch.max(1)).await > 0 {
            for batch in self.divide(std::mem::take(&mut batch)) {
                if let Err(error) = self.commit(batch).await
                    && error.is_transient()
                {
                    // Postgres is away: who waits behind this batch need not wait for a time-out of their own.
                    while let Ok(Waiting { answer, .. }) = waiting.try_recv() {
                        let _ = answer.send(Err(CommitError::Unavailable));
                    }
                }
            }
        }
    }

    fn divide(&self, batch: Vec<Waiting>) -> Vec<Vec<Waiting>> {
        if !self.settings.single_account_batches {
            return vec![batch];
        }
        let mut accounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for waiting in batch {
            accounts.entry(waiting.command.key().account).or_default().push(waiting);
        }
        accounts.into_values().collect()
    }

    /// Commits a batch and answers those who wait. What fails for a reason of its own is tried command by command, so that
    /// one of them does not fail its neighbours.
    async fn commit(&mut self, batch: Vec<Waiting>) -> Result<(), StoreError> {
        let (commands, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.command, waiting.answer))
            .unzip();
        match self.commit_and_act(&commands).await {
            Ok((answers, since)) => {
                for (caller, answer) in callers.into_iter().zip(answers) {
                    let _ = caller.send(Ok((answer, since)));
                }
                Ok(())
            }
            Err(error) if commands.len() > 1 && !error.is_transient() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch is divided to find what is wrong with it"
                );
                for (command, answer) in commands.into_iter().zip(callers) {
                    // Its own failure is answered and logged there.
                    let _ = Box::pin(self.commit(vec![Waiting { command, answer }])).await;
                }
                Ok(())
            }
            Err(error) => {
                let commands = commands.len();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    commands,
                    "a batch was not committed"
                );
                for caller in callers {
                    let _ = caller.send(Err(CommitError::Unavailable));
                }
                Err(error)
            }
        }
    }

    /// Commits commands, hands out the work that came of them, and wakes those who wait for changes that ended.
    async fn commit_and_act(&mut self, commands: &[Command]) -> Result<(Vec<Answer>, Elapsed), StoreError> {
        let (since, patience) = (self.clock.elapsed(), self.settings.commit_timeout);
        let Committed { answers, work, ended } = tokio::time::timeout(patience, self.try_commit(commands))
            .await
            .unwrap_or(Err(StoreError::Timeout(patience)))?;
        tracing::debug!(commands = commands.len(), took = ?self.clock.elapsed().since(since), "committed a batch");
        for work in work {
            // Nobody receives during shutdown: the lease runs out, and recovery takes the work up.
            let _ = self.work.send(Leased { work, since });
        }
        ended.into_iter().for_each(|snapshot| self.outcomes.end(snapshot));
        Ok((answers, since))
    }

    /// Runs the batch, again when something passing was in the way. Running it twice does no harm, even when the first
    /// commit happened and only its answer was lost: every command is recognised by its ids or by its lease.
    async fn try_commit(&mut self, commands: &[Command]) -> Result<Committed, StoreError> {
        const TRIES: u32 = 4;
        let mut tried = 0;
        loop {
            match self.run_batch(commands).await {
                Err(error) if error.is_transient() && tried + 1 < TRIES => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a batch is run again");
                    let bound = Duration::from_millis(20 << tried);
                    tokio::time::sleep(bound.mul_f64(fastrand::f64())).await;
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    /// Runs the batch once. A panic, which would be a fault of ours, costs the batch and not the lane.
    async fn run_batch(&mut self, commands: &[Command]) -> Result<Committed, StoreError> {
        let run = batch::run(&self.database, &self.rules, &mut self.known, commands);
        AssertUnwindSafe(run)
            .catch_unwind()
            .await
            .unwrap_or(Err(StoreError::Panic))
    }
}
