//! Whether the service takes calls, and why not.

use std::{convert::Infallible, error::Error as StdError, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{Database, StoreError},
    telemetry::Instruments,
    worker::{NextRound, Supervisor, Trigger, Worker},
};

/// Where the service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessState {
    /// The store was not asked yet.
    Starting,
    /// The store answers, takes writes, and has the schema of this version.
    Ready,
    /// The store does not answer as it should.
    StoreUnavailable,
    /// The schema of the store is older or newer than this version.
    SchemaMismatch,
    /// It stops, and takes nothing new.
    Stopping,
}

impl ReadinessState {
    /// True while calls are taken.
    pub fn is_ready(self) -> bool {
        self == Self::Ready
    }

    /// As programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Ready => "READY",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::SchemaMismatch => "SCHEMA_MISMATCH",
            Self::Stopping => "STOPPING",
        }
    }

    /// For a person.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Starting => "the audit store was not asked yet",
            Self::Ready => "the audit store answers, and has the schema of this version",
            Self::StoreUnavailable => "the audit store does not answer as it should; the log says more",
            Self::SchemaMismatch => "the schema of the audit store is not the one of this version; the log says more",
            Self::Stopping => "the service stops",
        }
    }
}

/// How the store is watched.
#[derive(Debug, Clone, Copy)]
pub struct WatchSettings {
    /// How often to ask it.
    pub check_every: Duration,
    /// How long it may take to answer.
    pub check_timeout: Duration,
}

/// Where the service stands, for whoever is to tell it. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct Readiness {
    state: Arc<watch::Sender<ReadinessState>>,
    instruments: Instruments,
}

impl Readiness {
    /// Not ready, until the store was seen to answer.
    pub fn new(instruments: Instruments) -> Self {
        instruments.set_ready(false);
        Self {
            state: Arc::new(watch::Sender::new(ReadinessState::Starting)),
            instruments,
        }
    }

    /// Where it stands now.
    pub fn state(&self) -> ReadinessState {
        *self.state.borrow()
    }

    /// Hears of it when it changes.
    pub fn follow(&self) -> watch::Receiver<ReadinessState> {
        self.state.subscribe()
    }

    /// Asks the store again and again. When `stop` is cancelled, the service is stopping, for good.
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

    /// Tells, and logs when it has changed.
    fn report(&self, result: Result<(), StoreError>) {
        let state = match &result {
            Ok(()) => ReadinessState::Ready,
            Err(StoreError::Schema(_)) => ReadinessState::SchemaMismatch,
            Err(_) => ReadinessState::StoreUnavailable,
        };
        if !self.set(state) {
            return;
        }
        match &result {
            Ok(()) => tracing::info!("ready: the audit store answers"),
            Err(error) => {
                let (error, reason) = (error as &dyn StdError, state.as_str());
                tracing::error!(error, reason, "not ready: the audit store does not answer as it should");
            }
        }
    }

    /// True when it was something else before.
    fn set(&self, state: ReadinessState) -> bool {
        self.instruments.set_ready(state.is_ready());
        self.state
            .send_if_modified(|known| std::mem::replace(known, state) != state)
    }
}

/// The worker that asks the store. A round that finds it away has done its work, too.
struct StoreCheck {
    readiness: Readiness,
    database: Database,
    settings: WatchSettings,
}

impl Worker for StoreCheck {
    const NAME: &'static str = "readiness";
    const FAILURE: &'static str = "cannot tell whether the audit store answers";
    type Error = Infallible;

    fn every(&self) -> Duration {
        self.settings.check_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, Infallible> {
        let timeout = self.settings.check_timeout;
        let result = tokio::time::timeout(timeout, self.database.check()).await;
        self.readiness
            .report(result.unwrap_or(Err(StoreError::Timeout(timeout))));
        Ok(NextRound::Interval)
    }
}
