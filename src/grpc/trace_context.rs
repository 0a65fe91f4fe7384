//! The trace that a call belongs to (W3C Trace Context, section 3.2).

use tonic::metadata::MetadataMap;

use crate::domain::TraceId;

use super::auth::only_value;

/// The trace id of the call's `traceparent`; none if there is none, or not a valid one.
pub(super) fn trace_id(metadata: &MetadataMap) -> Option<TraceId> {
    parse(only_value(metadata, "traceparent")?)
}

/// Reads `version-trace-parent-flags`. Versions to come may add to the end, after a further hyphen.
fn parse(text: &str) -> Option<TraceId> {
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = parts.next();
    let well_formed = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || rest.is_none())
        && is_hex(parent, 16)
        && parent.bytes().any(|byte| byte != b'0')
        && is_hex(flags, 2);
    well_formed.then(|| trace.parse().ok()).flatten()
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_gives_its_trace_id() {
        for right in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes-then"),
        ] {
            assert_eq!(parse(&right).unwrap().as_str(), TRACE, "{right}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        for wrong in [
            String::new(),
            TRACE.into(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00F067AA0BA902B7-01"),
            format!("0-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("00-{TRACE}-00f067aa0ba902b7-é"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong:?}");
        }
    }
}
