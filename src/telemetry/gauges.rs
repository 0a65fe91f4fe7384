//! What is looked at when somebody reads, and not counted as it happens. What is not known is not reported. Whoever is looked at is
//! not kept alive by it: give closures that hold weak references.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    instruments::{Instruments, PendingChanges},
    process, writer,
};

/// The connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Those that nobody uses.
    pub idle: u64,
    /// Those in use.
    pub used: u64,
    /// So many there may be.
    pub most: u64,
}

/// What the forwarder has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwarderLoad {
    /// Changes that are worked on, or wait here for their turn or their next attempt.
    pub backlog: u64,
    /// Accounts and Regions whose endpoint does not answer, and is left alone or probed.
    pub circuits_open: u64,
}

type SharedValue<T> = Arc<Mutex<Option<T>>>;

/// What others tell now and then.
#[derive(Debug, Default)]
pub(super) struct ReportedValues {
    pub(super) pending: SharedValue<PendingChanges>,
    pub(super) unsigned_for: SharedValue<Duration>,
    pub(super) ready: SharedValue<bool>,
}

impl ReportedValues {
    pub(super) fn new(meter: &Meter) -> Self {
        let reported = Self::default();
        let pending = |part: fn(PendingChanges) -> u64| latest(&reported.pending, part);
        count(
            meter,
            "sharewarden.changes.pending",
            "{change}",
            "Accepted changes that have not ended, in the whole database.",
            pending(|changes| changes.pending),
        );
        count(
            meter,
            "sharewarden.changes.in_doubt",
            "{change}",
            "Pending changes of which a call to AWS may have had an effect that was not read back yet.",
            pending(|changes| changes.in_doubt),
        );
        seconds(
            meter,
            "sharewarden.changes.pending.oldest_age",
            "For how long the oldest pending change has waited; 0 without any.",
            latest(&reported.pending, |changes| changes.oldest_age),
        );
        seconds(
            meter,
            "sharewarden.checkpoint.age",
            "For how long the oldest growth of a ledger was not signed for, in the whole database; 0 when all is.",
            latest(&reported.unsigned_for, |age| age),
        );
        count(
            meter,
            "sharewarden.ready",
            "",
            "1 while the service takes calls: Postgres answers, and its schema is the one of this version.",
            latest(&reported.ready, u64::from),
        );
        reported
    }
}

/// A part of what was told last.
fn latest<T: Copy + Send + 'static, U>(
    shared: &SharedValue<T>,
    part: fn(T) -> U,
) -> impl Fn() -> Option<U> + Send + Sync + use<T, U> {
    let shared = shared.clone();
    move || shared.lock().unwrap_or_else(PoisonError::into_inner).map(part)
}

impl Instruments {
    /// Looks at a pool of connections to Postgres. The names are those that OpenTelemetry had before: Prometheus wants no gauge
    /// to end with `_count`.
    pub fn observe_pool(&self, pool: impl Fn() -> Option<PoolUsage> + Send + Sync + 'static) {
        let pool = Arc::new(pool);
        let connections = pool.clone();
        self.0
            .meter
            .u64_observable_gauge("db.client.connections.usage")
            .with_unit("{connection}")
            .with_description("Connections to Postgres.")
            .with_callback(move |observer| {
                if let Some(pool) = connections() {
                    observer.observe(pool.idle, &[KeyValue::new("state", "idle")]);
                    observer.observe(pool.used, &[KeyValue::new("state", "used")]);
                }
            })
            .build();
        count(
            &self.0.meter,
            "db.client.connections.max",
            "{connection}",
            "So many connections to Postgres there may be.",
            move || pool().map(|pool| pool.most),
        );
    }

    /// Looks at how many commands wait for the committer.
    pub fn observe_commit_queue(&self, commands: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        count(
            &self.0.meter,
            "sharewarden.committer.queue_depth",
            "{command}",
            "Commands that wait to be committed.",
            commands,
        );
    }

    /// Looks at what the forwarder has to do.
    pub fn observe_forwarder(&self, forwarder: impl Fn() -> Option<ForwarderLoad> + Send + Sync + 'static) {
        let forwarder = Arc::new(forwarder);
        let circuits = forwarder.clone();
        count(
            &self.0.meter,
            "sharewarden.forwarder.backlog",
            "{change}",
            "Changes that this replica works on, or that wait here for their turn or their next attempt.",
            move || forwarder().map(|forwarder| forwarder.backlog),
        );
        count(
            &self.0.meter,
            "sharewarden.forwarder.circuits_open",
            "{circuit}",
            "Accounts and Regions whose endpoint does not answer this replica.",
            move || circuits().map(|circuits| circuits.circuits_open),
        );
    }

    /// Looks at how many watches there are.
    pub fn observe_watches(&self, watchers: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        count(
            &self.0.meter,
            "sharewarden.watch.watchers",
            "{watch}",
            "Watches of ledgers under way.",
            watchers,
        );
    }

    /// Looks at the process as a whole: once, for there is one.
    pub(super) fn observe_process(&self) {
        let meter = &self.0.meter;
        let revision = option_env!("SHAREWARDEN_REVISION").filter(|revision| !revision.is_empty());
        let known = [
            Some(KeyValue::new("version", env!("CARGO_PKG_VERSION"))),
            option_env!("SHAREWARDEN_RUSTC").map(|rustc| KeyValue::new("rustc", rustc)),
            revision.map(|revision| KeyValue::new("revision", revision)),
        ];
        let build: Vec<_> = known.into_iter().flatten().collect();
        meter
            .u64_observable_gauge("sharewarden.build.info")
            .with_description("Which build this is; always 1.")
            .with_callback(move |observer| observer.observe(1, &build))
            .build();
        meter
            .u64_observable_counter("sharewarden.log.dropped_lines")
            .with_unit("{line}")
            .with_description("Lines of the log that were not written, since whoever reads it was too slow.")
            .with_callback(|observer| observer.observe(writer::dropped_lines(), &[]))
            .build();
        process::observe(meter);
    }
}

pub(super) fn count(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    value: impl Fn() -> Option<u64> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| {
            if let Some(value) = value() {
                observer.observe(value, &[]);
            }
        })
        .build();
}

fn seconds(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    value: impl Fn() -> Option<Duration> + Send + Sync + 'static,
) {
    meter
        .f64_observable_gauge(name)
        .with_unit("s")
        .with_description(description)
        .with_callback(move |observer| {
            if let Some(value) = value() {
                observer.observe(value.as_secs_f64(), &[]);
            }
        })
        .build();
}
