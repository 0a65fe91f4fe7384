//! Counters and histograms, through the OpenTelemetry API. Without a reader they cost next to nothing. `gauges` has the values
//! that are read at collection. Names and units are OpenTelemetry's where it defines some. Accounts and images are not labels,
//! because their number has no limit.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use opentelemetry::metrics::Meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, MeterProvider, NoopMeterProvider},
};

use crate::domain::{Action, AwsOperation, ChangeState, Classification, PolicyDigest};

use super::{
    gauges::{self, DriftCounts, DriftRevocation, ExpiringCounts, SchemaUse},
    policy_labels::PolicyLabels,
    workers::Workers,
};

/// The instrumentation scope of all instruments.
pub(super) const SCOPE: &str = "sharewarden";

/// Bucket bounds: from 1 ms (a commit) to 1 h (a watch).
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
];

/// A histogram of durations in seconds.
pub(super) fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
    histogram.with_boundaries(SECONDS.to_vec()).build()
}

/// Bucket bounds for the number of commands in a batch.
const COMMANDS: [f64; 13] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// The pending changes of the whole database. Every replica reads the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PendingChanges {
    /// Changes that have not ended.
    pub pending: u64,
    /// Pending changes with a call whose effect was not read back yet.
    pub in_doubt: u64,
    /// Age of the oldest pending change; zero if there is none.
    pub oldest_age: Duration,
}

/// A finished call to AWS for a change.
#[derive(Debug, Clone, Copy)]
pub struct Attempted {
    /// The called operation.
    pub operation: AwsOperation,
    /// The result.
    pub classification: Classification,
    /// From the start of the call to its result.
    pub duration: Duration,
}

/// What the policy says to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOutcome {
    /// It may be made.
    Allowed,
    /// It may not.
    Refused,
    /// AWS does not give a fact now.
    Undecided,
}

impl PolicyOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::Refused => "REFUSED",
            Self::Undecided => "UNDECIDED",
        }
    }
}

/// What is read about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// Its state, owner, tenancy, operating system and name.
    Description,
    /// Its tags.
    Tags,
}

impl FactKind {
    const ALL: [Self; 2] = [Self::Description, Self::Tags];

    fn as_str(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Tags => "tags",
        }
    }
}

/// The instruments. Clones share them. The default measures nothing.
#[derive(Debug, Clone)]
pub struct Instruments(pub(super) Arc<InstrumentSet>);

#[derive(Debug)]
pub(super) struct InstrumentSet {
    pub(super) meter: Meter,
    pub(super) reported: gauges::ReportedValues,
    pub(super) workers: Workers,
    calls: Histogram<f64>,
    auth_refused: Counter<u64>,
    answers_stalled: Counter<u64>,
    statements: Histogram<f64>,
    commits: Histogram<f64>,
    batches: Histogram<u64>,
    commit_conflicts: Counter<u64>,
    entries: Counter<u64>,
    denials_counted: Counter<u64>,
    ended: Counter<u64>,
    attempts: Counter<u64>,
    attempt_durations: Histogram<f64>,
    retries: Counter<u64>,
    read_backs: Counter<u64>,
    leases_lost: Counter<u64>,
    fact_reads: Counter<u64>,
    policy_decisions: Counter<u64>,
    policy_labels: PolicyLabels,
    watch_lag: Histogram<f64>,
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new(&NoopMeterProvider::new().meter(SCOPE))
    }
}

