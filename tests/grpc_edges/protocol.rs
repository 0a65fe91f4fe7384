//! A request that is not gRPC is refused before its message is read.

use bytes::Bytes;
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use sharewarden_testkit::http2::{Http2Call, Http2Connection, Http2Outcome, Http2Response};

use super::server::Server;

/// A request that would succeed if its method and content type were those of gRPC.
fn call(method: Method, content_type: Option<&'static str>) -> Http2Call {
    let principal = (
        "x-sharewarden-principal".parse().unwrap(),
        HeaderValue::from_static("tester"),
    );
    let content_type = content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value)));
    Http2Call {
        method,
        path: "/sharewarden.v1.SharePermissionService/RevokeSharePermission".into(),
        headers: content_type.into_iter().chain([principal]).collect(),
        body: vec![Bytes::from_static(&[0; 5])],
        ends: true,
        is_streamed: false,
    }
}

async fn answer(server: &Server, call: Http2Call) -> Http2Response {
    match Http2Connection::open(server.address).await.call(&call).await {
        Http2Outcome::Response(given) => given,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_a_post_is_a_call() {
    let server = Server::start().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let given = answer(&server, call(method, Some("application/grpc"))).await;
        assert_eq!((given.http, given.code()), (405, Some(3)), "{given:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn only_a_grpc_content_type_is_read_as_grpc() {
    let server = Server::start().await;
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/GRPC; charset=utf-8",
    ] {
        let given = answer(&server, call(Method::POST, Some(content_type))).await;
        assert_eq!((given.http, given.code()), (200, Some(0)), "{content_type}: {given:?}");
    }
    let others = [
        "",
        "text/plain",
        "application/json",
        "application/grpc+json",
        "application/grpcx",
        "multipart/form-data",
    ];
    for content_type in others.map(Some).into_iter().chain([None]) {
        let given = answer(&server, call(Method::POST, content_type)).await;
        assert_eq!(
            (given.http, given.code()),
            (415, Some(3)),
            "{content_type:?}: {given:?}"
        );
    }
    server.stop().await;
}
