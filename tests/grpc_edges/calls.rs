//! Calls of the two services of the API.

use std::time::Duration;

use sharewarden::{config::ServerConfig, proto::v1::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Request, Status, codec::CompressionEncoding, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use super::server::{Server, from_tester};

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "sharewarden.v1");
    (status.code(), info.reason)
}

/// Sends an invalid `GetChangeRequest`: its first field is a number.
async fn send_garbage(server: &Server, request: Request<pbjson_types::Timestamp>) -> Status {
    let mut client = tonic::client::Grpc::new(server.channel().await);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/sharewarden.v1.SharePermissionService/GetChange");
    let codec = ProstCodec::<pbjson_types::Timestamp, GetChangeResponse>::default();
    client.unary(request, path, codec).await.unwrap_err()
}

fn garbage() -> pbjson_types::Timestamp {
    pbjson_types::Timestamp { seconds: 1, nanos: 1 }
}

#[tokio::test]
async fn a_call_carries_its_principal_and_a_compressed_one_is_read() {
    let server = Server::start().await;
    let client = server.client().await;
    for mut client in [client.clone(), client.send_compressed(CompressionEncoding::Gzip)] {
        let answer = client.grant_share_permission(from_tester(Default::default())).await;
        assert_eq!(answer.unwrap().into_inner().change.unwrap().principal, "tester");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_call_without_a_principal_is_refused_before_its_message_is_read() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let expected = (Code::Unauthenticated, "UNAUTHENTICATED".to_owned());
    let refusals = [
        client
            .grant_share_permission(GrantSharePermissionRequest::default())
            .await
            .map(drop),
        client
            .revoke_share_permission(RevokeSharePermissionRequest::default())
            .await
            .map(drop),
        client
            .get_share_permission(GetSharePermissionRequest::default())
            .await
            .map(drop),
        client
            .list_share_permissions(ListSharePermissionsRequest::default())
            .await
            .map(drop),
        client.get_change(GetChangeRequest::default()).await.map(drop),
        client.list_images(ListImagesRequest::default()).await.map(drop),
        Err(send_garbage(&server, Request::new(garbage())).await),
    ];
    for refusal in refusals {
        assert_eq!(reason(&refusal.unwrap_err()), expected);
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn an_unreadable_message_is_an_error_of_the_caller() {
    let server = Server::start_with(ServerConfig {
        max_message_size: 1000,
        ..Default::default()
    })
    .await;
    let expected = (Code::InvalidArgument, "INVALID_FIELDS".to_owned());
    assert_eq!(reason(&send_garbage(&server, from_tester(garbage())).await), expected);

    let large = || {
        from_tester(GrantSharePermissionRequest {
            reason: "x".repeat(1001),
            ..Default::default()
        })
    };
    let client = server.client().await;
    for mut client in [client.clone(), client.send_compressed(CompressionEncoding::Gzip)] {
        assert_eq!(
            reason(&client.grant_share_permission(large()).await.unwrap_err()),
            expected
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_without_its_message() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let status = client
        .get_share_permission(from_tester(Default::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), (Code::Internal, "INTERNAL".to_owned()));
    assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
    // The connection stays open.
    client.list_images(from_tester(Default::default())).await.unwrap();
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_browser_is_answered_over_http_1() {
    let server = Server::start().await;
    let call = |principal: &str| {
        format!(
            "POST /sharewarden.v1.SharePermissionService/ListImages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/grpc-web+proto\r\n{principal}content-length: 5\r\n\r\n\0\0\0\0\0"
        )
    };
    let answer = over_http_1(&server, &call("x-sharewarden-principal: tester\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("grpc-status:0"),
        "{answer}"
    );
    let answer = over_http_1(&server, &call("")).await;
    assert!(
        answer.contains("grpc-status: 16") || answer.contains("grpc-status:16"),
        "{answer}"
    );
    server.stop().await;
}

pub(crate) async fn over_http_1(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_shutdown_waits_for_open_calls_for_the_grace_period_only() {
    let drain_timeout = Duration::from_millis(10);
    let server = Server::start_with(ServerConfig {
        shutdown_grace: drain_timeout,
        ..Default::default()
    })
    .await;
    let mut client = server.client().await;
    let endless = tokio::spawn(async move { client.get_change(from_tester(Default::default())).await });
    server.endless.notified().await;
    server.stop().await;
    endless.abort();
}
