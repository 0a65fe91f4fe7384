//! Client certificates.

use std::{net::SocketAddr, time::Duration};

use sharewarden::{
    clock::Clock,
    config::{ClientAuth, ServerConfig, TlsConfig},
    edge::ServerTls,
    grpc::{Authenticator, PRINCIPAL},
    telemetry::Instruments,
    worker::Supervisor,
};
use sharewarden_client::proto::v1::{share_permission_service_client::SharePermissionServiceClient, *};
use sharewarden_testkit::credentials::{
    CertificateAuthority, CertifiedKey, LeafCertificate, ServerFiles, host, now, uri,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    transport::{Channel, ClientTlsConfig},
};

use super::server::{Guard, Server};

const TIMEOUT: Duration = Duration::from_secs(20);
const ID: &str = "spiffe://example.org/ns/build/sa/pipeline";

/// A server with TLS, and the authority that it trusts.
struct Secured {
    server: Server,
    files: ServerFiles,
    authority: CertificateAuthority,
    stop: CancellationToken,
    reloading: JoinHandle<()>,
}

impl Secured {
    async fn start(client_auth: ClientAuth) -> Self {
        Self::start_with(client_auth, ServerConfig::default()).await
    }

    async fn start_with(client_auth: ClientAuth, settings: ServerConfig) -> Self {
        let (files, authority) = (ServerFiles::new(), CertificateAuthority::new("one"));
        files.write_certified_key(&authority.server());
        files.write("client-ca.pem", &authority.pem);
        let tls = ServerTls::load(tls_settings(&files, client_auth), Clock::system())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(&Clock::system(), &Instruments::default(), &stop);
        let reloading = tokio::spawn(supervisor.run(tls.clone()));
        let guard = Guard {
            authenticator: Authenticator {
                certificates: true,
                tokens: None,
                trusted_header: true,
                clock: Clock::system(),
            },
            tls: Some(tls),
            ..Guard::default()
        };
        Self {
            server: Server::start_guarded(settings, guard).await,
            files,
            authority,
            stop,
            reloading,
        }
    }

    async fn connect(&self, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
        connect(self.server.address, tls).await
    }

    /// The principal of a call with this certificate.
    async fn known(&self, client: Option<&CertifiedKey>) -> Result<String, Status> {
        let channel = self.connect(self.authority.trusted(client)).await;
        known(channel.map_err(|error| Status::unavailable(error.to_string()))?, None).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.reloading.await.unwrap();
        self.server.stop().await;
    }
}

fn tls_settings(files: &ServerFiles, client_auth: ClientAuth) -> TlsConfig {
    TlsConfig {
        certificate: files.path("certificate.pem"),
        key: files.path("key.pem"),
        client_ca: Some(files.path("client-ca.pem")),
        client_auth,
        reload_every: Duration::from_millis(20),
    }
}

async fn connect(address: SocketAddr, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Channel::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    let endpoint = endpoint.tls_config(tls).unwrap();
    tokio::time::timeout(TIMEOUT, endpoint.connect())
        .await
        .expect("the handshake ends in time")
}

/// The principal of a call on this connection, with or without a principal header.
async fn known(channel: Channel, name: Option<&str>) -> Result<String, Status> {
    let mut request = Request::new(GrantSharePermissionRequest::default());
    if let Some(name) = name {
        request.metadata_mut().insert(PRINCIPAL, name.parse().unwrap());
    }
    let answer = SharePermissionServiceClient::new(channel)
        .grant_share_permission(request)
        .await?;
    Ok(answer.into_inner().change.unwrap().principal)
}

#[tokio::test]
async fn a_client_certificate_names_the_principal() {
    let secured = Secured::start(ClientAuth::Required).await;
    for (subject, names, expected) in [
        ("build", vec![host("build.example.com"), uri(ID)], ID),
        ("build", vec![host("build.example.com")], "build.example.com"),
        ("build pipeline", vec![], "CN=build\\20pipeline"),
    ] {
        let client = secured.authority.client(LeafCertificate {
            subject,
            names,
            ..LeafCertificate::default()
        });
        assert_eq!(secured.known(Some(&client)).await.unwrap(), expected);
    }
    assert_eq!(secured.server.refused(), Vec::<&str>::new());
    secured.end().await;
}

