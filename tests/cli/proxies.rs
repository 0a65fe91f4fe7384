//! A proxy in front of the service answers instead of it, with a page in HTML.

use std::{convert::Infallible, net::SocketAddr};

use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::harness::{WHICH, run_at};

/// Answers each call with this HTTP status and a page.
async fn answering(status: StatusCode) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let respond = move |_: Request<Incoming>| async move {
        let page = "<html><body>nginx</body></html>".to_owned();
        let response = Response::builder().status(status).header("content-type", "text/html");
        Ok::<_, Infallible>(response.body(page).unwrap())
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service_fn(respond))
                    .await;
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn the_page_of_a_proxy_is_read_as_grpc_maps_its_http_status() {
    for (status, exit, words) in [
        (400, 1, "a proxy on the way answered 400 Bad Request (Internal)"),
        (401, 4, "a proxy on the way answered 401 Unauthorized (Unauthenticated)"),
        (403, 4, "a proxy on the way answered 403 Forbidden (PermissionDenied)"),
        (404, 1, "a proxy on the way answered 404 Not Found (Unimplemented)"),
        (
            429,
            6,
            "a proxy on the way answered 429 Too Many Requests (Unavailable)",
        ),
        (431, 4, "the token is too long (Unauthenticated)"),
        (
            500,
            1,
            "a proxy on the way answered 500 Internal Server Error (Unknown)",
        ),
        (502, 6, "a proxy on the way answered 502 Bad Gateway (Unavailable)"),
        (
            503,
            6,
            "a proxy on the way answered 503 Service Unavailable (Unavailable)",
        ),
        (504, 6, "a proxy on the way answered 504 Gateway Timeout (Unavailable)"),
        (
            200,
            1,
            "the server is not a gRPC service: it answered with the content type \"text/html\" (Unknown)",
        ),
    ] {
        let (address, _tasks) = answering(StatusCode::from_u16(status).unwrap()).await;
        let (code, text) = run_at(&format!("http://{address}"), "change list").await.failure();
        assert_eq!(code, exit, "{status}: {text}");
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_grant_that_a_proxy_answered_can_be_repeated_with_its_request_id() {
    let (address, _tasks) = answering(StatusCode::GATEWAY_TIMEOUT).await;
    let line = format!("grant {WHICH} --reason x --request-id my-id");
    let (code, text) = run_at(&format!("http://{address}"), &line).await.failure();
    assert_eq!(code, 6, "{text}");
    assert!(
        text.contains("504 Gateway Timeout") && text.ends_with("--request-id my-id"),
        "{text}"
    );
}
