//! The limits for calls, streams, connections, and the time without an answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sharewarden::config::ServerConfig;
use sharewarden_client::proto::v1::{
    audit_service_client::AuditServiceClient, share_permission_service_client::SharePermissionServiceClient, *,
};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status, body::Body, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use super::server::{Guard, Server, from_tester};

const TIMEOUT: Duration = Duration::from_secs(60);

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

/// A call that has begun and never ends.
async fn endless(server: &Server) -> JoinHandle<Result<tonic::Response<GetChangeResponse>, Status>> {
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.get_change(from_tester(Default::default())).await });
    server.endless.notified().await;
    call
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_and_health_still_answers() {
    let server = Server::start_with(ServerConfig {
        max_calls: 2,
        ..ServerConfig::default()
    })
    .await;
    let under_way = [endless(&server).await, endless(&server).await];
    let mut client = server.client().await;
    for _ in 0..3 {
        let refused = client.grant_share_permission(from_tester(Default::default())).await;
        let refused = refused.unwrap_err();
        assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
        assert!(refused.get_error_details().retry_info().is_some());
        let pushback = refused.metadata().get("grpc-retry-pushback-ms").unwrap();
        assert!(pushback.to_str().unwrap().parse::<u64>().unwrap() >= 1000);
    }
    let mut health = HealthClient::new(server.channel().await);
    let liveness = HealthCheckRequest {
        service: "liveness".into(),
    };
    health.check(liveness).await.unwrap();

    // A call that ends frees its slot, also if its caller disconnected.
    for call in under_way {
        call.abort();
        let _ = call.await;
    }
    there_is_room_again(&mut client).await;
    drop((client, health));
    server.stop().await;
}

#[tokio::test]
async fn streams_have_their_own_limit() {
    let server = Server::start_with(ServerConfig {
        max_calls: 1,
        max_open_streams: 0,
        ..ServerConfig::default()
    })
    .await;
    let mut audit = AuditServiceClient::new(server.channel().await);
    let refused = audit
        .watch_audit_entries(from_tester(Default::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    let mut client = server.client().await;
    client
        .grant_share_permission(from_tester(Default::default()))
        .await
        .unwrap();
    drop((audit, client));
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let server = Server::start_with(ServerConfig {
        max_connections: 2,
        ..ServerConfig::default()
    })
    .await;
    let mut clients = [server.client().await, server.client().await];
    for client in &mut clients {
        client
            .grant_share_permission(from_tester(Default::default()))
            .await
            .unwrap();
    }
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let mut third = SharePermissionServiceClient::new(endpoint.connect_lazy());
    let refused = third.grant_share_permission(from_tester(Default::default())).await;
    assert!(refused.is_err(), "the connection is closed, not queued");
    drop(clients);
    there_is_room_again(&mut third).await;
    drop(third);
    server.stop().await;
}

async fn there_is_room_again(client: &mut SharePermissionServiceClient<Channel>) {
    let accepted = tokio::time::timeout(TIMEOUT, async {
        while client
            .grant_share_permission(from_tester(Default::default()))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    accepted.await.expect("a slot is free again");
}

/// Sends the headers of a call and never its message.
async fn headers_only(server: &Server, timeout: Option<&str>) -> http::Response<Body> {
    let mut channel = server.channel().await;
    let never = futures_util::stream::pending::<Result<Bytes, Status>>();
    let body = Body::new(http_body(never));
    let mut request = http::Request::post("/sharewarden.v1.SharePermissionService/GrantSharePermission")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-sharewarden-principal", "tester");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let request = request.body(body).unwrap();
    std::future::poll_fn(|context| tower::Service::poll_ready(&mut channel, context))
        .await
        .unwrap();
    let answer = tower::Service::call(&mut channel, request);
    tokio::time::timeout(TIMEOUT, answer)
        .await
        .expect("the call is answered in time")
        .unwrap()
}

/// A body that yields the frames of a stream.
fn http_body(
    stream: impl futures_util::Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> impl hyper::body::Body<Data = Bytes, Error = Status> + Send + 'static {
    struct Streamed<S>(std::pin::Pin<Box<S>>);
    impl<S: futures_util::Stream<Item = Result<Bytes, Status>>> hyper::body::Body for Streamed<S> {
        type Data = Bytes;
        type Error = Status;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Status>>> {
            let next = self.0.as_mut().poll_next(context);
            next.map(|next| next.map(|bytes| bytes.map(hyper::body::Frame::data)))
        }
    }
    Streamed(Box::pin(stream))
}

#[tokio::test]
async fn a_call_whose_message_never_arrives_is_answered_and_frees_its_slot() {
    let settings = ServerConfig {
        max_calls: 1,
        ..ServerConfig::default()
    };
    let guard = Guard {
        max_call_duration: Duration::from_millis(300),
        ..Guard::default()
    };
    let server = Server::start_guarded(settings, guard).await;
    for timeout in [None, Some("1H")] {
        let answer = headers_only(&server, timeout).await;
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(
            reason(&status),
            (Code::DeadlineExceeded, "CALL_TIMED_OUT".into()),
            "{timeout:?}"
        );
    }
    let mut client = server.client().await;
    there_is_room_again(&mut client).await;
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_method_gets_a_reason_whatever_its_service() {
    let server = Server::start().await;
    let paths = [
        "/sharewarden.v1.SharePermissionService/NoSuchMethod",
        "/sharewarden.v1.AuditService/NoSuchMethod",
        "/sharewarden.v9.NoSuchService/Method",
        "/example.Other/Method",
        "/grpc.health.v1.Health/NoSuchMethod",
    ];
    let calls = paths.map(async |path| {
        let mut client = tonic::client::Grpc::new(server.channel().await);
        client.ready().await.unwrap();
        let codec = ProstCodec::<GetChangeRequest, GetChangeResponse>::default();
        let request: Request<GetChangeRequest> = from_tester(Default::default());
        client
            .unary(request, PathAndQuery::from_static(path), codec)
            .await
            .unwrap_err()
    });
    for (path, status) in paths.iter().zip(join_all(calls).await) {
        assert_eq!(reason(&status), (Code::Unimplemented, "UNIMPLEMENTED".into()), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn health_watches_are_limited_and_health_checks_still_answer() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    let mut watches = Vec::new();
    let refused = loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(watch) => watches.push(watch),
            Err(refused) => break refused,
        }
        assert!(watches.len() < 1000, "there is a bound");
    };
    assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    health.check(HealthCheckRequest::default()).await.unwrap();
    watches.clear();
    let again = tokio::time::timeout(TIMEOUT, async {
        while health.watch(HealthCheckRequest::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    again.await.expect("a slot is free again");
    drop(health);
    server.stop().await;
}