#[tokio::test]
async fn an_invalid_client_certificate_gets_no_connection() {
    let secured = Secured::start(ClientAuth::Required).await;
    let named = || LeafCertificate {
        names: vec![uri(ID)],
        ..LeafCertificate::default()
    };
    let second = Duration::from_secs(1);
    let expired = secured.authority.client(LeafCertificate {
        until: now() - second,
        ..named()
    });
    let not_yet = secured.authority.client(LeafCertificate {
        from: now() + 60 * second,
        ..named()
    });
    let stranger = CertificateAuthority::new("another").client(named());
    // An authority of the same name with another key.
    let forged = CertificateAuthority::new("one").client(named());
    for (client, why) in [
        (Some(&expired), "certificate_expired"),
        (Some(&not_yet), "certificate_not_yet_valid"),
        (Some(&stranger), "certificate_issuer"),
        (Some(&forged), "certificate_issuer"),
        (None, "certificate_missing"),
    ] {
        secured.known(client).await.unwrap_err();
        secured.server.refused_for(why).await;
    }
    // A server certificate is not valid for a client.
    secured.known(Some(&secured.authority.server())).await.unwrap_err();
    secured.server.refused_for("certificate_invalid").await;
    secured.end().await;
}

#[tokio::test]
async fn a_certificate_without_a_principal_is_unauthenticated_without_a_reason() {
    let secured = Secured::start(ClientAuth::Optional).await;
    let nameless = secured.authority.client(LeafCertificate::default());
    let ambiguous = secured.authority.client(LeafCertificate {
        names: vec![uri(ID), uri("spiffe://example.org/another")],
        ..LeafCertificate::default()
    });
    let mut errors = Vec::new();
    for (client, why) in [
        (Some(&nameless), "certificate_name"),
        (Some(&ambiguous), "certificate_name"),
        (None, "missing"),
    ] {
        let status = secured.known(client).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        errors.push((status.message().to_owned(), status.details().to_owned()));
        assert_eq!(secured.server.refused(), [why]);
    }
    assert!(errors.iter().all(|answer| *answer == errors[0]), "{errors:?}");
    secured.end().await;
}

