//! The log: structured lines on standard error; and the instruments of what is measured.

mod instruments;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, Targets},
    layer::{Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

pub use instruments::{Instruments, Meter, PendingChanges, meter};

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log.filter must be tracing directives, such as info,sharewarden=debug: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of this process. `caps` are directives of rooms whose libraries would log secrets: whatever the
/// configuration asks for, no more than that is logged of these targets.
///
/// # Errors
/// When the filter cannot be read, or there is a log already.
pub fn init(config: &LogConfig, caps: &[&str]) -> Result<(), TelemetryError> {
    let filter = filter(&config.filter, caps)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Human => lines
            .compact()
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?)
}

/// What is logged: what `wanted` asks for, and no more of some targets than `caps` allow. Both are `tracing` directives.
///
/// # Errors
/// When one of them cannot be read.
pub fn filter<S: Subscriber + for<'a> LookupSpan<'a>>(
    wanted: &str,
    caps: &[&str],
) -> Result<impl Filter<S> + use<S>, TelemetryError> {
    let wanted = EnvFilter::builder().parse(wanted)?;
    let capped: Targets = caps.join(",").parse()?;
    Ok(wanted.and(capped.with_default(LevelFilter::TRACE)))
}
