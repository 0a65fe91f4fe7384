//! What the service measures, through the API of OpenTelemetry. Who reads it is decided elsewhere: without a reader this costs
//! nothing. Names and units are OpenTelemetry's; accounts and images are no labels, for there are too many of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Counter};

pub use opentelemetry::metrics::Meter;

/// The name that all instruments are under.
const SCOPE: &str = "sharewarden";

/// The meter of this process, as its exporters are set up.
pub fn meter() -> Meter {
    opentelemetry::global::meter(SCOPE)
}

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

/// The instruments. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct Instruments {
    pending: Arc<Mutex<Option<PendingChanges>>>,
    auth_refused: Counter<u64>,
}

impl Instruments {
    /// Makes the instruments of a meter.
    pub fn new(meter: &Meter) -> Self {
        let pending: Arc<Mutex<Option<PendingChanges>>> = Arc::default();
        let counted = |count: fn(PendingChanges) -> u64| {
            let pending = pending.clone();
            move || current(&pending).map(count)
        };
        gauge(
            meter,
            "sharewarden.changes.pending",
            "Accepted changes that have not ended, in the whole database.",
            counted(|changes| changes.pending),
        );
        gauge(
            meter,
            "sharewarden.changes.in_doubt",
            "Pending changes of which a call to AWS may have had an effect that was not read back yet.",
            counted(|changes| changes.in_doubt),
        );
        let ages = pending.clone();
        meter
            .f64_observable_gauge("sharewarden.changes.pending.oldest_age")
            .with_unit("s")
            .with_description("For how long the oldest pending change has waited; 0 without any.")
            .with_callback(move |observer| {
                if let Some(changes) = current(&ages) {
                    observer.observe(changes.oldest_age.as_secs_f64(), &[]);
                }
            })
            .build();
        let auth_refused = meter
            .u64_counter("sharewarden.auth.refused")
            .with_unit("{call}")
            .with_description("Callers that were refused because of who they are, or are not, by reason.")
            .build();
        Self { pending, auth_refused }
    }

    /// A caller was refused because of who they are, or are not.
    pub fn count_refused(&self, reason: &'static str) {
        self.auth_refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// What is under way, as far as it is known: what is not known is not reported.
    pub fn set_pending(&self, changes: Option<PendingChanges>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = changes;
    }
}

fn current(pending: &Mutex<Option<PendingChanges>>) -> Option<PendingChanges> {
    *pending.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gauge(
    meter: &Meter,
    name: &'static str,
    description: &'static str,
    value: impl Fn() -> Option<u64> + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge(name)
        .with_unit("{change}")
        .with_description(description)
        .with_callback(move |observer| {
            if let Some(value) = value() {
                observer.observe(value, &[]);
            }
        })
        .build();
}