#[tokio::test]
async fn a_name_that_contradicts_the_certificate_is_refused() {
    let secured = Secured::start(ClientAuth::Optional).await;
    let client = secured.authority.client(LeafCertificate {
        names: vec![uri(ID)],
        ..LeafCertificate::default()
    });
    let channel = secured.connect(secured.authority.trusted(Some(&client))).await.unwrap();
    assert_eq!(known(channel.clone(), Some(ID)).await.unwrap(), ID);
    let status = known(channel, Some("root")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(secured.server.refused(), ["contradicting"]);
    let plain = secured.connect(secured.authority.trusted(None)).await.unwrap();
    assert_eq!(known(plain, Some("root")).await.unwrap(), "root", "it comes from here");
    secured.end().await;
}

#[tokio::test]
async fn calls_are_refused_after_the_certificate_of_their_connection_expires() {
    let secured = Secured::start(ClientAuth::Required).await;
    let client = secured.authority.client(LeafCertificate {
        names: vec![uri(ID)],
        until: now() + Duration::from_secs(2),
        ..LeafCertificate::default()
    });
    let channel = secured.connect(secured.authority.trusted(Some(&client))).await.unwrap();
    assert_eq!(known(channel.clone(), None).await.unwrap(), ID);
    let expired = async {
        loop {
            if let Err(status) = known(channel.clone(), None).await {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let status = tokio::time::timeout(TIMEOUT, expired)
        .await
        .expect("the certificate expires in time");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(secured.server.refused(), ["certificate_expired"]);
    drop(channel);
    secured.end().await;
}

#[tokio::test]
async fn new_certificates_are_loaded_and_invalid_ones_are_ignored() {
    let secured = Secured::start(ClientAuth::Optional).await;
    let old = secured.connect(secured.authority.trusted(None)).await.unwrap();
    let next = CertificateAuthority::new("two");

    // The old certificate stays if the key does not match, the file is cut, missing, or the certificate has expired.
    let (one, other) = (next.server(), next.server());
    let expired = next.server_until(now() - Duration::from_secs(60));
    for bad in [
        CertifiedKey {
            key: other.key.clone(),
            ..one.clone()
        },
        CertifiedKey {
            certificate: one.certificate[..100].to_owned(),
            ..one.clone()
        },
        CertifiedKey {
            certificate: String::new(),
            key: String::new(),
        },
        expired,
    ] {
        secured.files.write_certified_key(&bad);
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            secured.connect(secured.authority.trusted(None)).await.unwrap();
        }
    }

    secured.files.write_certified_key(&one);
    let taken_over = async {
        while secured.connect(next.trusted(None)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, taken_over)
        .await
        .expect("the new certificate is loaded in time");
    assert!(
        secured.connect(secured.authority.trusted(None)).await.is_err(),
        "the old one is gone"
    );
    assert_eq!(
        known(old, Some("root")).await.unwrap(),
        "root",
        "an old connection goes on"
    );

    // The authority of client certificates is loaded again too.
    let client = next.client(LeafCertificate {
        names: vec![uri(ID)],
        ..LeafCertificate::default()
    });
    secured.files.write("client-ca.pem", &next.pem);
    let trusted = async {
        loop {
            if let Ok(channel) = secured.connect(next.trusted(Some(&client))).await
                && let Ok(name) = known(channel, None).await
            {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(
        tokio::time::timeout(TIMEOUT, trusted)
            .await
            .expect("the new authority is trusted in time"),
        ID
    );
    secured.end().await;
}

#[tokio::test]
async fn unusable_tls_files_are_reported_at_the_start() {
    let (files, authority) = (ServerFiles::new(), CertificateAuthority::new("one"));
    let load = async || {
        let loaded = ServerTls::load(tls_settings(&files, ClientAuth::Required), Clock::system()).await;
        loaded.map(drop).unwrap_err().to_string()
    };
    assert!(load().await.contains("server.tls.certificate"));
    files.write_certified_key(&authority.server());
    assert!(load().await.contains("server.tls.client_ca"));
    files.write("client-ca.pem", "no certificate");
    assert!(load().await.contains("server.tls.client_ca"));
    files.write("client-ca.pem", &authority.pem);
    files.write("key.pem", &authority.server().key);
    assert!(load().await.contains("server.tls.key"));
    files.write_certified_key(&authority.server_until(now() - Duration::from_secs(60)));
    assert!(load().await.contains("not valid yet"));
}

#[tokio::test]
async fn a_stalled_handshake_frees_its_slot_and_blocks_nobody() {
    let settings = ServerConfig {
        max_connections: 2,
        handshake_timeout: Duration::from_millis(300),
        ..ServerConfig::default()
    };
    let secured = Secured::start_with(ClientAuth::Optional, settings).await;
    let address = secured.server.address;
    let mut silent = TcpStream::connect(address).await.unwrap();
    // Meanwhile the other slot serves other clients.
    let channel = secured.connect(secured.authority.trusted(None)).await.unwrap();
    assert_eq!(known(channel.clone(), Some("root")).await.unwrap(), "root");
    // The first bytes of a TLS record, and then nothing.
    silent.write_all(&[0x16, 3, 1, 2]).await.unwrap();
    let ended = tokio::time::timeout(TIMEOUT, silent.read(&mut [0; 16])).await;
    assert!(matches!(
        ended.expect("the connection is closed in time"),
        Ok(0) | Err(_)
    ));
    secured.server.refused_for("handshake").await;
    // Both slots were taken; now one is free again.
    let second = async {
        while secured.connect(secured.authority.trusted(None)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, second)
        .await
        .expect("a slot is free again");
    drop(channel);
    secured.end().await;
}

#[tokio::test]
async fn a_plaintext_client_gets_no_plaintext_answer() {
    let secured = Secured::start(ClientAuth::Optional).await;
    let mut plain = TcpStream::connect(secured.server.address).await.unwrap();
    plain
        .write_all(b"POST /sharewarden.v1.SharePermissionService/ListImages HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, plain.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is closed in time");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    secured.server.refused_for("handshake").await;
    secured.end().await;
}
