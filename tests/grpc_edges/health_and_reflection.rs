//! Health and reflection. Both need no credentials.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    config::DatabaseConfig,
    grpc::{LIVENESS, READINESS},
    probe::WatchSettings,
    store::Database,
};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use super::server::Server;

const SERVICE: &str = "sharewarden.v1.SharePermissionService";
const AUDIT: &str = "sharewarden.v1.AuditService";

async fn health(server: &Server, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(server.channel().await);
    let service = service.to_owned();
    client
        .check(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner()
        .status()
}

#[tokio::test]
async fn a_server_whose_store_never_answered_is_alive_but_not_serving() {
    let server = Server::start().await;
    // Accepts connections and sends nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = DatabaseConfig {
        url: format!("postgres://nobody@{}/none?sslmode=disable", mute.local_addr().unwrap()).into(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(3600),
        statement_timeout: Duration::from_secs(3600),
    };
    let database = Database::new(&settings, &Clock::system());
    let settings = WatchSettings {
        check_every: Duration::from_millis(1),
        check_timeout: Duration::from_millis(1),
    };
    let stop = CancellationToken::new();
    let watch = server
        .readiness
        .clone()
        .watch(database.unwrap(), Clock::system(), settings, stop.clone());
    let watching = tokio::spawn(watch);
    let following = tokio::spawn(server.health.clone().follow());
    for service in ["", READINESS, SERVICE, AUDIT] {
        assert_eq!(health(&server, service).await, ServingStatus::NotServing, "{service:?}");
    }
    assert_eq!(health(&server, LIVENESS).await, ServingStatus::Serving);
    stop.cancel();
    watching.await.unwrap();
    following.await.unwrap();
    assert_eq!(health(&server, "").await, ServingStatus::NotServing);
    server.stop().await;
}

#[tokio::test]
async fn both_versions_of_reflection_describe_what_there_is_and_answer_the_rest_with_an_error_in_the_stream() {
    let server = Server::start().await;
    macro_rules! reflect {
        ($version:ident) => {{
            use $version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let mut client = ServerReflectionClient::new(server.channel().await);
            let ask = |message_request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(message_request),
            };
            let questions = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol("nobody.Knows".into())),
                ask(MessageRequest::FileByFilename("nobody.proto".into())),
                ServerReflectionRequest::default(),
                ask(MessageRequest::FileContainingSymbol(SERVICE.into())),
                ask(MessageRequest::FileContainingSymbol(format!("{SERVICE}.GetChange"))),
                ask(MessageRequest::FileContainingSymbol(
                    "sharewarden.v1.Change.change_id".into(),
                )),
                ask(MessageRequest::FileContainingSymbol(
                    "sharewarden.v1.ACTION_GRANT".into(),
                )),
                ask(MessageRequest::FileByFilename("google/protobuf/timestamp.proto".into())),
                ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into())),
                ask(MessageRequest::FileContainingSymbol("google.rpc.BadRequest".into())),
            ];
            let answers = client
                .server_reflection_info(tokio_stream::iter(questions))
                .await
                .unwrap();
            let answers: Vec<_> = answers
                .into_inner()
                .map(|answer| answer.unwrap().message_response.unwrap())
                .collect()
                .await;
            let MessageResponse::ListServicesResponse(list) = &answers[0] else {
                panic!("{answers:?}")
            };
            let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
            for name in [SERVICE, AUDIT, "grpc.health.v1.Health"] {
                assert!(names.contains(&name), "{names:?}");
            }
            let codes = answers[1..4].iter().map(|answer| match answer {
                MessageResponse::ErrorResponse(error) => Code::from(error.error_code),
                other => panic!("{other:?}"),
            });
            assert!(codes.eq([Code::NotFound, Code::NotFound, Code::InvalidArgument]));
            for answer in &answers[4..] {
                assert!(
                    matches!(answer, MessageResponse::FileDescriptorResponse(_)),
                    "{answer:?}"
                );
            }
        }};
    }
    reflect!(v1);
    reflect!(v1alpha);
    server.stop().await;
}
