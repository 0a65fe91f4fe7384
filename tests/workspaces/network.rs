//! The classification of a call without an answer: was it sent or not?

use std::time::Duration;

use sharewarden::{
    domain::{Access, AwsErrorKind},
    workspaces::{WorkSpaces, WorkSpacesSettings},
};
use tokio::net::TcpListener;

use crate::{
    assert_fault, connect, key, settings,
    upstream::{ScriptedAnswer, Upstream, answer},
};

const SOON: Duration = Duration::from_millis(200);

async fn grant(settings: &WorkSpacesSettings) -> sharewarden::domain::AwsResponse<()> {
    let workspaces = WorkSpaces::connect(settings).await.unwrap();
    workspaces
        .update_image_permission(&key(), Access::Shared, || true)
        .await
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_fault(grant(&settings(&url)).await, AwsErrorKind::NotSent, "ConnectionRefused");
}

#[tokio::test]
async fn an_unknown_host_is_not_sent() {
    let fault = crate::fault(grant(&settings("http://workspaces.invalid")).await);
    assert_eq!(fault.kind, AwsErrorKind::NotSent, "{fault:?}");
}

#[tokio::test]
async fn a_failed_tls_handshake_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"not TLS at all\r\n\r\n")
                .await
                .unwrap();
        }
    });
    assert_fault(grant(&settings(&url)).await, AwsErrorKind::NotSent, "ConnectionFailed");
    server.abort();
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_is_not_sent_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&format!("https://{}", listener.local_addr().unwrap()));
    settings.forwarder.attempt_timeout = SOON * 3;
    assert_fault(grant(&settings).await, AwsErrorKind::NotSent, "ConnectTimeout");
}

#[tokio::test]
async fn a_connection_reset_after_the_request_is_unknown() {
    let upstream = Upstream::start(|_| ScriptedAnswer::Reset).await;
    assert_fault(
        grant(&settings(&upstream.url)).await,
        AwsErrorKind::Unknown,
        "ConnectionReset",
    );
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_closed_after_the_request_is_unknown() {
    let upstream = Upstream::start(|_| ScriptedAnswer::Close).await;
    assert_fault(
        grant(&settings(&upstream.url)).await,
        AwsErrorKind::Unknown,
        "ConnectionLost",
    );
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_unknown() {
    let upstream = Upstream::start(|_| ScriptedAnswer::SendAndClose("SSH-2.0-OpenSSH_9.2\r\n".into())).await;
    let fault = crate::fault(grant(&settings(&upstream.url)).await);
    assert_eq!(fault.kind, AwsErrorKind::Unknown, "{fault:?}");
}

#[tokio::test]
async fn no_answer_within_the_attempt_timeout_is_unknown() {
    const STALLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    let scripts: [fn() -> ScriptedAnswer; 2] = [|| ScriptedAnswer::Hang, || ScriptedAnswer::Send(STALLED.into())];
    for script in scripts {
        let upstream = Upstream::start(move |_| script()).await;
        let mut settings = settings(&upstream.url);
        settings.forwarder.attempt_timeout = SOON * 3;
        assert_fault(grant(&settings).await, AwsErrorKind::Unknown, "Timeout");
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_broke_while_idle_is_replaced_without_a_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // Answers one request on each connection with keep-alive, and closes it all the same.
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8192];
            tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap();
            let bytes = answer(200, &[("Connection", "keep-alive")], "{}");
            tokio::io::AsyncWriteExt::write_all(&mut stream, bytes.as_bytes())
                .await
                .unwrap();
        }
    });
    let workspaces = connect(&url).await;
    for _ in 0..2 {
        let response = workspaces
            .update_image_permission(&key(), Access::Shared, || true)
            .await;
        assert_eq!(response.result, Ok(()));
        // The server closed right after its answer. One turn of the loop lets the pool notice it.
        tokio::task::yield_now().await;
    }
    server.abort();
}
