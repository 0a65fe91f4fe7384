//! Gauges: values that are read when metrics are collected. An unknown value is left out. Callbacks should hold weak references,
//! so that a gauge does not keep its subject alive.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};

use crate::domain::PolicyDigest;

use super::{
    instruments::{Instruments, PendingChanges},
    process, writer,
};

/// The connections of the Postgres pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Connections that are not in use.
    pub idle: u64,
    /// Connections in use.
    pub used: u64,
    /// Maximum number of connections.
    pub max: u64,
}

/// What the forwarder of this replica has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwarderLoad {
    /// Changes in work, or waiting for their turn or next attempt on this replica.
    pub backlog: u64,
    /// Accounts and Regions that are only probed, because AWS does not answer for them.
    pub circuits_open: u64,
}

/// The schema of the database, and the builds that use it. Every replica reads the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaUse {
    /// The newest migration.
    pub schema: u64,
    /// Builds from this number on may use the schema.
    pub oldest_build: u64,
    /// The number of running replicas, by build.
    pub replicas: BTreeMap<u64, u64>,
}

/// Shares with an end. Every replica reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringCounts {
    /// How many end within a time from now, overdue ones included.
    pub within: [(&'static str, u64); 3],
    /// The longest time since an end at which the share is still there.
    pub overdue_for: Duration,
}

/// Differences between AWS and the ledger. Every replica with the same configuration reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriftCounts {
    /// The open findings, by difference.
    pub findings: [(&'static str, u64); 2],
    /// The longest time since the begin of the last complete scan of a configured account and Region. None before the first one.
    pub age: Option<Duration>,
    /// Calls of the service that CloudTrail did not have a day later, since the first check.
    pub calls_without_event: u64,
}

/// What happens with the unrecorded shares of an account with `on_drift = "revoke"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftRevocation {
    /// They are revoked.
    Revoking,
    /// No baseline is in force: they are only reported.
    WithoutBaseline,
    /// More were found than the brake lets through: they are only reported.
    Braked,
}

impl DriftRevocation {
    const ALL: [Self; 3] = [Self::Revoking, Self::WithoutBaseline, Self::Braked];

    /// The value of the attribute `state`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Revoking => "revoking",
            Self::WithoutBaseline => "without_baseline",
            Self::Braked => "braked",
        }
    }
}

type SharedValue<T> = Arc<Mutex<Option<T>>>;

/// Values that other parts set. `None`: not known.
#[derive(Debug, Default)]
pub(super) struct ReportedValues {
    pub(super) pending: SharedValue<PendingChanges>,
    pub(super) unsigned_for: SharedValue<Duration>,
    pub(super) expiring: SharedValue<ExpiringCounts>,
    pub(super) drift: SharedValue<DriftCounts>,
    pub(super) drift_revocation: SharedValue<[(DriftRevocation, u64); 3]>,
    pub(super) ready: SharedValue<bool>,
    pub(super) schema_use: SharedValue<SchemaUse>,
    pub(super) policy_set: SharedValue<PolicyDigest>,
}

