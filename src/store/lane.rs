//! A lane: it commits what waits, batch by batch, tells those who wait, and hands out the work that came of it.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::transition::{Command, CommandReply, Snapshot},
    telemetry::trace::{Origin, Origins},
};

use super::{
    CommitError, Database, Hints, Leased, StoreError,
    batch::{self, Committed, Given, Rules, Way},
    committer::{CommitterSettings, Ending, Waiting},
};

/// So long batches wait for their turn after somebody else was faster: or where that happens again and again, all is done twice.
const IN_TURN_FOR: Duration = Duration::from_secs(1);

/// What a lane needs.
pub(super) struct Lane {
    pub(super) database: Database,
    pub(super) rules: Rules,
    pub(super) settings: CommitterSettings,
    pub(super) clock: Clock,
    pub(super) hints: Hints,
    pub(super) work: mpsc::UnboundedSender<Leased>,
    /// When somebody else was faster.
    pub(super) overtaken: Option<MonotonicInstant>,
    pub(super) ending: Ending,
    pub(super) origins: Origins,
    /// Dropped when the lane takes up nothing more.
    pub(super) stays: Option<TaskTrackerToken>,
}

impl Lane {
    /// Until it is closed and nothing waits any more.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        let most = self.settings.max_batch.max(1);
        let Ending { leave, close, .. } = self.ending.clone();
        loop {
            let taken = tokio::select! {
                taken = waiting.recv_many(&mut batch, most) => taken,
                () = leave.cancelled(), if self.stays.is_some() => { self.stays = None; continue }
                // What waits is still committed; nothing more is taken.
                () = close.cancelled(), if !waiting.is_closed() => { waiting.close(); continue }
            };
            if taken == 0 {
                return;
            }
            if self.stays.is_none() {
                batch = refuse_to_take_up(batch);
                if batch.is_empty() {
                    continue;
                }
            }
            for batch in self.divide(std::mem::take(&mut batch)) {
                if self.commit(batch).await.is_err_and(|error| error.is_transient()) {
                    // Postgres is away: who waits behind this batch need not wait for a time-out of their own. Those of a
                    // divided batch that are not answered here are told so when they are dropped.
                    while let Ok(Waiting { answer, .. }) = waiting.try_recv() {
                        let _ = answer.send(Err(CommitError::Unavailable));
                    }
                    break;
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
            accounts.entry(waiting.command.account()).or_default().push(waiting);
        }
        accounts.into_values().collect()
    }

    /// Commits a batch and answers those who wait. What fails for a reason of its own is tried command by command, so that
    /// one of them does not fail its neighbours.
    async fn commit(&mut self, batch: Vec<Waiting>) -> Result<(), StoreError> {
        let span = batch_span(&batch);
        let (commands, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.command, (waiting.answer, waiting.span)))
            .unzip();
        match self.commit_and_act(&commands, span).await {
            Ok((answers, since)) => {
                for ((caller, _), answer) in callers.into_iter().zip(answers) {
                    let _ = caller.send(Ok((answer, since)));
                }
                Ok(())
            }
            Err(error) if commands.len() > 1 && !error.is_transient() => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch is divided to find what is wrong with it"
                );
                for (command, (answer, span)) in commands.into_iter().zip(callers) {
                    let alone = Box::pin(self.commit(vec![Waiting { command, answer, span }])).await;
                    // A failure of its own is answered and logged there; when Postgres is away, the rest need not try.
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
                    "a batch was not committed"
                );
                let answer = if error.is_transient() {
                    CommitError::Unavailable
                } else {
                    CommitError::Rejected
                };
                for (caller, _) in callers {
                    let _ = caller.send(Err(answer));
                }
                Err(error)
            }
        }
    }

    /// Commits commands, hands out the work that came of them, and wakes those who wait for changes that ended.
    /// The span ends with the commit, before anybody acts on it.
    async fn commit_and_act(
        &mut self,
        commands: &[Command],
        span: Span,
    ) -> Result<(Vec<CommandReply>, MonotonicInstant), StoreError> {
        let since = self.clock.monotonic_now();
        let Committed {
            answers,
            work,
            ended,
            grown,
            recorded,
        } = self.try_commit(commands).instrument(span).await?;
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
            // Nobody receives when the time for the end was up: the lease runs out, and recovery takes the work up.
            let _ = self.work.send(Leased { work, since });
        }
        ended.into_iter().for_each(|snapshot| self.hints.outcomes.end(snapshot));
        self.hints.growth.tell(&grown);
        Ok((answers, since))
    }

    /// Runs the batch; in its turn, when somebody else writes to the same accounts. Again when something passing was in the way: until the
    /// time is up when it was another transaction, and a few times when Postgres is away, so that callers hear of it soon. Running it twice does no harm, even when the first
    /// commit happened and only its answer was lost: a change is recognised by its request id, work by its lease, and what was
    /// claimed by the leases that an earlier try would have given. (A refusal has none of these: then it is on record twice, which
    /// is the truth of an answer that was lost.)
    async fn try_commit(&mut self, commands: &[Command]) -> Result<Committed, StoreError> {
        const TRIES: u32 = 4;
        let begun = self.clock.monotonic_now();
        let (mut tried, mut given) = (0, Vec::new());
        loop {
            let left = self
                .settings
                .commit_timeout
                .saturating_sub(self.clock.monotonic_now().since(begun));
            let is_late = |overtaken| self.clock.monotonic_now().since(overtaken) >= IN_TURN_FOR;
            // What an earlier try may have committed is looked for behind it, and not beside it.
            let way = match tried == 0 && self.overtaken.is_none_or(is_late) {
                true => Way::AtOnce,
                false => Way::InTurn,
            };
            match self.run_batch(way, commands, &mut given, left).await {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => {
                    tracing::debug!(commands = commands.len(), ?way, "another commit was faster");
                    self.database.instruments().overtaken();
                    self.overtaken = Some(self.clock.monotonic_now());
                }
                Err(error)
                    if error.is_transient() && (error.is_contention() || tried + 1 < TRIES) && !left.is_zero() =>
                {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a batch is run again");
                    let bound = Duration::from_millis(20 << tried.min(5));
                    tokio::time::sleep(bound.mul_f64(fastrand::f64())).await;
                    tried += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the batch once. A panic, which would be a fault of ours, costs the batch and not the lane.
    async fn run_batch(
        &self,
        way: Way,
        commands: &[Command],
        given: &mut Given,
        patience: Duration,
    ) -> Result<Option<Committed>, StoreError> {
        let run = async |connection: &mut PgConnection| {
            let run = AssertUnwindSafe(batch::run(connection, &self.rules, way, commands, given));
            run.catch_unwind().await.unwrap_or(Err(StoreError::Panic))
        };
        self.database.within("commit", patience, run).await
    }
}

/// The span of a batch, and links between it and those whose commands it commits: it is part of no one's trace. None, unless one
/// of these is sent to a collector.
fn batch_span(batch: &[Waiting]) -> Span {
    let origins: Vec<_> = batch.iter().map(|waiting| Origin::of(&waiting.span)).collect();
    if !origins.iter().any(Origin::is_sampled) {
        return Span::none();
    }
    let span = tracing::info_span!(parent: None, "commit", commands = batch.len());
    for origin in &origins {
        origin.link(&span);
    }
    let here = Origin::of(&span);
    for waiting in batch {
        here.link(&waiting.span);
    }
    span
}

/// Answers what would take work up, and keeps what brings it to an end.
fn refuse_to_take_up(batch: Vec<Waiting>) -> Vec<Waiting> {
    let (ends, begins): (Vec<_>, Vec<_>) = batch.into_iter().partition(|waiting| !waiting.command.begins_work());
    for Waiting { answer, .. } in begins {
        let _ = answer.send(Err(CommitError::Stopping));
    }
    ends
}