impl Instruments {
    /// Registers the instruments with a meter. Call it once for each meter: a second call would report the gauges twice.
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
                "Time from a call's arrival to its answer; a stream is measured when it ends.",
            ),
            auth_refused: counter(
                "sharewarden.auth.refused",
                "{call}",
                "Calls refused for missing or invalid credentials, or because no role allows them.",
            ),
            answers_stalled: counter(
                "sharewarden.answers.stalled",
                "{answer}",
                "Answers that were given up, because the client took nothing of them for server.unread_timeout.",
            ),
            statements: seconds(
                "db.client.operation.duration",
                "Duration of an operation on Postgres, including the wait for a connection.",
            ),
            commits: seconds(
                "sharewarden.commit.duration",
                "Time from the start of a batch to its commit.",
            ),
            batches: batches
                .with_unit("{command}")
                .with_description("Number of commands in a batch.")
                .with_boundaries(COMMANDS.to_vec())
                .build(),
            commit_conflicts: counter(
                "sharewarden.commit.conflicts",
                "{batch}",
                "Batches that ran again, because another commit changed one of their accounts between read and write.",
            ),
            entries: counter(
                "sharewarden.audit.entries",
                "{entry}",
                "Entries that this replica appended to ledgers.",
            ),
            denials_counted: counter(
                "sharewarden.denials.counted",
                "{request}",
                "Requests that the policy refused over the budget of their principal, so that they have no entry of their own.",
            ),
            ended: counter(
                "sharewarden.changes.ended",
                "{change}",
                "Changes that ended on this replica.",
            ),
            attempts: counter(
                "sharewarden.aws.attempts",
                "{call}",
                "Calls to AWS for changes, by result. A read that several changes share counts for each of them.",
            ),
            attempt_durations: seconds(
                "sharewarden.aws.attempt.duration",
                "Duration of a call to AWS for a change.",
            ),
            retries: counter(
                "sharewarden.aws.retries",
                "{change}",
                "Postponements of a change, to retry it or read it back later.",
            ),
            read_backs: counter(
                "sharewarden.aws.read_backs",
                "{read}",
                "Read-backs from AWS because of an uncertain outcome.",
            ),
            leases_lost: counter(
                "sharewarden.leases.lost",
                "{lease}",
                "Leases that expired before their work was done.",
            ),
            fact_reads: counter(
                "sharewarden.image_facts.reads",
                "{read}",
                "Reads of what AWS reports about an image, by result. CACHED made no call of its own.",
            ),
            policy_decisions: counter(
                "sharewarden.policy.decisions",
                "{decision}",
                "Decisions of the policy, by the policy that decided and the outcome. Several policies can decide together.",
            ),
            policy_labels: PolicyLabels::default(),
            watch_lag: seconds(
                "sharewarden.watch.lag",
                "Time from the recording of an entry until it is sent to a watch.",
            ),
        }));
        // These counters start as 0 and not as absent: their alerts must notice the first event.
        for counter in [
            &instruments.0.retries,
            &instruments.0.read_backs,
            &instruments.0.leases_lost,
            &instruments.0.answers_stalled,
        ] {
            counter.add(0, &[]);
        }
        for kind in FactKind::ALL {
            instruments.0.fact_reads.add(0, &fact_attributes(kind, None));
        }
        for action in Action::ALL {
            let action = [KeyValue::new("action", action.as_str())];
            instruments.0.denials_counted.add(0, &action);
        }
        instruments
    }

    /// A call has ended. `method` and `code` are static, so that the number of label values is bounded.
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

    /// A call was refused for its credentials or roles. `reason` is one of a fixed list.
    pub fn auth_refused(&self, reason: &'static str) {
        self.0.auth_refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// An answer was given up, because its client took nothing of it.
    pub fn answer_stalled(&self) {
        self.0.answers_stalled.add(1, &[]);
    }

    /// An operation on Postgres has ended: `commit`, `summaries` or `statement`.
    pub fn used_postgres(&self, operation: &'static str, failed: bool, duration: Duration) {
        let attributes = [
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("error.type", "_OTHER"),
        ];
        let known = if failed { 3 } else { 2 };
        self.0.statements.record(duration.as_secs_f64(), &attributes[..known]);
    }

    /// A fact about an image was read from AWS, with this result, or from the cache.
    pub fn fact_read(&self, kind: FactKind, result: Option<Classification>) {
        self.0.fact_reads.add(1, &fact_attributes(kind, result));
    }

    /// The policy decided about a change. `policies` are those that decided; without one, the label is `none`. The number of
    /// labels is bounded, also if the policies are replaced often.
    pub fn decided<'a>(&self, policies: impl Iterator<Item = &'a str>, outcome: PolicyOutcome) {
        let mut policies = policies.peekable();
        let none = policies.peek().is_none().then_some("none");
        for policy in policies.chain(none) {
            let attributes = [
                KeyValue::new("policy", self.0.policy_labels.of(policy)),
                KeyValue::new("outcome", outcome.as_str()),
            ];
            self.0.policy_decisions.add(1, &attributes);
        }
    }

    /// A batch was committed.
    pub fn committed(&self, commands: usize, duration: Duration) {
        self.0.commits.record(duration.as_secs_f64(), &[]);
        self.0.batches.record(commands as u64, &[]);
    }

    /// A batch runs again, because another commit was faster.
    pub fn commit_conflict(&self) {
        self.0.commit_conflicts.add(1, &[]);
    }

    /// Entries were appended. `action` is absent for a kind of entry without an action.
    pub fn recorded(&self, kind: &'static str, action: Option<Action>, entries: u64) {
        let attributes = [
            KeyValue::new("kind", kind),
            KeyValue::new("action", action.map_or("", Action::as_str)),
        ];
        self.0.entries.add(entries, &attributes);
    }

    /// A refusal by the policy was counted, and not recorded as an entry of its own.
    pub fn denial_counted(&self, action: Action) {
        let action = [KeyValue::new("action", action.as_str())];
        self.0.denials_counted.add(1, &action);
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

    /// A change was postponed after a call.
    pub fn retry_scheduled(&self) {
        self.0.retries.add(1, &[]);
    }

    /// A lease expired before its work was done.
    pub fn lease_lost(&self) {
        self.0.leases_lost.add(1, &[]);
    }

    /// An entry was sent to a watch. `lag` is the time since it was recorded.
    pub fn watch_lag(&self, lag: Duration) {
        self.0.watch_lag.record(lag.as_secs_f64(), &[]);
    }

    /// Sets the pending changes. `None`: not known, so the gauges are left out.
    pub fn set_pending(&self, changes: Option<PendingChanges>) {
        set(&self.0.reported.pending, changes);
    }

    /// Sets the longest time that a ledger has grown without a signed checkpoint. `None`: not known.
    pub fn set_unsigned_for(&self, age: Option<Duration>) {
        set(&self.0.reported.unsigned_for, age);
    }

    /// Sets what happens with unrecorded shares, for each account in which they are to be revoked.
    pub fn set_drift_revocation(&self, states: &[DriftRevocation]) {
        set(&self.0.reported.drift_revocation, Some(gauges::count_states(states)));
    }

    /// Sets the differences between AWS and the ledger. `None`: not known.
    pub fn set_drift(&self, counts: Option<DriftCounts>) {
        set(&self.0.reported.drift, counts);
    }

    /// Sets the numbers of shares that end soon. `None`: not known.
    pub fn set_expiring(&self, counts: Option<ExpiringCounts>) {
        set(&self.0.reported.expiring, counts);
    }

    /// Sets the schema, the builds that it admits, and the replicas that run. `None`: not known.
    pub fn set_schema_use(&self, schema_use: Option<SchemaUse>) {
        set(&self.0.reported.schema_use, schema_use);
    }

    /// Sets the policy set in force.
    pub fn set_policy_set(&self, digest: PolicyDigest) {
        set(&self.0.reported.policy_set, Some(digest));
    }

    /// Sets whether the service takes calls.
    pub fn set_ready(&self, ready: bool) {
        set(&self.0.reported.ready, Some(ready));
    }
}

fn set<T>(shared: &Mutex<Option<T>>, value: Option<T>) {
    // A panic cannot leave the value half written.
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn fact_attributes(kind: FactKind, classification: Option<Classification>) -> [KeyValue; 2] {
    let classification = classification.map_or("CACHED", Classification::as_str);
    [
        KeyValue::new("fact", kind.as_str()),
        KeyValue::new("classification", classification),
    ]
}
