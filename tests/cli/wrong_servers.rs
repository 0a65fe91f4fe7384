//! What answers at --server is not the service, or not in the way that the URL says. The error names it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use sharewarden::{
    clock::Clock,
    config::{ClientAuth, TlsConfig},
    edge::ServerTls,
};
use sharewarden_testkit::credentials::{CertificateAuthority, CertifiedKey, LeafCertificate, now};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    answers::error,
    harness::{WHICH, run_at},
    service::{Answer, Service},
};

/// Gives each connection to `serve`, until the tasks are dropped.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    // All addresses of the loopback interface, so that a certificate can be for another one.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, tasks)
}

/// A TLS port whose certificate is for `localhost` and `127.0.0.1`, and the file of its authority.
async fn tls_port(folder: &TempDir, authority: &str) -> (SocketAddr, JoinSet<()>, PathBuf) {
    let authority = CertificateAuthority::new(authority);
    let server = authority.server();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let settings = TlsConfig {
        certificate: file("server.crt", &server.certificate),
        key: file("server.key", &server.key),
        client_ca: None,
        client_auth: ClientAuth::None,
        reload_every: std::time::Duration::from_secs(10),
    };
    let tls = ServerTls::load(settings, Clock::system()).await.unwrap();
    let (address, tasks) = listen(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(mut stream) = tls.accept(stream).await {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await;
    (address, tasks, file("ca.crt", &authority.pem))
}

/// A TLS port that requires a client certificate, and what a command gives to it.
async fn port_with_client_certificates(
    authority: &CertificateAuthority,
    client: &CertifiedKey,
) -> (TempDir, SocketAddr, JoinSet<()>, String) {
    let folder = TempDir::new().unwrap();
    let server = authority.server();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = file("ca.crt", &authority.pem);
    let settings = TlsConfig {
        certificate: file("server.crt", &server.certificate),
        key: file("server.key", &server.key),
        client_ca: Some(ca.clone()),
        client_auth: ClientAuth::Required,
        reload_every: std::time::Duration::from_secs(10),
    };
    let options = format!(
        "--tls-ca {} --tls-certificate {} --tls-key {}",
        ca.display(),
        file("client.crt", &client.certificate).display(),
        file("client.key", &client.key).display(),
    );
    let tls = ServerTls::load(settings, Clock::system()).await.unwrap();
    let (address, tasks) = listen(move |stream| {
        let tls = tls.clone();
        async move {
            if let Ok(mut stream) = tls.accept(stream).await {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await;
    (folder, address, tasks, options)
}

#[tokio::test]
async fn a_client_certificate_that_the_service_refuses_is_a_refusal_with_its_cause() {
    let authority = CertificateAuthority::new("one");
    let expired = LeafCertificate {
        subject: "alice",
        until: now() - std::time::Duration::from_secs(60),
        ..LeafCertificate::default()
    };
    let strange = CertificateAuthority::new("other").client(LeafCertificate::default());
    for (client, cause) in [
        (authority.client(expired), "it has expired"),
        (strange, "the authority that signed it"),
    ] {
        let (_folder, address, _tasks, options) = port_with_client_certificates(&authority, &client).await;
        let text = refused_with(4, &format!("https://localhost:{}", address.port()), &options).await;
        let start = format!("https://localhost:{} refuses the client certificate: ", address.port());
        assert!(text.starts_with(&start) && text.contains(cause), "{text}");
        assert!(!text.contains("--request-id"), "nothing was accepted: {text}");
    }
}

#[tokio::test]
async fn an_expired_certificate_of_the_service_needs_its_operators() {
    let authority = CertificateAuthority::new("one");
    let folder = TempDir::new().unwrap();
    let server = authority.server_until(now() - std::time::Duration::from_secs(60));
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let settings = TlsConfig {
        certificate: file("server.crt", &server.certificate),
        key: file("server.key", &server.key),
        client_ca: None,
        client_auth: ClientAuth::None,
        reload_every: std::time::Duration::from_secs(10),
    };
    // The service took it while it was valid.
    let ca = file("ca.crt", &authority.pem);
    let tls = ServerTls::load(settings, Clock::system_off_by(-120)).await.unwrap();
    let (address, _tasks) = listen(move |stream| {
        let tls = tls.clone();
        async move {
            let _ = tls.accept(stream).await;
        }
    })
    .await;
    let server = format!("https://localhost:{}", address.port());
    let text = refused_with(7, &server, &format!("--tls-ca {}", ca.display())).await;
    assert!(
        text.contains("it has expired") && text.contains("operators of the service"),
        "{text}"
    );
}

/// The error of a grant at a URL that is wrong, which no repetition makes right.
async fn refused(server: &str, more: &str) -> String {
    refused_with(2, server, more).await
}

async fn refused_with(exit: u8, server: &str, more: &str) -> String {
    let (code, text) = run_at(server, &format!("grant {WHICH} --reason x {more}"))
        .await
        .failure();
    assert_eq!(code, exit, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[tokio::test]
async fn http_to_a_tls_port_is_named() {
    let folder = TempDir::new().unwrap();
    let (address, _tasks, _) = tls_port(&folder, "one").await;
    let text = refused(&format!("http://{address}"), "").await;
    let start = format!("{address} uses TLS, and --server begins with http://; begin --server with https://");
    assert!(text.starts_with(&start), "{text}");
}

#[tokio::test]
async fn https_to_a_port_without_tls_is_named() {
    let folder = TempDir::new().unwrap();
    let (_, _tasks, ca) = tls_port(&folder, "one").await;
    let service = Service::answering([]).await;
    let address = service.address;
    let text = refused(&format!("https://{address}"), &format!("--tls-ca {}", ca.display())).await;
    let start = format!("{address} uses no TLS, and --server begins with https://; begin --server with http://");
    assert!(text.starts_with(&start), "{text}");
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_explained() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (address, _tasks, ca) = tls_port(&folder, "one").await;
    let (_, _others, other_ca) = tls_port(&other, "other").await;
    let server = format!("https://localhost:{}", address.port());
    let text = refused(&server, &format!("--tls-ca {}", other_ca.display())).await;
    assert!(text.contains("its authority is not trusted here"), "{text}");
    assert!(text.contains("; name the authority with --tls-ca FILE"), "{text}");
    if cfg!(target_os = "linux") {
        let server = format!("https://127.0.0.2:{}", address.port());
        let text = refused(&server, &format!("--tls-ca {}", ca.display())).await;
        assert!(text.contains("it is for another name"), "{text}");
    }
}

#[tokio::test]
async fn something_else_that_answers_is_named() {
    for (said, exit, named) in [
        (
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
            2,
            "answers in HTTP/1: it is another service, or a proxy",
        ),
        (
            "SSH-2.0-OpenSSH_9.6\r\n",
            2,
            "speaks neither HTTP/2 nor TLS; check the host and the port",
        ),
        // A load balancer does this while the service behind it does not run.
        (
            "",
            6,
            "closes the connection: it is not the service, or a load balancer",
        ),
    ] {
        let (address, _tasks) = listen(move |mut stream| async move {
            let _ = stream.read(&mut [0; 16]).await;
            let _ = stream.write_all(said.as_bytes()).await;
        })
        .await;
        let text = refused_with(exit, &format!("http://{address}"), "").await;
        assert!(
            text.starts_with(&address.to_string()) && text.contains(named),
            "{said}: {text}"
        );
    }
}

#[tokio::test]
async fn something_that_says_nothing_is_named_at_the_timeout() {
    let (address, _tasks) = listen(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let line = format!("grant {WHICH} --reason x --timeout 100ms");
    let (_, text) = run_at(&format!("http://{address}"), &line).await.failure();
    assert!(text.starts_with(&format!("{address} does not answer")), "{text}");
    assert!(text.contains("repeat it safely with the same request id"), "{text}");
}

#[tokio::test]
async fn an_error_of_the_service_itself_is_not_looked_into() {
    let reason = sharewarden::proto::v1::ErrorReason::AuditStoreUnavailable;
    let away = || {
        Answer::Refuse(error(
            tonic::Code::Unavailable,
            reason,
            "The store is away; try again.",
            &[],
        ))
    };
    let service = Service::answering([away(), away(), away()]).await;
    let (connections, to) = (Arc::new(AtomicUsize::new(0)), service.address);
    let counted = connections.clone();
    let (address, _tasks) = listen(move |mut stream| {
        counted.fetch_add(1, Relaxed);
        async move {
            let mut service = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut service).await;
        }
    })
    .await;
    let text = refused_with(6, &format!("http://{address}"), "").await;
    assert_eq!(connections.load(Relaxed), 1, "a look needs a connection of its own");
    assert!(
        text.starts_with("The store is away (AUDIT_STORE_UNAVAILABLE); try again later"),
        "{text}"
    );
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_a_mistake_of_the_command_line() {
    // A resolver without a network says that it cannot tell now. That may pass, so it has another exit code.
    let is_known = tokio::net::lookup_host("no-such-host.invalid:1").await;
    let is_certain = is_known.is_err_and(|error| !error.to_string().contains("emporary"));
    let exit = if is_certain { 2 } else { 6 };
    let text = refused_with(exit, "http://no-such-host.invalid:1", "").await;
    assert!(
        text.contains("no-such-host.invalid") && text.contains("check --server"),
        "{text}"
    );
    assert_eq!(text.contains("there is no host"), is_certain, "{text}");
}
