//! A line of the log as one JSON object. What the spans around it know is part of it, flat: whoever looks for a trace, a change or an
//! account finds all of their lines by one key. The innermost wins, and the line's own fields before all.

use std::{error::Error, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

pub(super) struct Json;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for Json {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Map::new();
        line.insert("timestamp".into(), time.into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        // So that it comes before the other fields.
        line.insert("message".into(), Value::Null);
        event.record(&mut Fields(&mut line));
        if line["message"].is_null() {
            line.remove("message");
        }
        let target = line.remove("log.target");
        let target = target.unwrap_or_else(|| event.metadata().target().into());
        line.insert("target".into(), target);
        for span in context.event_scope().into_iter().flatten() {
            if !line.contains_key("span") {
                line.insert("span".into(), span.name().into());
            }
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else {
                continue;
            };
            // What was formatted by `JsonFields` can be read.
            let known: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
            for (name, value) in known {
                if !is_for_collectors(&name) && !line.contains_key(&name) {
                    line.insert(name, value);
                }
            }
        }
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// Fields that say how a span is to be exported.
pub(super) fn is_for_collectors(name: &str) -> bool {
    name.starts_with("otel.") || name.starts_with("log.")
}

/// The fields of a line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        // The macros of the `log` crate say where they stand.
        if !name.starts_with("log.") || name == "log.target" {
            self.0.insert(name.into(), value.into());
        }
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    /// With what caused it.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        self.put(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Out {
        type Writer = Out;

        fn make_writer(&'a self) -> Out {
            self.clone()
        }
    }

    fn logged(log: impl FnOnce()) -> Value {
        let out = Out::default();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(out.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches('\n').count(), text.ends_with('\n')), (1, true), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_has_what_the_spans_around_it_know() {
        let line = logged(|| {
            let outer = tracing::info_span!(
                "call",
                trace_id = "4bf9",
                change_id = tracing::field::Empty,
                otel.kind = "server"
            );
            outer.record("change_id", "one");
            let _outer = outer.enter();
            let _inner = tracing::info_span!("forward", change_id = "two", attempts = 3).entered();
            tracing::warn!(attempts = 4, "a \"quoted\"\nline");
        });
        assert_eq!(line["message"], "a \"quoted\"\nline");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["trace_id"], "4bf9");
        assert_eq!(line["change_id"], "two", "the innermost wins");
        assert_eq!(line["attempts"], 4, "and the line's own before all");
        assert_eq!(line["span"], "forward");
        assert!(
            line.get("otel.kind").is_none() && line.get("timestamp").is_some(),
            "{line}"
        );
    }

    #[test]
    fn an_error_is_told_with_what_caused_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("the outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("the inner"));
        let line = logged(|| tracing::error!(error = &error as &dyn Error, "failed"));
        assert_eq!(line["error"], "the outer: the inner");
    }
}
