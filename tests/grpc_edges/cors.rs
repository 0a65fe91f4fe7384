//! CORS: which web pages may call from a browser.

use sharewarden::config::ServerConfig;

use super::{calls::over_http_1, server::Server};

const ORIGIN: &str = "https://audit.example.com";
const PATH: &str = "/sharewarden.v1.AuditService/ListAuditEntries";

async fn server(origins: &[&str]) -> Server {
    let allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Server::start_with(ServerConfig {
        allowed_origins,
        ..Default::default()
    })
    .await
}

async fn preflight(server: &Server, origin: &str) -> String {
    let request = format!(
        "OPTIONS {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\norigin: {origin}\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: content-type,x-grpc-web\r\n\r\n"
    );
    over_http_1(server, &request).await.to_lowercase()
}

/// All values of a header, in order.
fn values<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    let values = lines.filter(|(header, _)| *header == name);
    values
        .flat_map(|(_, values)| values.split(',').map(str::trim))
        .collect()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_and_read_what_grpc_web_needs() {
    let server = server(&["https://other.example.com", ORIGIN]).await;
    let answer = preflight(&server, ORIGIN).await;
    assert_eq!(values(&answer, "access-control-allow-origin"), [ORIGIN]);
    assert_eq!(values(&answer, "access-control-allow-methods"), ["post"]);
    let headers = values(&answer, "access-control-allow-headers");
    for header in [
        "x-grpc-web",
        "x-user-agent",
        "content-type",
        "grpc-timeout",
        "x-sharewarden-principal",
        "traceparent",
        "tracestate",
        "baggage",
        "authorization",
    ] {
        assert!(headers.contains(&header), "{header}: {answer}");
    }
    assert_eq!(values(&answer, "access-control-allow-credentials"), [""; 0]);

    let call = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\norigin: {ORIGIN}\r\n\
         content-type: application/grpc-web+proto\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"
    );
    let answer = over_http_1(&server, &call).await.to_lowercase();
    assert_eq!(values(&answer, "access-control-allow-origin"), [ORIGIN]);
    let exposed = values(&answer, "access-control-expose-headers");
    for header in [
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "x-sharewarden-change-id",
    ] {
        assert!(exposed.contains(&header), "{header}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_cors_headers() {
    let server = server(&[ORIGIN]).await;
    for origin in [
        "https://audit.example.com.evil.example",
        "https://evil.example",
        "http://audit.example.com",
        "https://audit.example.com:8443",
        "null",
        "*",
    ] {
        let answer = preflight(&server, origin).await;
        assert_eq!(values(&answer, "access-control-allow-origin"), [""; 0], "{origin}");
    }
    server.stop().await;
}

/// A browser sends no preflight to the page's own server, and a DNS name may point to this service later (DNS rebinding).
#[tokio::test]
async fn a_page_of_a_forbidden_origin_is_not_authenticated_by_its_principal_header() {
    let server = server(&[ORIGIN]).await;
    for (origin, status) in [("http://evil.example:7443", "16"), ("null", "16"), (ORIGIN, "0")] {
        let request = format!(
            "POST /sharewarden.v1.SharePermissionService/ListImages HTTP/1.1\r\nhost: evil.example:7443\r\nconnection: close\r\norigin: {origin}\r\n\
             content-type: application/grpc-web+proto\r\nx-sharewarden-principal: root\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"
        );
        let answer = over_http_1(&server, &request).await;
        let found = ["grpc-status: ", "grpc-status:"].map(|name| answer.contains(&format!("{name}{status}")));
        assert!(found.contains(&true), "{origin}: {answer}");
    }
    assert_eq!(server.refused(), ["foreign_page"; 2]);
    server.stop().await;
}

#[tokio::test]
async fn without_configured_origins_no_page_may_call() {
    let server = server(&[]).await;
    let answer = preflight(&server, ORIGIN).await;
    assert!(!answer.contains("access-control-"), "{answer}");
    server.stop().await;
}
