//! The timeouts of a call, chosen so that the caller gets a response before its deadline.

use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::MetadataMap;

use crate::edge::only_header;

const TIMEOUT: &str = "grpc-timeout";

/// The timeout for the work of a handler: 95 % of the caller's timeout, at most `max`, less the time `elapsed` since the arrival.
/// The rest is for the response, because the caller no longer listens after its timeout.
pub(super) fn work_timeout(metadata: &MetadataMap, elapsed: Duration, max: Duration) -> Duration {
    let timeout = only_header(metadata.as_ref(), TIMEOUT).and_then(parse);
    timeout
        .map_or(max, |timeout| max.min(timeout / 100 * 95))
        .saturating_sub(elapsed)
}

/// The timeout for the response of a handler: 98 % of the caller's timeout, at most `max`. After it the call layer responds. It
/// also ends a call whose message never arrives.
pub(super) fn response_timeout(headers: &HeaderMap, max: Duration) -> Duration {
    let timeout = headers.get(TIMEOUT).and_then(|value| parse(value.to_str().ok()?));
    timeout.map_or(max, |timeout| max.min(timeout / 100 * 98))
}

/// Parses a `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Requests").
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 60 * 60),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn timeout_for(timeout: &str, elapsed: Duration) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert(TIMEOUT, timeout.parse().unwrap());
        work_timeout(&metadata, elapsed, MAX)
    }

    #[test]
    fn the_response_timeout_is_after_the_work_timeout_and_before_the_deadline() {
        let headers =
            |timeout: &str| HeaderMap::from_iter([(http::HeaderName::from_static(TIMEOUT), timeout.parse().unwrap())]);
        assert_eq!(response_timeout(&headers("10S"), MAX), Duration::from_millis(9800));
        assert_eq!(response_timeout(&headers("2H"), MAX), MAX);
        assert_eq!(response_timeout(&headers("soon"), MAX), MAX);
        assert_eq!(response_timeout(&HeaderMap::new(), MAX), MAX);
    }

    #[test]
    fn every_unit_is_parsed() {
        let seconds = Duration::from_secs;
        assert_eq!(parse("2H"), Some(seconds(7200)));
        assert_eq!(parse("2M"), Some(seconds(120)));
        assert_eq!(parse("00000002S"), Some(seconds(2)));
        assert_eq!(parse("2m"), Some(Duration::from_millis(2)));
        assert_eq!(parse("2u"), Some(Duration::from_micros(2)));
        assert_eq!(parse("2n"), Some(Duration::from_nanos(2)));
        assert_eq!(parse("99999999H"), Some(seconds(99_999_999 * 3600)));
    }

    #[test]
    fn an_invalid_timeout_is_ignored() {
        for wrong in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            "-1S",
            "+1S",
            "1.5S",
            " 1S",
            "100000000S",
            "1SS",
            "1é",
            "é",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(timeout_for("soon", Duration::ZERO), MAX);
        assert_eq!(work_timeout(&MetadataMap::new(), Duration::ZERO, MAX), MAX);
    }

    #[test]
    fn the_work_ends_before_the_deadline() {
        assert_eq!(timeout_for("10S", Duration::ZERO), Duration::from_millis(9500));
        assert_eq!(timeout_for("10S", Duration::from_secs(1)), Duration::from_millis(8500));
        assert_eq!(timeout_for("10S", Duration::from_secs(10)), Duration::ZERO);
        assert_eq!(timeout_for("99999999H", Duration::ZERO), MAX);
        assert_eq!(timeout_for("0n", Duration::ZERO), Duration::ZERO);
    }
}
