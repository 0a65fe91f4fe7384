//! Trace context that goes with work, from task to task and from process to process: an [`Origin`] is the span that the work
//! comes from. Without a collector, every origin is empty and nothing is stored.
//!
//! [`Origins`] remembers for each change the span of the call that opened it, while this process works on the change. After a
//! restart, or on another replica, the trace id on the change's row leads into the same trace.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::{ChangeId, TraceId};

use super::traces;

/// A span of this process or of another one; empty if there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin(Option<SpanContext>);

impl Origin {
    /// The current span.
    pub fn current() -> Self {
        Self::of(&Span::current())
    }

    /// The origin of work under this span.
    pub fn of(span: &Span) -> Self {
        let context = span.context();
        let span = context.span();
        Self(Some(span.span_context()).filter(|known| known.is_valid()).cloned())
    }

    /// The caller's span, from `traceparent` and `tracestate` (W3C Trace Context, level 1). Empty if `traceparent` is invalid.
    pub fn of_caller(traceparent: &str, tracestate: Option<&str>) -> Self {
        let read = || {
            let mut parts = traceparent.splitn(5, '-');
            let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let well_formed = is_hex(version, 2)
                && version != "ff"
                && (version != "00" || parts.next().is_none())
                && is_hex(trace, 32)
                && is_hex(parent, 16)
                && is_hex(flags, 2);
            let flags = u8::from_str_radix(flags, 16).ok().filter(|_| well_formed)?;
            let state = tracestate.and_then(|text| TraceState::from_str(text).ok());
            let context = SpanContext::new(
                opentelemetry::TraceId::from_hex(trace).ok()?,
                SpanId::from_hex(parent).ok()?,
                // The meaning of other flags is unknown, so they are dropped.
                TraceFlags::new(flags) & TraceFlags::SAMPLED,
                true,
                state.unwrap_or_default(),
            );
            context.is_valid().then_some(context)
        };
        Self(read())
    }

    /// The origin of a change that another process opened, or this one before a restart. The trace id is known, the span is not.
    /// A span id made of the change id stands for it; it is the same on every replica.
    pub fn of_change(change: ChangeId, trace: &TraceId) -> Self {
        if !traces::has_collector() {
            return Self::default();
        }
        let [.., a, b, c, d, e, f, g, h] = change.0.into_bytes();
        let Ok(trace) = opentelemetry::TraceId::from_hex(trace.as_str()) else {
            return Self::default();
        };
        let flags = match traces::would_sample(trace) {
            true => TraceFlags::SAMPLED,
            false => TraceFlags::NOT_SAMPLED,
        };
        let span = SpanId::from_bytes([a, b, c, d, e, f, g, h]);
        Self(Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)))
    }

    /// The trace id; `None` for an empty origin.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0
            .as_ref()
            .and_then(|context| context.trace_id().to_string().parse().ok())
    }

    /// True if the trace is sent to a collector.
    pub fn is_sampled(&self) -> bool {
        self.0.as_ref().is_some_and(SpanContext::is_sampled)
    }

    /// The value of `traceparent` for calls to other services; `None` for an empty origin.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?;
        Some(format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags() & TraceFlags::SAMPLED
        ))
    }

    /// Makes this the parent of a span. Call it before the span is entered or its context is read.
    pub fn adopt(self, span: &Span) {
        if let Some(context) = self.0 {
            // This fails only without a collector.
            let _ = span.set_parent(Context::new().with_remote_span_context(context));
        }
    }

    /// Links a span to this one. A link relates two spans that are not parent and child.
    pub fn link(&self, span: &Span) {
        if let Some(context) = &self.0 {
            span.add_link(context.clone());
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// At least this number of changes is remembered; at most twice as many.
const MIN_REMEMBERED: usize = 65_536;

/// The origins of the changes that this process works on. Beyond the maximum, the oldest are forgotten. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<ChangeId, Origin>,
    old: HashMap<ChangeId, Origin>,
}

impl Generations {
    fn put(&mut self, change: ChangeId, origin: Origin) {
        if self.young.len() >= MIN_REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(change, origin);
    }
}

impl Origins {
    /// Remembers the span of the call that opened a change.
    pub fn remember(&self, change: ChangeId, span: &Span) {
        let origin = Origin::of(span);
        // An unsampled span is remembered too, so that later spans of the change are not sampled either.
        if origin.0.is_some() {
            self.lock().put(change, origin);
        }
    }

    /// The origin of a change: the remembered span, or else one in the given trace.
    pub fn of(&self, change: ChangeId, trace: Option<&TraceId>) -> Origin {
        let remembered = {
            let generations = self.lock();
            let origin = generations.young.get(&change).or_else(|| generations.old.get(&change));
            origin.cloned()
        };
        remembered
            .or_else(|| Some(Origin::of_change(change, trace?)))
            .unwrap_or_default()
    }

    /// Forgets a change that has ended, or that another replica works on.
    pub fn forget(&self, change: ChangeId) {
        let mut generations = self.lock();
        generations.young.remove(&change);
        generations.old.remove(&change);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A panic cannot leave the maps half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_traceparent_is_passed_on() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("ff", true)] {
            let origin = Origin::of_caller(&format!("00-{TRACE}-{PARENT}-{flags}"), Some("vendor=1"));
            assert_eq!(origin.trace_id().unwrap().as_str(), TRACE);
            assert_eq!(origin.is_sampled(), sampled);
            let expected = format!("00-{TRACE}-{PARENT}-0{}", u8::from(sampled));
            assert_eq!(origin.traceparent().unwrap(), expected, "unknown flags are dropped");
        }
        let later = Origin::of_caller(&format!("cc-{TRACE}-{PARENT}-01-what-comes-then"), Some("not valid"));
        assert!(later.is_sampled());
    }

    #[test]
    fn an_invalid_traceparent_gives_an_empty_origin() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            TRACE.into(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-+1"),
            format!("00-{TRACE}-{PARENT}-é"),
        ] {
            assert_eq!(Origin::of_caller(&wrong, None), Origin::default(), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_collector_no_origin_is_remembered() {
        let (origins, change) = (Origins::default(), ChangeId(uuid::Uuid::from_u128(1)));
        origins.remember(change, &Span::current());
        assert!(origins.lock().young.is_empty());
        assert_eq!(origins.of(change, Some(&TRACE.parse().unwrap())), Origin::default());
        assert_eq!(Origin::current().traceparent(), None);
    }

    #[test]
    fn beyond_the_maximum_the_oldest_changes_are_forgotten() {
        let origins = Origins::default();
        let origin = Origin::of_caller(&format!("00-{TRACE}-{PARENT}-01"), None);
        for number in 0..3 * MIN_REMEMBERED as u128 {
            let change = ChangeId(uuid::Uuid::from_u128(number));
            origins.lock().put(change, origin.clone());
        }
        let generations = origins.lock();
        assert_eq!(generations.young.len() + generations.old.len(), 2 * MIN_REMEMBERED);
    }
}
