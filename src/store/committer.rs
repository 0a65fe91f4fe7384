//! Group commit: commands wait in lanes, and each lane commits what waits in one transaction after the other.
//!
//! An account always belongs to the same lane, so a lane's commands for it are in order. A lane never waits when it is
//! idle: it takes what is there. One commit, and one flush to disk, serves the whole batch; a command that is refused
//! (a re-used request id, say) is answered from the transition, without failing its neighbours.
//!
//! The lanes have a thread, and connections, of their own. Everybody waits for them: among the tasks of a busy runtime each round
//! trip to Postgres would first wait for its turn.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Span;

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{
        AccountId, Intent, ReplicaId,
        transition::{Command, CommandReply, Work},
    },
    telemetry::trace::{Origin, Origins},
};

use super::{Database, Hints, batch::Rules, lane::Lane};

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
    /// How long after its end here a call whose end nobody saw may still take effect at AWS.
    pub landing_window: Duration,
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
    /// The store cannot take the command, now or later: a fault of ours. The log says more. Nothing happened.
    #[error("the audit store cannot take this")]
    Rejected,
    /// The server ends, and takes up nothing new. Nothing happened.
    #[error("the server stops")]
    Stopping,
}

/// Work, and until when its lease lasts on this replica's clock. Reckoned from before the transaction that gave it, so
/// that it never lasts longer here than in the database.
#[derive(Debug)]
pub struct Leased {
    /// The work.
    pub work: Work,
    /// When the lease was given, or before.
    pub since: MonotonicInstant,
}

/// The only writer.
#[derive(Debug, Clone)]
pub struct Committer {
    lanes: Arc<[mpsc::Sender<Waiting>]>,
    tasks: TaskTracker,
    /// The lanes that may still take up work.
    staying: TaskTracker,
    ending: Ending,
    origins: Origins,
}

/// How far the end is.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Callers are refused.
    pub(super) refuse: CancellationToken,
    /// Nothing is taken up; what was, is settled.
    pub(super) leave: CancellationToken,
    /// Nothing is taken.
    pub(super) close: CancellationToken,
}

/// The answer to a command, and from before when it is.
pub(super) type Answered = Result<(CommandReply, MonotonicInstant), CommitError>;

/// A command, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Answered>,
    /// The span of who waits.
    pub(super) span: Span,
}

impl Waiting {
    fn new(command: Command) -> (Self, oneshot::Receiver<Answered>) {
        let (answer, receiver) = oneshot::channel();
        let span = Span::current();
        let waiting = Self { command, answer, span };
        (waiting, receiver)
    }
}

impl Committer {
    /// Starts the lanes, on a thread of their own. Work is sent to `work`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        database: &Database,
        settings: &CommitterSettings,
        replica: ReplicaId,
        clock: &Clock,
        hints: &Hints,
        work: &mpsc::UnboundedSender<Leased>,
    ) -> io::Result<Self> {
        let (tasks, staying, ending) = (TaskTracker::new(), TaskTracker::new(), Ending::default());
        let origins = Origins::default();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let count = settings.lanes.max(1);
        let database = {
            let _guard = runtime.enter();
            database.apart(u32::try_from(count).unwrap_or(u32::MAX))
        };
        let lanes = (0..count).map(|_| {
            let (sender, receiver) = mpsc::channel(settings.queue.max(1));
            let lane = Lane {
                database: database.clone(),
                rules: Rules {
                    replica,
                    lease_for: settings.lease_for,
                    landing_window: settings.landing_window,
                    server_version: env!("CARGO_PKG_VERSION"),
                },
                settings: settings.clone(),
                clock: clock.clone(),
                hints: hints.clone(),
                work: work.clone(),
                overtaken: None,
                ending: ending.clone(),
                origins: origins.clone(),
                stays: Some(staying.token()),
            };
            tasks.spawn_on(lane.run(receiver), runtime.handle());
            sender
        });
        let lanes: Arc<[mpsc::Sender<Waiting>]> = lanes.collect();
        let queues: Vec<_> = lanes.iter().map(mpsc::Sender::downgrade).collect();
        database.instruments().look_at_queue(move || {
            let lanes = queues.iter().filter_map(mpsc::WeakSender::upgrade);
            Some(lanes.map(|lane| lane.max_capacity() - lane.capacity()).sum::<usize>() as u64)
        });
        tasks.close();
        staying.close();
        let ended = tasks.clone();
        thread::Builder::new().name("committer".into()).spawn(move || {
            // The last connections end where they were driven.
            runtime.block_on(async move {
                ended.wait().await;
                database.close().await;
            });
        })?;
        Ok(Self {
            lanes,
            tasks,
            staying,
            ending,
            origins,
        })
    }

    /// Commits a caller's command, or refuses at once when its lane is full or the server ends.
    ///
    /// # Errors
    /// [`CommitError`]. Dropping the future does not take the command back.
    pub async fn commit(&self, command: Command) -> Result<CommandReply, CommitError> {
        if self.ending.refuse.is_cancelled() {
            return Err(CommitError::Stopping);
        }
        let lane = self.lane(command.account());
        let opened = match &command {
            Command::Open(intent) => Some(intent.change_id),
            _ => None,
        };
        let (waiting, receiver) = Waiting::new(command);
        if let Some(change) = opened {
            // Before the forwarder may ask for it.
            self.origins.remember(change, &waiting.span);
        }
        lane.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })?;
        Ok(receive(receiver).await?.0)
    }

    /// Where a change comes from, in traces: the call that opened it here, or else its own trace.
    pub fn origin_of(&self, intent: &Intent) -> Origin {
        self.origins.of(intent.change_id, intent.trace_id.as_ref())
    }

    /// Commits a command that must not be lost to a full lane, and tells from before when its answer is.
    ///
    /// # Errors
    /// [`CommitError`], but for [`CommitError::Overloaded`].
    pub async fn commit_patiently(&self, command: Command) -> Result<(CommandReply, MonotonicInstant), CommitError> {
        let lane = self.lane(command.account());
        let (waiting, receiver) = Waiting::new(command);
        lane.send(waiting).await.map_err(|_| CommitError::Unavailable)?;
        receive(receiver).await
    }

    /// From now on callers are refused. What was accepted goes on.
    pub fn refuse_callers(&self) {
        self.ending.refuse.cancel();
    }

    /// Takes up nothing more. When this returns, no lease is taken any more but for a change that waited behind one that is
    /// settled; what was handed out is in the channel.
    pub async fn stop_claiming(&self) {
        self.ending.refuse.cancel();
        self.ending.leave.cancel();
        self.staying.wait().await;
    }

    /// Commits what waits, takes nothing more, and waits for the end of the lanes.
    pub async fn close(&self) {
        self.ending.close.cancel();
        self.tasks.wait().await;
    }

    fn lane(&self, account: AccountId) -> &mpsc::Sender<Waiting> {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[(hasher.finish() % lanes) as usize]
    }
}

async fn receive(receiver: oneshot::Receiver<Answered>) -> Answered {
    receiver.await.unwrap_or(Err(CommitError::Unavailable))
}
