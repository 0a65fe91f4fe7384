//! Is it gRPC at all? The routes look at the path only; a GET, or a form of a web page, must not do what a call does (gRPC
//! over HTTP/2, "Requests"). What browsers send as gRPC-Web is gRPC by the time it comes here.

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};

use crate::proto::v1::ErrorReason;

use super::refusal::Refusal;

/// The answer to what is no gRPC. None: it is.
pub(super) fn refusal<Q, A: Default>(request: &Request<Q>) -> Option<Response<A>> {
    if request.method() != Method::POST {
        return Some(refused(StatusCode::METHOD_NOT_ALLOWED, "A call is a POST."));
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_known = content_type.is_some_and(|value| value.to_str().is_ok_and(is_grpc));
    (!is_known).then(|| {
        refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The content-type of a call is application/grpc or application/grpc+proto.",
        )
    })
}

fn is_grpc(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// Says it twice: for what speaks HTTP, and for what speaks gRPC.
fn refused<A: Default>(status: StatusCode, message: &str) -> Response<A> {
    let refusal = Refusal::new(ErrorReason::InvalidFields, message);
    let mut response = refusal.into_status().into_http();
    *response.status_mut() = status;
    response
}
