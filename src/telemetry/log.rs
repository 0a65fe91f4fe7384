//! The log on standard error, in a format for people or for programs.

use std::{error::Error, fmt, io::IsTerminal};

use tracing::{
    Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::{RecordFields, VisitOutput},
    filter::{FilterExt, LevelFilter, Targets},
    fmt::{
        FormatFields,
        format::{DefaultVisitor, Writer},
    },
    layer::Filter,
    registry::LookupSpan,
};

use crate::config::{LogConfig, LogFormat};

use super::{TelemetryError, json, json::Json, writer};

/// The layer that formats and writes the lines.
pub(super) fn lines<S>(config: &LogConfig, caps: &[&str]) -> Result<impl Layer<S> + use<S>, TelemetryError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = filter(&config.filter, caps)?;
    let writer = writer::standard_error()?;
    let lines = match config.format {
        LogFormat::Human => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .compact()
            .fmt_fields(HumanFields)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => Json(writer).boxed(),
    };
    Ok(lines.with_filter(filter))
}

/// The filter of the log: the directives in `wanted`, limited by those in `caps`. Both are `tracing` directives.
///
/// # Errors
/// If a directive cannot be parsed.
pub fn filter<S: Subscriber + for<'a> LookupSpan<'a>>(
    wanted: &str,
    caps: &[&str],
) -> Result<impl Filter<S> + use<S>, TelemetryError> {
    let wanted = EnvFilter::builder().parse(wanted)?;
    let capped: Targets = caps.join(",").parse()?;
    Ok(wanted.and(capped.with_default(LevelFilter::TRACE)))
}

/// The field format for people. It leaves out fields that only configure the export of a span.
struct HumanFields;

impl<'w> FormatFields<'w> for HumanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = HumanVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct HumanVisitor<'w>(DefaultVisitor<'w>);

impl Visit for HumanVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !json::is_for_collectors(field.name()) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.record_error(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.record_debug(field, value);
    }
}
