//! The JSON format of the log: one object a line. The fields of the enclosing spans are members of it, so that one key finds all
//! lines of a trace, a change or an account. If a name occurs twice, the event's own field wins, then the innermost span's.
//!
//! `tracing-subscriber` has a JSON formatter too. It stores a span's fields as JSON text, and parses that text again for each
//! new field and each line. This layer does not parse.

use std::{error::Error, fmt, io::Write};

use serde::{Serialize, Serializer};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use crate::domain::with_causes;

/// The layer. It writes each line with one `write`.
pub(super) struct Json<W>(pub(super) W);

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut known = FieldValues::default();
            attributes.record(&mut FieldVisitor(&mut known));
            span.extensions_mut().insert(known);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<FieldValues>()
        {
            values.record(&mut FieldVisitor(known));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let line = line(event, &context);
        // A log that cannot be written has nowhere to report it.
        let _ = self.0.make_writer_for(event.metadata()).write_all(&line);
    }
}

fn line<S>(event: &Event<'_>, context: &Context<'_, S>) -> Vec<u8>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut own = FieldValues::default();
    event.record(&mut FieldVisitor(&mut own));
    let mut time = String::new();
    // Formatting into memory cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut line = JsonLine::default();
    line.put("timestamp", &time);
    line.put("level", event.metadata().level().as_str());
    if let Some(message) = own.get("message") {
        line.put_json("message", message);
    }
    match own.get("log.target") {
        Some(target) => line.put_json("target", target),
        None => line.put("target", event.metadata().target()),
    }
    own.iter().for_each(|(name, value)| line.put_json(name, value));
    for span in context.event_scope(event).into_iter().flatten() {
        line.put("span", span.name());
        if let Some(known) = span.extensions().get::<FieldValues>() {
            known.iter().for_each(|(name, value)| line.put_json(name, value));
        }
    }
    line.end()
}

/// True for fields that only configure the export of a span, and for those that the `log` crate adds about its macros.
pub(super) fn is_for_collectors(name: &str) -> bool {
    name.starts_with("otel.") || name.starts_with("log.")
}

/// The fields of a span or an event, with values encoded as JSON. A later value replaces an earlier one of the same name.
#[derive(Default)]
struct FieldValues {
    /// Each name, with the end of its value in `values`.
    names: Vec<(&'static str, usize)>,
    values: Vec<u8>,
}

/// The name of a value that was replaced.
const REPLACED_NAME: &str = "";

impl FieldValues {
    fn put(&mut self, name: &'static str, value: impl Serialize) {
        if let Some(earlier) = self.names.iter_mut().find(|(known, _)| *known == name) {
            earlier.0 = REPLACED_NAME;
        }
        // Encoding a string or a number into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.values, &value);
        self.names.push((name, self.values.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let mut begin = 0;
        let all = self.names.iter().map(move |(name, end)| {
            let value = &self.values[begin..*end];
            begin = *end;
            (*name, value)
        });
        all.filter(|(name, _)| *name != REPLACED_NAME)
    }

    fn get(&self, wanted: &str) -> Option<&[u8]> {
        self.iter().find_map(|(name, value)| (name == wanted).then_some(value))
    }
}

/// A line under construction. The first member of a name wins.
#[derive(Default)]
struct JsonLine {
    text: Vec<u8>,
    names: Vec<&'static str>,
}

impl JsonLine {
    fn put(&mut self, name: &'static str, value: &str) {
        if self.begin_member(name) {
            let _ = serde_json::to_writer(&mut self.text, value);
        }
    }

    fn put_json(&mut self, name: &'static str, value: &[u8]) {
        if self.begin_member(name) {
            self.text.extend_from_slice(value);
        }
    }

    fn begin_member(&mut self, name: &'static str) -> bool {
        if self.names.contains(&name) || is_for_collectors(name) {
            return false;
        }
        self.text.push(if self.names.is_empty() { b'{' } else { b',' });
        self.names.push(name);
        let _ = serde_json::to_writer(&mut self.text, name);
        self.text.push(b':');
        true
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"}\n");
        self.text
    }
}

/// Records the fields of `tracing` as [`FieldValues`].
struct FieldVisitor<'a>(&'a mut FieldValues);

impl Visit for FieldVisitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.put(field.name(), value);
    }

    /// The error and all of its causes.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.0.put(field.name(), with_causes(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.put(field.name(), Debugged(value));
    }
}

/// Serializes the `Debug` text as a JSON string.
struct Debugged<'a>(&'a dyn fmt::Debug);

impl Serialize for Debugged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
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
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Json(out.clone())), log);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches('\n').count(), text.ends_with('\n')), (1, true), "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans() {
        let line = logged(|| {
            let outer = tracing::info_span!(
                "call",
                trace_id = "4bf9",
                change_id = tracing::field::Empty,
                otel.kind = "server"
            );
            outer.record("change_id", "one");
            let _outer = outer.enter();
            let inner = tracing::info_span!("forward", change_id = "zero", attempts = 3).entered();
            inner.record("change_id", "two");
            tracing::warn!(attempts = 4, "a \"quoted\"\nline");
        });
        assert_eq!(line["message"], "a \"quoted\"\nline");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["trace_id"], "4bf9");
        assert_eq!(line["change_id"], "two", "the innermost span's last value wins");
        assert_eq!(line["attempts"], 4, "the event's own field wins over spans");
        assert_eq!(line["span"], "forward");
        assert!(
            line.get("otel.kind").is_none() && line.get("timestamp").is_some(),
            "{line}"
        );
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("the inner"));
        let line = logged(|| tracing::error!(error = &error as &dyn Error, "failed"));
        assert_eq!(line["error"], "the outer: the inner");
    }
}
