//! The log, the traces and the metrics of the service. The only room that uses OpenTelemetry.
//!
//! [`init`] sets up a process. `log` formats lines, and `writer` writes them without blocking the service. `traces` sends spans
//! to the collector. `metrics` has the two readers of the metrics: the collector (`export`) and `/metrics`. Other rooms use
//! [`Instruments`] to measure, and [`trace`] to carry a trace from task to task. Without a reader or a collector, both cost
//! next to nothing.

mod export;
mod gauges;
mod instruments;
mod json;
mod log;
mod metrics;
mod policy_labels;
mod process;
pub mod trace;
mod traces;
mod workers;
mod writer;

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, TelemetryConfig};

pub use gauges::{DriftCounts, DriftRevocation, ExpiringCounts, ForwarderLoad, PoolUsage, SchemaUse};
pub use instruments::{Attempted, FactKind, Instruments, Meter, PendingChanges, PolicyOutcome};
pub use log::filter;
pub use metrics::Metrics;
pub use workers::Rounds;
pub use writer::flush as flush_log;

/// At the end of the process: maximum time for the last export, and the same for writing the rest of the log.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter logs header values from the environment at the level debug.
const LOG_DIRECTIVES: [&str; 1] = ["opentelemetry-otlp=info"];

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` cannot be parsed.
    #[error("log.filter must be tracing directives, such as info,sharewarden=debug: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("this process already has a tracing subscriber")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The exporter cannot be made. The message shows no value of a header.
    #[error("the collector cannot be used (telemetry.otlp_endpoint, telemetry.otlp_headers): {0}")]
    Collector(String),
    /// The Prometheus reader cannot be made.
    #[error("the Prometheus reader cannot be set up: {0}")]
    Metrics(String),
    /// The log's thread cannot be started.
    #[error("the thread that writes the log cannot be started: {0}")]
    Writer(#[from] std::io::Error),
}

/// The telemetry of this process. Call [`end`](Self::end), or the last spans and metrics are lost.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    traces: Option<SdkTracerProvider>,
}

/// Sets up the log, the traces and the metrics of this process. `caps` are directives that limit what libraries may log, whatever
/// `log.filter` says: they would log secrets. `scraped` enables `/metrics`. Needs a runtime with several threads.
///
/// # Errors
/// If the filter cannot be parsed, a log exists already, or the collector's address or headers are invalid.
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
    /// The metrics of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends the last spans and metrics to the collector, and writes the rest of the log. Waits at most 3 s for
    /// each.
    pub async fn end(self) {
        let (sent, all_sent) = tokio::sync::oneshot::channel();
        // A thread, because a runtime waits for its blocking tasks without a limit.
        let sending = std::thread::Builder::new().name("telemetry-end".into()).spawn(move || {
            if let Some(traces) = &self.traces {
                let _ = traces.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
            }
            self.metrics.shutdown();
            let _ = sent.send(());
        });
        if sending.is_ok() && tokio::time::timeout(SHUTDOWN_TIMEOUT, all_sent).await.is_err() {
            tracing::warn!("the collector did not accept all spans and metrics within 3 s; the rest is lost");
        }
        let _ = tokio::task::spawn_blocking(|| flush_log(SHUTDOWN_TIMEOUT)).await;
    }
}
