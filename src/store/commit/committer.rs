//! Group commit: commands queue in lanes, and each lane commits its queue batch by batch.
//!
//! An account always has the same lane, so the commands of an account stay in order. An idle lane starts at once with what is
//! queued. One commit and one flush to disk serve the whole batch. A refused command (a reused request id, for example) gets its
//! answer from the transition and does not fail the others.
//!
//! The lanes have a thread and connections of their own. On the busy shared runtime, each round trip to Postgres would wait for
//! other tasks.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
use tokio_util::task::TaskTracker;

use crate::{
    clock::{Clock, MonotonicInstant},
    config::{CommitterConfig, ForwarderConfig},
    domain::{
        AccountId, Intent, ReplicaId,
        transition::{Command, CommandReply},
    },
    store::{connection::Database, notifications::Notifications},
    telemetry::trace::{Origin, Origins},
};

use super::{
    background::Background,
    batch::BatchSettings,
    lane::{Answered, CommitError, Lane, Leased, QueuedCommand, Shutdown},
    stuck::{StuckAccounts, StuckLimits},
};

/// Commits commands. The only writer of changes.
#[derive(Debug, Clone)]
pub struct Committer {
    lanes: Arc<[mpsc::Sender<QueuedCommand>]>,
    tasks: TaskTracker,
    /// The lanes that may still claim work.
    claiming: TaskTracker,
    shutdown: Shutdown,
    origins: Origins,
}

impl Committer {
    /// Starts the lanes on a thread of their own. They send new work to `work`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        database: &Database,
        settings: CommitterConfig,
        forwarder: &ForwarderConfig,
        replica: ReplicaId,
        clock: &Clock,
        notifications: &Notifications,
        work: &mpsc::UnboundedSender<Leased>,
    ) -> io::Result<Self> {
        let (tasks, claiming, shutdown) = (TaskTracker::new(), TaskTracker::new(), Shutdown::default());
        let origins = Origins::default();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let count = settings.lanes.max(1);
        let database = {
            let _guard = runtime.enter();
            database.dedicated(u32::try_from(count).unwrap_or(u32::MAX))
        };
        let stuck = Arc::new(AtomicUsize::new(0));
        let limits = StuckLimits {
            commands: settings.queue.max(1),
            per_account: settings.max_batch.max(1),
            wait: settings.commit_timeout,
        };
        let lanes = (0..count).map(|_| {
            let (sender, receiver) = mpsc::channel(settings.queue.max(1));
            let lane = Lane {
                database: database.clone(),
                rules: BatchSettings {
                    beginnings: notifications.beginnings.clone(),
                    replica,
                    lease_for: forwarder.lease,
                    late_effect_window: forwarder.late_effect_window,
                    server_version: env!("CARGO_PKG_VERSION"),
                },
                settings,
                clock: clock.clone(),
                notifications: notifications.clone(),
                work: work.clone(),
                unavailable: Vec::new(),
                conflict_at: None,
                stuck: StuckAccounts::new(limits, stuck.clone()),
                shutdown: shutdown.clone(),
                origins: origins.clone(),
                claims: Some(claiming.token()),
            };
            tasks.spawn_on(lane.run(receiver), runtime.handle());
            sender
        });
        let lanes: Arc<[mpsc::Sender<QueuedCommand>]> = lanes.collect();
        let queues: Vec<_> = lanes.iter().map(mpsc::Sender::downgrade).collect();
        database.instruments().observe_commit_queue(move || {
            let lanes = queues.iter().filter_map(mpsc::WeakSender::upgrade);
            let queued: usize = lanes.map(|lane| lane.max_capacity() - lane.capacity()).sum();
            Some((queued + stuck.load(Ordering::Relaxed)) as u64)
        });
        tasks.close();
        claiming.close();
        let ended = tasks.clone();
        thread::Builder::new().name("committer".into()).spawn(move || {
            // The runtime that drives the connections also closes them.
            runtime.block_on(async move {
                ended.wait().await;
                database.close().await;
            });
        })?;
        Ok(Self {
            lanes,
            tasks,
            claiming,
            shutdown,
            origins,
        })
    }

    /// Commits a caller's command. Refuses at once when the queue of its lane is full, or when the server stops.
    ///
    /// # Errors
    /// [`CommitError`]. Dropping the future does not cancel the command.
    pub async fn commit(&self, command: Command) -> Result<CommandReply, CommitError> {
        if self.shutdown.refuse_callers.is_cancelled() {
            return Err(CommitError::Stopping);
        }
        let lane = self.lane(command.account());
        let opened = match &command {
            Command::Open(intent) => Some(intent.change_id),
            _ => None,
        };
        let (queued, receiver) = QueuedCommand::new(command);
        if let Some(change) = opened {
            // The forwarder may ask for it as soon as the command is queued.
            self.origins.remember(change, &queued.span);
        }
        lane.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CommitError::Unavailable,
        })?;
        Ok(receive(receiver).await?.0)
    }

    /// The origin of a change in traces: the span of the call that opened it here, or else the trace id of the change.
    pub fn origin_of(&self, intent: &Intent) -> Origin {
        self.origins.of(intent.change_id, intent.trace_id.as_ref())
    }

    /// Commits a command; waits while the queue of its lane is full. Returns the answer, and a time taken before its
    /// transaction began.
    ///
    /// # Errors
    /// [`CommitError`], except [`CommitError::Overloaded`].
    pub async fn commit_with_backpressure(
        &self,
        command: Command,
    ) -> Result<(CommandReply, MonotonicInstant), CommitError> {
        let lane = self.lane(command.account());
        let (queued, receiver) = QueuedCommand::new(command);
        lane.send(queued).await.map_err(|_| CommitError::Unavailable)?;
        receive(receiver).await
    }

    /// Commits commands for which no caller waits, at most `at_once` at the same time.
    pub fn in_background(&self, at_once: usize) -> Background {
        Background::new(self.clone(), at_once)
    }

    /// Refuses callers from now on. Accepted work goes on.
    pub fn refuse_callers(&self) {
        self.shutdown.refuse_callers.cancel();
    }

    /// Stops claiming work. When this returns, all work that was claimed is in the channel. Only a settlement can still
    /// take a lease: for the change that waited behind the settled one.
    pub async fn stop_claiming(&self) {
        self.shutdown.refuse_callers.cancel();
        self.shutdown.stop_claiming.cancel();
        self.claiming.wait().await;
    }

    /// Commits what is queued, accepts nothing more, and waits until the lanes have ended.
    pub async fn close(&self) {
        self.shutdown.close.cancel();
        self.tasks.wait().await;
    }

    fn lane(&self, account: AccountId) -> &mpsc::Sender<QueuedCommand> {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[(hasher.finish() % lanes) as usize]
    }
}

async fn receive(receiver: oneshot::Receiver<Answered>) -> Answered {
    receiver.await.unwrap_or(Err(CommitError::Unavailable))
}
