//! The limits for calls, streams, connections, and the time without an answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use sharewarden::config::ServerConfig;
use sharewarden_client::proto::v1::{
    audit_service_client::AuditServiceClient, share_permission_service_client::SharePermissionServiceClient, *,
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle};
use tonic::{Code, Request, Status, body::Body, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
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
async fn a_connection_has_a_maximum_of_calls_and_its_client_waits_with_further_ones() {
    let server = Server::start_with(ServerConfig {
        max_calls_per_connection: 1,
        ..ServerConfig::default()
    })
    .await;
    let greedy = server.client().await;
    let mut client = greedy.clone();
    let endless = tokio::spawn(async move { client.get_change(from_tester(Default::default())).await });
    server.endless.notified().await;
    let mut client = greedy.clone();
    let mut further = Box::pin(client.grant_share_permission(from_tester(Default::default())));
    for _ in 0..5 {
        let mut modest = server.client().await;
        let answer = modest.grant_share_permission(from_tester(Default::default()));
        answer.await.unwrap();
        assert!((&mut further).now_or_never().is_none(), "it waits");
    }
    endless.abort();
    let _ = endless.await;
    further.await.unwrap();
    drop((greedy, client));
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

/// True if the server has closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut [0; 64])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn silent_connections_give_way_to_new_ones_and_those_of_admitted_callers_are_kept() {
    let server = Server::start_with(ServerConfig {
        max_connections: 4,
        ..ServerConfig::default()
    })
    .await;
    let kept = endless(&server).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..5 {
        // A probe and a caller always get through.
        let mut health = HealthClient::new(server.channel().await);
        health.check(HealthCheckRequest::default()).await.unwrap();
        let mut client = server.client().await;
        client
            .grant_share_permission(from_tester(Default::default()))
            .await
            .unwrap();
    }
    let closed = async {
        let mut open = silent;
        while open.len() > 3 {
            let mut still_open = Vec::new();
            for mut stream in open {
                if !is_closed(&mut stream).await {
                    still_open.push(stream);
                }
            }
            open = still_open;
        }
    };
    tokio::time::timeout(TIMEOUT, closed)
        .await
        .expect("the silent connections beyond the limit are closed");
    assert!(!kept.is_finished(), "an open call of an admitted caller is not cut");
    kept.abort();
    let _ = kept.await;
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

/// Opens health watches on one connection until one is refused.
async fn watch_all(server: &Server) -> (HealthClient<Channel>, Vec<tonic::Streaming<HealthCheckResponse>>) {
    let mut health = HealthClient::new(server.channel().await);
    let mut watches = Vec::new();
    loop {
        match health.watch(HealthCheckRequest::default()).await {
            Ok(watch) => watches.push(watch.into_inner()),
            Err(refused) => {
                assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
                return (health, watches);
            }
        }
        assert!(watches.len() < 1000, "there is a bound");
    }
}

#[tokio::test]
async fn health_watches_are_limited_for_each_connection_and_probes_still_answer() {
    let server = Server::start().await;
    let (mut health, mut watches) = watch_all(&server).await;
    health.check(HealthCheckRequest::default()).await.unwrap();
    let mut greedy = Vec::new();
    for _ in 0..20 {
        greedy.push(watch_all(&server).await);
    }
    let mut modest = HealthClient::new(server.channel().await);
    modest.watch(HealthCheckRequest::default()).await.unwrap();
    modest.check(HealthCheckRequest::default()).await.unwrap();
    watches.pop();
    let again = tokio::time::timeout(TIMEOUT, async {
        while health.watch(HealthCheckRequest::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    again.await.expect("a place is free again");
    drop((health, watches, greedy, modest));
    server.stop().await;
}

#[tokio::test]
async fn reflection_streams_of_one_network_are_limited_over_all_its_connections() {
    let server = Server::start().await;
    let (mut open, mut refusals) = (Vec::new(), 0);
    for _ in 0..3 {
        let mut client = ServerReflectionClient::new(server.channel().await);
        for _ in 0..12 {
            match client.server_reflection_info(tokio_stream::pending()).await {
                Ok(stream) => open.push((client.clone(), stream)),
                Err(refused) => {
                    assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
                    refusals += 1;
                }
            }
        }
    }
    assert_eq!((open.len(), refusals), (16, 20));
    // The same connections have places for health.
    let mut health = HealthClient::new(server.channel().await);
    health.watch(HealthCheckRequest::default()).await.unwrap();
    drop((open, health));
    server.stop().await;
}
