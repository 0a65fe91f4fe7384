//! A lane: it commits its queue batch by batch, answers the callers, and hands out the new work.

use std::{mem, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};
use tracing::{Instrument, Span};

use crate::{
    clock::{Clock, MonotonicInstant},
    config::CommitterConfig,
    domain::{
        AccountId,
        transition::{Command, CommandReply, Snapshot, Work},
    },
    store::{
        connection::{COMMIT, Database},
        error::StoreError,
        notifications::Notifications,
    },
    telemetry::trace::{Origin, Origins},
};

use super::{
    batch::{self, BatchSettings, Committed, GrantedLeases, Locking},
    stuck::StuckAccounts,
};

/// How long a lane locks pessimistically after a conflict. Under repeated conflicts, optimistic batches would all run twice.
const PESSIMISTIC_FOR: Duration = Duration::from_secs(1);

/// Why a command has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The queue of the lane is full. Nothing happened.
    #[error("too many commands are queued")]
    Overloaded,
    /// Postgres did not confirm the commit in time. It may have happened: the same command again tells.
    #[error("the audit store does not answer")]
    Unavailable,
    /// The command cannot be committed, now or later: a defect of ours, which the log explains. Nothing happened.
    #[error("the audit store cannot commit this command")]
    Rejected,
    /// The head of the ledger was tampered with, so nothing is added to it. Nothing happened.
    #[error("entry {log_index} of the ledger of account {account} does not match what was recorded")]
    Tampered {
        /// The account of the ledger.
        account: AccountId,
        /// The last entry of the ledger.
        log_index: u64,
    },
    /// The server stops and accepts nothing new. Nothing happened.
    #[error("the server is stopping")]
    Stopping,
}

