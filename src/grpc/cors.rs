//! What browsers are told: from which web pages they may call, and what those may send and read (the Fetch standard, "CORS
//! protocol").

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower::{
    layer::util::Identity,
    util::{Either, option_layer},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::PRINCIPAL;

use super::{refusal::PUSHBACK, status::CHANGE_ID};

/// What gRPC-Web clients send of their own, and what we ask for.
const ALLOWED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static(PRINCIPAL),
];

/// What the pages may read.
const EXPOSED: [HeaderName; 5] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static(CHANGE_ID),
    HeaderName::from_static(PUSHBACK),
];

/// So long a browser need not ask again.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// Answers the questions of browsers about these origins. Without any it does nothing: no page may call.
pub(super) fn layer(origins: &[String]) -> Either<CorsLayer, Identity> {
    // What is no header cannot be an origin that a browser sends.
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
            .max_age(MAX_AGE)
    });
    option_layer(layer)
}
