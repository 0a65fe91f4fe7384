//! The log: lines on standard error, for a person or for a program.

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

/// What writes the lines.
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

/// Fields for a person, without those that only say how a span is to be exported.
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
