//! What the service measures as it happens, through the API of OpenTelemetry. Who reads it is decided elsewhere: without a reader
//! this costs next to nothing. Names and units are OpenTelemetry's where it has some; accounts and images are no labels, for
//! there are too many of them. What is looked at instead of counted is in `gauges`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use opentelemetry::metrics::Meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, MeterProvider, NoopMeterProvider},
};

use crate::domain::{Action, AwsOperation, ChangeState, Classification};

use super::{gauges, workers::Workers};

/// The name that all instruments are under.
pub(super) const SCOPE: &str = "sharewarden";

/// From a millisecond, which a commit takes, to an hour, which a watch lasts.
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
];

/// A histogram of durations.
pub(super) fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}

/// Of commands in a batch.
const COMMANDS: [f64; 13] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// What is under way in the whole database: every replica sees the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PendingChanges {
    /// Changes that have not ended.
    pub pending: u64,
    /// Those of which a call may have had an effect that was not read back yet.
    pub in_doubt: u64,
    /// For how long the oldest of the pending has waited; zero without any.
    pub oldest_age: Duration,
}

/// A call to AWS that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Attempted {
    /// Which.
    pub operation: AwsOperation,
    /// How.
    pub classification: Classification,
    /// How long it took.
    pub duration: Duration,
}

/// The instruments. Cheap to clone; clones are the same. By default they measure nothing.
#[derive(Debug, Clone)]
pub struct Instruments(pub(super) Arc<InstrumentSet>);

#[derive(Debug)]
pub(super) struct InstrumentSet {
    pub(super) meter: Meter,
    pub(super) reported: gauges::ReportedValues,
    pub(super) workers: Workers,
    calls: Histogram<f64>,
    auth_refused: Counter<u64>,
    statements: Histogram<f64>,
    commits: Histogram<f64>,
    batches: Histogram<u64>,
    commit_conflicts: Counter<u64>,
    entries: Counter<u64>,
    ended: Counter<u64>,
    attempts: Counter<u64>,
    attempt_durations: Histogram<f64>,
    retries: Counter<u64>,
    read_backs: Counter<u64>,
    leases_lost: Counter<u64>,
    watch_lag: Histogram<f64>,
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new(&NoopMeterProvider::new().meter(SCOPE))
    }
}

impl Instruments {
    /// Makes the instruments of a meter. Once for each meter: what is looked at would be reported twice.
    pub fn new(meter: &Meter) -> Self {
        let seconds = |name, description| seconds(meter, name, description);
        let counter = |name, unit, description| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        let batches = meter.u64_histogram("sharewarden.commit.batch_size");
        let instruments = Self(Arc::new(InstrumentSet {
            meter: meter.clone(),
            reported: gauges::ReportedValues::new(meter),
            workers: Workers::new(meter),
            calls: seconds(
                "rpc.server.call.duration",
                "How long calls took, until their answer was sent or their stream ended.",
            ),
            auth_refused: counter(
                "sharewarden.auth.refused",
                "{call}",
                "Calls that were refused because nobody knew who makes them, or because they may not.",
            ),
            statements: seconds(
                "db.client.operation.duration",
                "How long Postgres was used, the wait for a connection included.",
            ),
            commits: seconds(
                "sharewarden.commit.duration",
                "How long a batch of commands took to be durable, with all tries.",
            ),
            batches: batches
                .with_unit("{command}")
                .with_description("Commands in a batch that was committed.")
                .with_boundaries(COMMANDS.to_vec())
                .build(),
            commit_conflicts: counter(
                "sharewarden.commit.conflicts",
                "{batch}",
                "Batches that were decided anew, since another commit had changed one of their accounts meanwhile.",
            ),
            entries: counter(
                "sharewarden.audit.entries",
                "{entry}",
                "Entries that this replica has added to ledgers.",
            ),
            ended: counter(
                "sharewarden.changes.ended",
                "{change}",
                "Changes whose end this replica has recorded.",
            ),
            attempts: counter(
                "sharewarden.aws.attempts",
                "{call}",
                "Calls to AWS for changes, and what came back; a read that several changes share counts for each.",
            ),
            attempt_durations: seconds(
                "sharewarden.aws.attempt.duration",
                "How long calls to AWS for changes took.",
            ),
            retries: counter(
                "sharewarden.aws.retries",
                "{change}",
                "Times that a change was put off, to be tried or read back again.",
            ),
            read_backs: counter(
                "sharewarden.aws.read_backs",
                "{read}",
                "Times that AWS was asked what became of a call whose end nobody saw.",
            ),
            leases_lost: counter(
                "sharewarden.leases.lost",
                "{lease}",
                "Leases that were over before the work under them was.",
            ),
            watch_lag: seconds(
                "sharewarden.watch.lag",
                "From the recording of an entry to its sending to a watch that was there already.",
            ),
        }));
        // What has not happened yet is 0 and not unknown: an alert on the first time needs that.
        for counter in [
            &instruments.0.retries,
            &instruments.0.read_backs,
            &instruments.0.leases_lost,
        ] {
            counter.add(0, &[]);
        }
        instruments
    }

