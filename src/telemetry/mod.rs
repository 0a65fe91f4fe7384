//! What is seen of a running service: its log, its traces, and what it measures. The one room that knows OpenTelemetry.
//!
//! [`init`] sets a process up: `log` writes lines through `writer`, which never makes the service wait; `traces` sends spans to a
//! collector, and `metrics` has the two readers of what is measured: the collector (`export`) and `/metrics`. Other rooms use
//! [`Instruments`], what is measured and under which names, and [`trace`], where in a trace something belongs. Without a reader and
//! without a collector both cost next to nothing.

mod export;
mod gauges;
mod instruments;
mod json;
mod log;
mod metrics;
mod process;
pub mod trace;
mod traces;
mod workers;
mod writer;

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, TelemetryConfig};

pub use gauges::{ForwarderLoad, PoolUsage};
pub use instruments::{Attempted, Instruments, Meter, PendingChanges};
pub use log::filter;
pub use metrics::Metrics;
pub use workers::Rounds;
pub use writer::flush as flush_log;

/// So long the end of a process waits for a collector to take what is left, and as long for whoever reads the log.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// What must not be logged of the exporter, which tells headers that it was given by the environment.
const LOG_DIRECTIVES: [&str; 1] = ["opentelemetry-otlp=info"];

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log.filter must be tracing directives, such as info,sharewarden=debug: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// What leads to the collector cannot be made. Says no value of a header.
    #[error("the collector cannot be used (telemetry.otlp_endpoint, telemetry.otlp_headers): {0}")]
    Collector(String),
    /// What reads the instruments cannot be made.
    #[error("the metrics cannot be read: {0}")]
    Metrics(String),
    /// The thread that writes the log cannot be started.
    #[error("the log cannot be written: {0}")]
    Writer(#[from] std::io::Error),
}

/// What was set up for this process. Give it its [`end`](Self::end), or what was measured last is not sent.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    traces: Option<SdkTracerProvider>,
}

/// Sets up the log, the traces and the metrics of this process. `caps` are directives of rooms whose libraries would log secrets:
/// whatever the configuration asks for, no more than that is logged of these targets. `scraped` says that there is somebody to
/// read the metrics here. Call it on a runtime of several threads.
///
/// # Errors
/// When the filter cannot be read, there is a log already, or the collector's address or headers are none.
pub fn init(
    log: &LogConfig,
    telemetry: &TelemetryConfig,
    scraped: bool,
    caps: &[&str],
) -> Result<Telemetry, TelemetryError> {
    let lines = log::lines(log, &[caps, &LOG_DIRECTIVES].concat())?;
    let traces = traces::provider(telemetry)?;
    tracing_subscriber::registry()
        .with(lines)
        .with(traces.as_ref().map(traces::layer))
        .try_init()?;
    let metrics = Metrics::new(telemetry, scraped)?;
    Ok(Telemetry { metrics, traces })
}

impl Telemetry {
    /// What is measured.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends what is left to the collector, and writes what is left of the log. Bounded: a collector or a reader of the log that
    /// is stuck does not keep the process.
    pub async fn end(self) {
        let (sent, all_sent) = tokio::sync::oneshot::channel();
        // Not a task of the runtime, which would wait for it however long it takes.
        let sending = std::thread::Builder::new().name("telemetry-end".into()).spawn(move || {
            if let Some(traces) = &self.traces {
                let _ = traces.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
            }
            self.metrics.shutdown();
            let _ = sent.send(());
        });
        if sending.is_ok() && tokio::time::timeout(SHUTDOWN_TIMEOUT, all_sent).await.is_err() {
            tracing::warn!("the collector did not take all that was left");
        }
        let _ = tokio::task::spawn_blocking(|| flush_log(SHUTDOWN_TIMEOUT)).await;
    }
}
