//! The trace of a call (W3C Trace Context, section 3.2): its caller's trace, or a new one.

use http::HeaderMap;
use tracing::Span;

use crate::{domain::TraceId, telemetry::trace::Origin};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Makes the caller's span the parent of a call's span. Returns the trace id. `None`: the caller sent no trace, and there is no
/// collector.
pub(crate) fn enter(span: &Span, headers: &HeaderMap) -> Option<TraceId> {
    let caller = caller(headers);
    let trace_id = caller.trace_id();
    caller.adopt(span);
    let trace_id = trace_id.or_else(|| Origin::of(span).trace_id());
    if let Some(trace_id) = &trace_id {
        span.record("trace_id", trace_id.as_str());
    }
    trace_id
}

/// The caller's span. Two `traceparent` headers are ignored: a caller could have added one to that of a proxy.
fn caller(headers: &HeaderMap) -> Origin {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return Origin::default();
    };
    let mut states = headers.get_all(TRACESTATE).iter();
    let state = match (states.next(), states.next()) {
        (Some(state), None) => state.to_str().ok(),
        _ => None,
    };
    parent
        .to_str()
        .map_or_else(|_| Origin::default(), |parent| Origin::of_caller(parent, state))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(parents: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, HeaderValue::from_static(parent));
        }
        enter(&Span::none(), &headers).map(|trace| trace.as_str().to_owned())
    }

    #[test]
    fn a_call_is_in_the_trace_of_its_caller() {
        assert_eq!(trace(&[PARENT]).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    }

    #[test]
    fn a_missing_repeated_or_malformed_traceparent_is_ignored() {
        assert_eq!(trace(&[]), None);
        assert_eq!(trace(&[PARENT, PARENT]), None);
        assert_eq!(trace(&["00-4bf9-00f067aa0ba902b7-01"]), None);
    }
}