    /// A call has ended. The names are static, so that labels are bounded and cost nothing.
    pub fn call_ended(&self, method: &'static str, code: &'static str, is_server_error: bool, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let attributes = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", code),
            KeyValue::new("error.type", code),
        ];
        let known = if is_server_error { 4 } else { 3 };
        self.0.calls.record(seconds, &attributes[..known]);
    }

    /// A call was refused for who makes it. `reason` is one of a few words.
    pub fn auth_refused(&self, reason: &'static str) {
        self.0.auth_refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Postgres was used: `commit` or `statement`.
    pub fn used_postgres(&self, operation: &'static str, failed: bool, duration: Duration) {
        let attributes = [
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("error.type", "_OTHER"),
        ];
        let known = if failed { 3 } else { 2 };
        self.0.statements.record(duration.as_secs_f64(), &attributes[..known]);
    }

    /// A batch of so many commands is durable.
    pub fn committed(&self, commands: usize, duration: Duration) {
        self.0.commits.record(duration.as_secs_f64(), &[]);
        self.0.batches.record(commands as u64, &[]);
    }

    /// A batch is decided anew, since another commit was faster.
    pub fn commit_conflict(&self) {
        self.0.commit_conflicts.add(1, &[]);
    }

    /// Adds to the number of entries. `action` is absent for an entry that is about no action.
    pub fn recorded(&self, kind: &'static str, action: Option<Action>, entries: u64) {
        let attributes = [
            KeyValue::new("kind", kind),
            KeyValue::new("action", action.map_or("", Action::as_str)),
        ];
        self.0.entries.add(entries, &attributes);
    }

    /// A change has ended.
    pub fn change_ended(&self, state: ChangeState, action: Action) {
        let attributes = [
            KeyValue::new("state", state.as_str()),
            KeyValue::new("action", action.as_str()),
        ];
        self.0.ended.add(1, &attributes);
    }

    /// A call to AWS for a change has ended.
    pub fn attempted(&self, attempt: Attempted) {
        let attributes = [
            KeyValue::new("operation", attempt.operation.as_str()),
            KeyValue::new("classification", attempt.classification.as_str()),
        ];
        self.0.attempts.add(1, &attributes);
        self.0
            .attempt_durations
            .record(attempt.duration.as_secs_f64(), &attributes);
        if attempt.operation == AwsOperation::DescribeWorkspaceImagePermissions {
            self.0.read_backs.add(1, &[]);
        }
    }

    /// A change was put off after a call.
    pub fn retry_scheduled(&self) {
        self.0.retries.add(1, &[]);
    }

    /// A lease was over before the work under it was.
    pub fn lease_lost(&self) {
        self.0.leases_lost.add(1, &[]);
    }

    /// An entry was sent to a watch so long after it was recorded.
    pub fn watch_lag(&self, lag: Duration) {
        self.0.watch_lag.record(lag.as_secs_f64(), &[]);
    }

    /// What is under way, as far as it is known: what is not known is not reported.
    pub fn set_pending(&self, changes: Option<PendingChanges>) {
        set(&self.0.reported.pending, changes);
    }

    /// For how long the oldest growth of a ledger was not signed for, as far as it is known.
    pub fn set_unsigned_for(&self, age: Option<Duration>) {
        set(&self.0.reported.unsigned_for, age);
    }

    /// Whether the service takes calls.
    pub fn set_ready(&self, ready: bool) {
        set(&self.0.reported.ready, Some(ready));
    }
}

fn set<T>(shared: &Mutex<Option<T>>, value: Option<T>) {
    // A value is whole whoever panicked while they held it.
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = value;
}
