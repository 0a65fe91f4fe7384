//! Whether the service is ready for calls, and the reason if it is not.

use std::{
    convert::Infallible,
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{Database, Installation, StoreError},
    telemetry::Instruments,
    worker::{NextRound, Supervisor, Trigger, Worker},
};

/// The state that probes see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessState {
    /// The store was not checked yet.
    Starting,
    /// The store answers, accepts writes, and its schema admits this build.
    Ready,
    /// The store does not answer, or accepts no writes.
    StoreUnavailable,
    /// The store cannot write, because its disk or memory is full or its disk fails.
    StoreExhausted,
    /// The store's schema is older than this version needs, or differs.
    SchemaMismatch,
    /// The store was finalized for newer builds.
    BuildNotAdmitted,
    /// The service is stopping, and refuses new changes.
    Stopping,
}

impl ReadinessState {
    /// True if the service takes calls.
    pub fn is_ready(self) -> bool {
        self == Self::Ready
    }

    /// The state as a constant, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Ready => "READY",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::StoreExhausted => "STORE_EXHAUSTED",
            Self::SchemaMismatch => "SCHEMA_MISMATCH",
            Self::BuildNotAdmitted => "BUILD_NOT_ADMITTED",
            Self::Stopping => "STOPPING",
        }
    }

    /// The state as a sentence, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Starting => "the audit store was not checked yet",
            Self::Ready => "the audit store answers, and its schema admits this version",
            Self::StoreUnavailable => "the audit store does not answer or accepts no writes; see the log",
            Self::StoreExhausted => {
                "the audit store cannot write: its disk or memory is full, or its disk fails; see the log"
            }
            Self::SchemaMismatch => "the audit store has an older schema, or one of another history; see the log",
            Self::BuildNotAdmitted => "the audit store was finalized for a newer version; run that version",
            Self::Stopping => "the service is stopping",
        }
    }
}

/// How the store is checked.
#[derive(Debug, Clone, Copy)]
pub struct WatchSettings {
    /// Time between two checks.
    pub check_every: Duration,
    /// How long the store may take to answer one.
    pub check_timeout: Duration,
}

/// The current state and its subscribers. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<ReadinessState>>,
    installation: Arc<Mutex<Option<Installation>>>,
    policy_note: Arc<Mutex<Option<&'static str>>>,
    instruments: Instruments,
}

impl Readiness {
    /// Starts as not ready.
    pub fn new(instruments: Instruments) -> Self {
        instruments.set_ready(false);
        Self {
            state: Arc::new(watch::Sender::new(ReadinessState::Starting)),
            installation: Arc::default(),
            policy_note: Arc::default(),
            instruments,
        }
    }

    /// The current state.
    pub fn state(&self) -> ReadinessState {
        *self.state.borrow()
    }

    /// Where the installation stood when it was last read. None: not known.
    pub fn installation(&self) -> Option<Installation> {
        self.installation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets where the installation stands.
    pub fn set_installation(&self, installation: Option<Installation>) {
        *self.installation.lock().unwrap_or_else(PoisonError::into_inner) = installation;
    }

    /// What is wrong with the policy, although the service is ready.
    pub fn policy_note(&self) -> Option<&'static str> {
        *self.policy_note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what is wrong with the policy.
    pub fn set_policy_note(&self, note: Option<&'static str>) {
        *self.policy_note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// A receiver of changes of the state.
    pub fn follow(&self) -> watch::Receiver<ReadinessState> {
        self.state.subscribe()
    }

    /// Checks the store at an interval until `stop` is cancelled. Then the state is STOPPING.
    pub async fn watch(self, database: Database, clock: Clock, settings: WatchSettings, stop: CancellationToken) {
        let supervisor = Supervisor::new(&clock, &self.instruments, &stop);
        let check = StoreCheck {
            readiness: self.clone(),
            database,
            settings,
        };
        supervisor.run(check).await;
        self.set(ReadinessState::Stopping);
    }

    /// Sets the state after a check, and logs a change.
    pub fn report(&self, result: &Result<(), StoreError>) {
        let state = match result {
            Ok(()) => ReadinessState::Ready,
            Err(StoreError::Schema(_)) => ReadinessState::SchemaMismatch,
            Err(StoreError::NotAdmitted { .. }) => ReadinessState::BuildNotAdmitted,
            Err(error) if error.is_exhausted() => ReadinessState::StoreExhausted,
            Err(_) => ReadinessState::StoreUnavailable,
        };
        if !self.set(state) {
            return;
        }
        match result {
            Ok(()) => tracing::info!("ready: the audit store answers"),
            Err(error) => {
                let (error, reason) = (error as &dyn StdError, state.as_str());
                tracing::error!(error, reason, "not ready: the audit store failed its check");
            }
        }
    }

    /// Returns true if the state has changed.
    fn set(&self, state: ReadinessState) -> bool {
        self.instruments.set_ready(state.is_ready());
        self.state
            .send_if_modified(|known| std::mem::replace(known, state) != state)
    }
}

/// The worker that checks the store. A check that finds the store unavailable is a successful round.
struct StoreCheck {
    readiness: Readiness,
    database: Database,
    settings: WatchSettings,
}

impl Worker for StoreCheck {
    const NAME: &'static str = "readiness";
    const FAILURE: &'static str = "cannot check the audit store";
    type Error = Infallible;

    fn every(&self) -> Duration {
        self.settings.check_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, Infallible> {
        let timeout = self.settings.check_timeout;
        let result = tokio::time::timeout(timeout, self.database.check()).await;
        self.readiness
            .report(&result.unwrap_or(Err(StoreError::Timeout(timeout))));
        Ok(NextRound::Interval)
    }
}
