//! CORS: the web origins that may call, the headers that they may send, and those that they may read (the Fetch standard).

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower::{
    layer::util::Identity,
    util::{Either, option_layer},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::PRINCIPAL;

use super::{refusal::PUSHBACK, status::CHANGE_ID};

/// Request headers: those of gRPC-Web clients, and those of this API.
const ALLOWED: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static(PRINCIPAL),
];

/// Response headers that a web page may read.
const EXPOSED: [HeaderName; 5] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static(CHANGE_ID),
    HeaderName::from_static(PUSHBACK),
];

/// How long a browser may cache a preflight response.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Answers preflight requests of these origins. Without origins there is no layer, and no web page may call.
pub(super) fn layer(origins: &[String]) -> Either<CorsLayer, Identity> {
    // A text that is not a valid header value can never match the Origin header.
    let origins: Vec<_> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let layer = (!origins.is_empty()).then(|| {
        let is_allowed = move |origin: &HeaderValue, _: &http::request::Parts| origins.contains(origin);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_allowed))
            .allow_methods([Method::POST])
            .allow_headers(ALLOWED)
            .expose_headers(EXPOSED)
            .max_age(PREFLIGHT_MAX_AGE)
    });
    option_layer(layer)
}
