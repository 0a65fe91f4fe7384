//! The log: structured lines on standard error.

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

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

/// Sets up the log of this process. `bans` are directives of rooms whose libraries would log secrets: they win over the
/// configuration.
///
/// # Errors
/// When the filter cannot be read, or there is a log already.
pub fn init(config: &LogConfig, bans: &[&str]) -> Result<(), TelemetryError> {
    let mut filter = EnvFilter::builder().parse(&config.filter)?;
    for ban in bans {
        filter = filter.add_directive(ban.parse()?);
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Human => lines.compact().with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?)
}