impl CommitError {
    fn of(error: &StoreError) -> Self {
        match *error {
            StoreError::Tampered { account, log_index } => Self::Tampered { account, log_index },
            _ if error.is_transient() => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

/// Work, and the start of its lease on this replica's clock. The start is a time before the transaction, so the lease never ends
/// later here than in the database.
#[derive(Debug)]
pub struct Leased {
    /// What to do, and under which lease.
    pub work: Work,
    /// A time before the lease was granted.
    pub since: MonotonicInstant,
}

/// The stages of the shutdown.
#[derive(Debug, Clone, Default)]
pub(super) struct Shutdown {
    /// Callers are refused.
    pub(super) refuse_callers: CancellationToken,
    /// Nothing is claimed. Claimed work is settled.
    pub(super) stop_claiming: CancellationToken,
    /// No command is accepted.
    pub(super) close: CancellationToken,
}

/// The answer to a command, and a time taken before its transaction began.
pub(super) type Answered = Result<(CommandReply, MonotonicInstant), CommitError>;

/// A command in the queue of a lane.
#[derive(Debug)]
pub(super) struct QueuedCommand {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Answered>,
    /// The span of the caller.
    pub(super) span: Span,
}

impl QueuedCommand {
    pub(super) fn new(command: Command) -> (Self, oneshot::Receiver<Answered>) {
        let (answer, receiver) = oneshot::channel();
        let span = Span::current();
        (Self { command, answer, span }, receiver)
    }

    /// Answers a command that finds no room in a queue. Only a caller's command can be OVERLOADED; others are repeated.
    pub(super) fn refuse_for_lack_of_room(self) {
        let answer = match self.command {
            Command::Open(_) | Command::Replay(_) | Command::Deny(..) => CommitError::Overloaded,
            Command::End(..)
            | Command::RecordDenials(..)
            | Command::Claim(_)
            | Command::Renew { .. }
            | Command::Settle(_)
            | Command::Observe(_)
            | Command::RevokeUnrecorded(..)
            | Command::SetBaseline(..)
            | Command::RecordEvent(_)
            | Command::Confirm(..) => CommitError::Unavailable,
        };
        let _ = self.answer.send(Err(answer));
    }
}

/// The state of a lane.
pub(super) struct Lane {
    pub(super) database: Database,
    pub(super) rules: BatchSettings,
    pub(super) settings: CommitterConfig,
    pub(super) clock: Clock,
    pub(super) notifications: Notifications,
    pub(super) work: mpsc::UnboundedSender<Leased>,
    /// The callers of a batch that was not committed because Postgres is unavailable.
    pub(super) unavailable: Vec<oneshot::Sender<Answered>>,
    /// When a batch last conflicted with another writer.
    pub(super) conflict_at: Option<MonotonicInstant>,
    pub(super) stuck: StuckAccounts,
    pub(super) shutdown: Shutdown,
    pub(super) origins: Origins,
    /// Dropped when the lane stops claiming.
    pub(super) claims: Option<TaskTrackerToken>,
}

impl Lane {
    /// Runs until the lane is closed, its queue is empty, and no command of a stuck account waits.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<QueuedCommand>) {
        let (mut batch, mut has_ended) = (Vec::new(), false);
        let max_batch = self.settings.max_batch.max(1);
        let Shutdown {
            stop_claiming, close, ..
        } = self.shutdown.clone();
        let clock = self.clock.clone();
        loop {
            let until_try = self.stuck.next_try(clock.monotonic_now());
            if has_ended && until_try.is_none() {
                return;
            }
            let taken = tokio::select! {
                taken = queue.recv_many(&mut batch, max_batch), if !has_ended => taken,
                () = clock.sleep(until_try.unwrap_or_default()), if until_try.is_some() => {
                    self.try_stuck().await;
                    continue;
                }
                () = stop_claiming.cancelled(), if self.claims.is_some() => {
                    self.stuck.refuse_claims();
                    self.claims = None;
                    continue;
                }
                // The queue is still committed; nothing more is accepted.
                () = close.cancelled(), if !queue.is_closed() => { queue.close(); continue }
            };
            if taken == 0 {
                has_ended = true;
                continue;
            }
            if self.claims.is_none() {
                batch = refuse_claims(batch);
                if batch.is_empty() {
                    continue;
                }
            }
            let committed = self.commit(mem::take(&mut batch)).await;
            if committed.is_err_and(|error| error.is_transient()) {
                // Postgres is unavailable: the callers behind this batch need not wait for a timeout of their own. They are taken
                // before anybody is answered, because what a caller sends after its answer must be tried.
                while let Ok(QueuedCommand { answer, .. }) = queue.try_recv() {
                    self.unavailable.push(answer);
                }
            }
            self.answer_unavailable();
        }
    }

    fn answer_unavailable(&mut self) {
        for answer in self.unavailable.drain(..) {
            let _ = answer.send(Err(CommitError::Unavailable));
        }
    }

    /// Commits a batch and answers the callers, except those whose batch was not committed because Postgres is unavailable. If
    /// a batch cannot be committed, each command is tried alone, so that one faulty command does not fail the others. The
    /// accounts of a batch that meets a lock are set aside.
    async fn commit(&mut self, batch: Vec<QueuedCommand>) -> Result<(), StoreError> {
        let begun = self.clock.monotonic_now();
        let batch = self.stuck.divert(batch, begun);
        if batch.is_empty() {
            return Ok(());
        }
        let (span, mut granted) = (batch_span(&batch), Vec::new());
        let (commands, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|queued| (queued.command, (queued.answer, queued.span)))
            .unzip();
        match self.commit_and_act(&commands, &mut granted, false, span).await {
            Ok((answers, since)) => {
                for ((caller, _), answer) in callers.into_iter().zip(answers) {
                    let _ = caller.send(Ok((answer, since)));
                }
                Ok(())
            }
            Err(error) if error.is_lock_timeout() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a batch met a lock of another session; each of its accounts is tried alone"
                );
                let queued = commands.into_iter().zip(callers);
                let queued = queued.map(|(command, (answer, span))| QueuedCommand { command, answer, span });
                self.stuck.set_aside(queued.collect(), &granted, begun);
                Ok(())
            }
            Err(error) if commands.len() > 1 && !error.is_transient() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch failed; each of its commands is tried alone"
                );
                for (command, (answer, span)) in commands.into_iter().zip(callers) {
                    let alone = Box::pin(self.commit(vec![QueuedCommand { command, answer, span }])).await;
                    // Its own failure is answered and logged there. When Postgres is unavailable, the rest need not try.
                    if let Err(error) = alone
                        && error.is_transient()
                    {
                        return Err(error);
                    }
                }
                Ok(())
            }
            Err(error) => {
                let commands = commands.len();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    commands,
                    "a batch was not committed; its callers get an error"
                );
                match CommitError::of(&error) {
                    CommitError::Unavailable => self.unavailable.extend(callers.into_iter().map(|(caller, _)| caller)),
                    answer => callers
                        .into_iter()
                        .for_each(|(caller, _)| drop(caller.send(Err(answer)))),
                }
                Err(error)
            }
        }
    }

    /// Tries one stuck account.
    async fn try_stuck(&mut self) {
        self.stuck.expire(self.clock.monotonic_now());
        let Some(mut account) = self.stuck.take_next() else {
            return;
        };
        let (commands, mut granted) = (account.commands(), mem::take(&mut account.granted));
        let result = self.commit_and_act(&commands, &mut granted, true, Span::none()).await;
        let now = self.clock.monotonic_now();
        match result {
            Ok((answers, since)) => {
                for (queued, answer) in account.take().into_iter().zip(answers) {
                    let _ = queued.answer.send(Ok((answer, since)));
                }
                if account.is_locked {
                    tracing::info!(account_id = %account.id, "the rows of the account are no longer locked");
                }
                self.stuck.release(account, now);
            }
            Err(error) if error.is_contention() => {
                if !account.is_locked {
                    tracing::warn!(
                        account_id = %account.id,
                        "another session keeps rows of the account locked; its commands wait, and other accounts go on"
                    );
                }
                // Each try grants the same leases again.
                granted.sort_unstable();
                granted.dedup();
                account.granted = granted;
                self.stuck.put_back(account, now);
            }
            Err(error) if error.is_unavailable() => {
                for queued in account.take() {
                    let _ = queued.answer.send(Err(CommitError::Unavailable));
                }
                self.stuck.refuse_all();
                self.stuck.release(account, now);
            }
            // Nothing was committed. The faulty command is found as in any batch.
            Err(_) => {
                let _ = self.commit(account.take()).await;
                self.answer_unavailable();
            }
        }
    }

    /// Commits commands, hands out the new work, and wakes the waiters of the changes that ended. The span covers the
    /// commit only.
    async fn commit_and_act(
        &mut self,
        commands: &[Command],
        granted: &mut GrantedLeases,
        is_stuck: bool,
        span: Span,
    ) -> Result<(Vec<CommandReply>, MonotonicInstant), StoreError> {
        let since = self.clock.monotonic_now();
        let Committed {
            answers,
            work,
            ended,
            grown,
            recorded,
        } = self.try_commit(commands, granted, is_stuck).instrument(span).await?;
        let took = self.clock.monotonic_now().since(since);
        tracing::debug!(commands = commands.len(), ?took, "committed a batch");
        let instruments = self.database.instruments();
        instruments.committed(commands.len(), took);
        for ((kind, action), entries) in recorded {
            instruments.recorded(kind, action, entries);
        }
        for Snapshot { change, .. } in &ended {
            instruments.change_ended(change.state, change.intent.action);
            self.origins.forget(change.id());
        }
        for work in work {
            // Without a receiver (the grace period is over) the lease expires, and recovery claims the work.
            let _ = self.work.send(Leased { work, since });
        }
        ended
            .into_iter()
            .for_each(|snapshot| self.notifications.outcomes.end(snapshot));
        self.notifications.ledger_growth.notify(&grown);
        self.notifications.beginnings.notify(&grown);
        Ok((answers, since))
    }

    /// Runs the batch, with pessimistic locking while other replicas write to the same accounts. Retries conflicts until the time
    /// limit, and an unavailable Postgres a few times only, so that callers learn of it soon.
    ///
    /// A second run does no harm, even if the first one was committed and only its answer was lost. A change is
    /// recognized by its request id, work by its lease, and a claim by the leases that earlier tries granted. A denial
    /// has none of these, so it can be on record twice.
    ///
    /// A lock timeout is not retried here, because the other accounts of the lane would wait.
    async fn try_commit(
        &mut self,
        commands: &[Command],
        granted: &mut GrantedLeases,
        is_stuck: bool,
    ) -> Result<Committed, StoreError> {
        const TRIES: u32 = 4;
        let begun = self.clock.monotonic_now();
        let mut tried = 0;
        loop {
            let left = self
                .settings
                .commit_timeout
                .saturating_sub(self.clock.monotonic_now().since(begun));
            let is_over = |conflict_at| self.clock.monotonic_now().since(conflict_at) >= PESSIMISTIC_FOR;
            // A retry waits for the lock, and so reads what the earlier try may have committed.
            let locking = match tried == 0 && self.conflict_at.is_none_or(is_over) {
                _ if is_stuck => Locking::Brief,
                true => Locking::Optimistic,
                false => Locking::Pessimistic,
            };
            match self.run_batch(locking, commands, granted, left).await {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => {
                    tracing::debug!(
                        commands = commands.len(),
                        ?locking,
                        "a batch conflicted with another commit"
                    );
                    self.database.instruments().commit_conflict();
                    self.conflict_at = Some(self.clock.monotonic_now());
                }
                Err(error) if error.is_lock_timeout() || (is_stuck && error.is_contention()) => return Err(error),
                Err(error)
                    if error.is_transient() && (error.is_contention() || tried + 1 < TRIES) && !left.is_zero() =>
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a batch failed; it is retried"
                    );
                    let bound = Duration::from_millis(20 << tried.min(5));
                    tokio::time::sleep(bound.mul_f64(fastrand::f64())).await;
                    tried += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the batch once. A panic fails the batch and not the lane.
    async fn run_batch(
        &self,
        locking: Locking,
        commands: &[Command],
        granted: &mut GrantedLeases,
        timeout: Duration,
    ) -> Result<Option<Committed>, StoreError> {
        let run = async |connection: &mut PgConnection| {
            let run = AssertUnwindSafe(batch::run(connection, &self.rules, locking, commands, granted));
            run.catch_unwind().await.unwrap_or(Err(StoreError::Panic))
        };
        self.database.within(COMMIT, timeout, run).await
    }
}

/// The span of a batch: a root, linked both ways with the spans of its callers. None unless one of these is sampled.
fn batch_span(batch: &[QueuedCommand]) -> Span {
    let origins: Vec<_> = batch.iter().map(|queued| Origin::of(&queued.span)).collect();
    if !origins.iter().any(Origin::is_sampled) {
        return Span::none();
    }
    let span = tracing::info_span!(parent: None, "commit", commands = batch.len());
    for origin in &origins {
        origin.link(&span);
    }
    let here = Origin::of(&span);
    for queued in batch {
        here.link(&queued.span);
    }
    span
}

/// Refuses commands that would claim work, and keeps those that settle it.
fn refuse_claims(batch: Vec<QueuedCommand>) -> Vec<QueuedCommand> {
    let (ends, begins): (Vec<_>, Vec<_>) = batch.into_iter().partition(|queued| !queued.command.begins_work());
    for QueuedCommand { answer, .. } in begins {
        let _ = answer.send(Err(CommitError::Stopping));
    }
    ends
}