/// How many accounts have each state.
pub(super) fn count_states(states: &[DriftRevocation]) -> [(DriftRevocation, u64); 3] {
    DriftRevocation::ALL.map(|state| (state, states.iter().filter(|other| **other == state).count() as u64))
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
            "Pending changes with a call to AWS whose effect was not read back yet, in the whole database.",
            pending(|changes| changes.in_doubt),
        );
        seconds(
            meter,
            "sharewarden.changes.pending.oldest_age",
            "Age of the oldest pending change; 0 if there is none.",
            latest(&reported.pending, |changes| changes.oldest_age),
        );
        seconds(
            meter,
            "sharewarden.checkpoint.age",
            "The longest time that a ledger has grown without a signed checkpoint; 0 if all are signed.",
            latest(&reported.unsigned_for, |age| age),
        );
        count(
            meter,
            "sharewarden.ready",
            "",
            "1 if the service takes calls, otherwise 0.",
            latest(&reported.ready, u64::from),
        );
        seconds(
            meter,
            "sharewarden.shares.overdue",
            "The longest time that a share is there after its end; 0 if none is.",
            latest(&reported.expiring, |counts| counts.overdue_for),
        );
        reported.observe_expiring(meter);
        reported.observe_drift(meter);
        reported.observe_schema_use(meter);
        reported.observe_policy_set(meter);
        reported
    }

    fn observe_expiring(&self, meter: &Meter) {
        let within = latest(&self.expiring, |counts| counts.within);
        meter
            .u64_observable_gauge("sharewarden.shares.expiring")
            .with_unit("{share}")
            .with_description("Shares that end within a time from now, overdue ones included, in the whole database.")
            .with_callback(move |observer| {
                for (time, shares) in within().into_iter().flatten() {
                    observer.observe(shares, &[KeyValue::new("within", time)]);
                }
            })
            .build();
    }

    fn observe_drift(&self, meter: &Meter) {
        let findings = latest(&self.drift, |counts| counts.findings);
        meter
            .u64_observable_gauge("sharewarden.drift.findings")
            .with_unit("{finding}")
            .with_description("Confirmed differences between AWS and the ledger that are open, in the whole database.")
            .with_callback(move |observer| {
                for (difference, open) in findings().into_iter().flatten() {
                    observer.observe(open, &[KeyValue::new("difference", difference)]);
                }
            })
            .build();
        let revocation = latest(&self.drift_revocation, |counts| counts);
        meter
            .u64_observable_gauge("sharewarden.drift.revocation.accounts")
            .with_unit("{account}")
            .with_description("Accounts whose unrecorded shares are to be revoked, by what happens with them.")
            .with_callback(move |observer| {
                for (state, accounts) in revocation().into_iter().flatten() {
                    observer.observe(accounts, &[KeyValue::new("state", state.as_str())]);
                }
            })
            .build();
        let age = latest(&self.drift, |counts| counts.age);
        seconds(
            meter,
            "sharewarden.drift.scan.age",
            "The longest time since the begin of the last complete comparison with AWS, of the configured accounts and Regions.",
            move || age().flatten(),
        );
        count(
            meter,
            "sharewarden.drift.calls_without_event",
            "{call}",
            "Calls of the service that AWS accepted and CloudTrail did not have a day later, since the first check.",
            latest(&self.drift, |counts| counts.calls_without_event),
        );
    }

    fn observe_policy_set(&self, meter: &Meter) {
        let shared = self.policy_set.clone();
        meter
            .u64_observable_gauge("sharewarden.policy.info")
            .with_description("Always 1. `digest` has the first 12 digits of the digest of the policy set in force.")
            .with_callback(move |observer| {
                if let Some(digest) = *shared.lock().unwrap_or_else(PoisonError::into_inner) {
                    let digest = digest.to_string()[..12].to_owned();
                    observer.observe(1, &[KeyValue::new("digest", digest)]);
                }
            })
            .build();
    }

    fn observe_schema_use(&self, meter: &Meter) {
        let part = |part: fn(&SchemaUse) -> u64| {
            let shared = self.schema_use.clone();
            move || shared.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(part)
        };
        count(
            meter,
            "sharewarden.schema.version",
            "",
            "The newest migration of the database.",
            part(|schema_use| schema_use.schema),
        );
        count(
            meter,
            "sharewarden.schema.oldest_build",
            "",
            "Builds from this number on may use the database.",
            part(|schema_use| schema_use.oldest_build),
        );
        let shared = self.schema_use.clone();
        meter
            .u64_observable_gauge("sharewarden.replicas")
            .with_unit("{replica}")
            .with_description("Replicas that were seen in the last minute, by the number of their build.")
            .with_callback(move |observer| {
                let schema_use = shared.lock().unwrap_or_else(PoisonError::into_inner);
                for (build, replicas) in schema_use.iter().flat_map(|schema_use| &schema_use.replicas) {
                    observer.observe(*replicas, &[KeyValue::new("build", build.to_string())]);
                }
            })
            .build();
    }
}

/// A callback that reads a part of the last value.
fn latest<T: Copy + Send + 'static, U>(
    shared: &SharedValue<T>,
    part: fn(T) -> U,
) -> impl Fn() -> Option<U> + Send + Sync + use<T, U> {
    let shared = shared.clone();
    move || shared.lock().unwrap_or_else(PoisonError::into_inner).map(part)
}

impl Instruments {
    /// Observes the pool of Postgres connections. These are OpenTelemetry's older names: the newer one ends with `_count`, which
    /// Prometheus does not allow for a gauge.
    pub fn observe_pool(&self, pool: impl Fn() -> Option<PoolUsage> + Send + Sync + 'static) {
        let pool = Arc::new(pool);
        let connections = pool.clone();
        self.0
            .meter
            .u64_observable_gauge("db.client.connections.usage")
            .with_unit("{connection}")
            .with_description("Connections to Postgres, by state.")
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
            "Maximum number of connections to Postgres.",
            move || pool().map(|pool| pool.max),
        );
    }

    /// Observes the number of commands that wait for their batch.
    pub fn observe_commit_queue(&self, commands: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        count(
            &self.0.meter,
            "sharewarden.committer.queue_depth",
            "{command}",
            "Commands that wait for their batch.",
            commands,
        );
    }

    /// Observes the load of the forwarder.
    pub fn observe_forwarder(&self, forwarder: impl Fn() -> Option<ForwarderLoad> + Send + Sync + 'static) {
        let forwarder = Arc::new(forwarder);
        let circuits = forwarder.clone();
        count(
            &self.0.meter,
            "sharewarden.forwarder.backlog",
            "{change}",
            "Changes that this replica works on, or that wait for their turn or next attempt on it.",
            move || forwarder().map(|forwarder| forwarder.backlog),
        );
        count(
            &self.0.meter,
            "sharewarden.forwarder.circuits_open",
            "{circuit}",
            "Accounts and Regions that are only probed, because AWS does not answer for them.",
            move || circuits().map(|circuits| circuits.circuits_open),
        );
    }

    /// Observes the number of open watches.
    pub fn observe_watches(&self, watchers: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        count(
            &self.0.meter,
            "sharewarden.watch.watchers",
            "{watch}",
            "Open watches of the history.",
            watchers,
        );
    }

    /// Observes the memory of answers that are made or not yet sent.
    pub fn observe_unsent_answers(&self, bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        count(
            &self.0.meter,
            "sharewarden.answers.unsent",
            "By",
            "Memory of answers that are being made, or that their clients have not taken yet.",
            bytes,
        );
    }

    /// Observes the process. Call it once: a second call would report everything twice.
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
            .with_description("Always 1. The labels describe this build.")
            .with_callback(move |observer| observer.observe(1, &build))
            .build();
        meter
            .u64_observable_counter("sharewarden.log.dropped_lines")
            .with_unit("{line}")
            .with_description("Log lines that were dropped, because the reader of the log was too slow.")
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
