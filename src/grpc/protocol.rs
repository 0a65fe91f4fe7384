//! Refuses requests that are not gRPC (gRPC over HTTP/2, "Requests"). The routes match only the path, so without this check a GET
//! or a form of a web page could make a call. The gRPC-Web layer has already converted requests of browsers to gRPC.

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};

use crate::proto::v1::ErrorReason;

use super::refusal::Refusal;

/// The response to a request that is not gRPC. None if it is gRPC.
pub(super) fn refusal<Q, A: Default>(request: &Request<Q>) -> Option<Response<A>> {
    if request.method() != Method::POST {
        return Some(refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "A gRPC call must be a POST request; use a gRPC client.",
        ));
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_known = content_type.is_some_and(|value| value.to_str().is_ok_and(is_grpc));
    (!is_known).then(|| {
        refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The content-type of a gRPC call must be application/grpc or application/grpc+proto; use a gRPC client.",
        )
    })
}

fn is_grpc(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// The error as an HTTP status and as a gRPC status, because the client may be either.
fn refused<A: Default>(status: StatusCode, message: &str) -> Response<A> {
    let refusal = Refusal::new(ErrorReason::InvalidFields, message);
    let mut response = refusal.into_status().into_http();
    *response.status_mut() = status;
    response
}
