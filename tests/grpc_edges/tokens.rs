//! Bearer tokens.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use sharewarden::{
    clock::Clock,
    config::{ClientAuth, JwtConfig, ServerConfig, TlsConfig},
    edge::{ServerTls, TokenKeys, Tokens},
    grpc::{Authenticator, PRINCIPAL},
};
use sharewarden_client::proto::v1::{share_permission_service_client::SharePermissionServiceClient, *};
use sharewarden_testkit::credentials::{
    AUDIENCE, CertificateAuthority, ISSUER, LeafCertificate, ServerFiles, TokenKey, claims, encoded, jwks, now, uri,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::server::{Guard, Server};

const TIMEOUT: Duration = Duration::from_secs(60);

/// The authentication for tokens of an issuer.
async fn tokens(jwks: &str, jwks_ca: Option<PathBuf>, jwks_retry: Duration) -> Tokens {
    let settings = JwtConfig {
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        jwks: jwks.into(),
        jwks_ca,
        jwks_refresh: Duration::from_secs(3600),
        jwks_retry,
        jwks_max_age: Duration::from_secs(3600),
        principal_claim: "sub".into(),
        leeway: Duration::from_secs(30),
    };
    let keys = TokenKeys::start(settings.clone(), Clock::system()).await.unwrap();
    Tokens::new(settings, keys, Clock::system())
}

async fn tokens_of_a_file(file: PathBuf) -> Tokens {
    tokens(file.to_str().unwrap(), None, Duration::from_secs(3600)).await
}

fn by_tokens(tokens: Tokens) -> Guard {
    Guard {
        authenticator: Authenticator {
            certificates: false,
            tokens: Some(tokens),
            trusted_header: false,
            clock: Clock::system(),
        },
        ..Guard::default()
    }
}

/// A server that trusts the keys in a file.
async fn server(keys: &[&TokenKey]) -> (Server, ServerFiles) {
    let files = ServerFiles::new();
    let file = files.write("jwks.json", &jwks(keys));
    let tokens = tokens_of_a_file(file).await;
    (
        Server::start_guarded(ServerConfig::default(), by_tokens(tokens)).await,
        files,
    )
}

/// The principal of a call with these values of `authorization`.
async fn known_by(channel: Channel, values: &[&str]) -> Result<String, Status> {
    let mut request = Request::new(GrantSharePermissionRequest::default());
    for value in values {
        request.metadata_mut().append("authorization", value.parse().unwrap());
    }
    // The server does not trust this header here, so it has no effect.
    request.metadata_mut().insert(PRINCIPAL, "root".parse().unwrap());
    let answer = SharePermissionServiceClient::new(channel)
        .grant_share_permission(request)
        .await?;
    Ok(answer.into_inner().change.unwrap().principal)
}

async fn known(channel: &Channel, token: &str) -> Result<String, Status> {
    known_by(channel.clone(), &[&format!("Bearer {token}")]).await
}

/// A token with any header and an invalid signature.
fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |part: &Value| encoded(part.to_string().as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn a_token_of_the_issuer_names_the_principal() {
    let (one, two) = (TokenKey::es256("one"), TokenKey::ed25519("two"));
    let (server, _files) = server(&[&one, &two]).await;
    let channel = server.channel().await;
    for key in [&one, &two] {
        let token = key.sign(&claims(json!({})));
        assert_eq!(known(&channel, &token).await.unwrap(), "pipeline@example.com");
    }
    // The clock of the issuer may differ by 30 s.
    for (claim, seconds) in [("exp", -20), ("nbf", 20)] {
        let token = one.sign(&claims(json!({ claim: now().unix_timestamp() + seconds })));
        assert_eq!(
            known(&channel, &token).await.unwrap(),
            "pipeline@example.com",
            "{claim}"
        );
    }
    assert_eq!(server.refused(), Vec::<&str>::new());
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_error() {
    let (key, stranger) = (TokenKey::es256("one"), TokenKey::es256("one"));
    let edwards = TokenKey::ed25519("two");
    let (server, _files) = server(&[&key, &edwards]).await;
    let channel = server.channel().await;
    let good = claims(json!({}));
    let seconds = |seconds: i64| now().unix_timestamp() + seconds;
    let signed = key.sign(&good);
    let (head, signature) = signed.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let root = encoded(claims(json!({"sub": "root"})).to_string().as_bytes());
    let with_header = |header: Value| unsigned(&header, &good, signature);
    let hmac = |secret: &[u8]| {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some("one".into());
        jsonwebtoken::encode(&header, &good, &jsonwebtoken::EncodingKey::from_secret(secret)).unwrap()
    };
    let refused = [
        (key.sign(&claims(json!({"exp": seconds(-40)}))), "token_expired"),
        (key.sign(&claims(json!({"exp": null}))), "token_expired"),
        (key.sign(&claims(json!({"nbf": seconds(40)}))), "token_not_yet_valid"),
        (key.sign(&claims(json!({"aud": "another"}))), "token_audience"),
        (key.sign(&claims(json!({"aud": null}))), "token_audience"),
        (
            key.sign(&claims(json!({"iss": "https://evil.example.com"}))),
            "token_issuer",
        ),
        (key.sign(&claims(json!({"sub": null}))), "token_principal"),
        (key.sign(&claims(json!({"sub": "two words"}))), "token_principal"),
        (
            key.sign(&claims(json!({"sub": "spiffe://example.org/ns/build/../admin"}))),
            "token_principal",
        ),
        (key.sign_as("three", &good), "token_key"),
        (stranger.sign(&good), "token_signature"),
        (format!("{header}.{root}.{signature}"), "token_signature"),
        (format!("{head}."), "token_signature"),
        (edwards.sign_as("one", &good), "token_algorithm"),
        (
            unsigned(&json!({"alg": "none", "kid": "one"}), &good, ""),
            "token_algorithm",
        ),
        (unsigned(&json!({"alg": "None"}), &good, ""), "token_algorithm"),
        // The public key as the secret of an HMAC, in all of its public encodings.
        (hmac(key.pair.public_key_pem().as_bytes()), "token_algorithm"),
        (hmac(key.pair.public_key_raw()), "token_algorithm"),
        (hmac(b""), "token_algorithm"),
        (with_header(json!({"alg": "ES256"})), "token_key"),
        (
            with_header(json!({"alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false})),
            "token_malformed",
        ),
        // A key inside the token is not used.
        (
            with_header(json!({"alg": "ES256", "kid": "x", "jwk": stranger.jwk()})),
            "token_key",
        ),
        (
            with_header(json!({"alg": "ES256", "kid": "../../etc/passwd", "jku": "https://127.0.0.1:1/"})),
            "token_key",
        ),
        ("no-token".into(), "token_malformed"),
        ("a.b.c".into(), "token_malformed"),
        (format!("{signed}.{signature}"), "token_malformed"),
    ];
    let mut errors = Vec::new();
    for (token, why) in &refused {
        let status = known(&channel, token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{why}: {token}");
        assert_eq!(server.refused(), [*why], "{token}");
        errors.push((status.message().to_owned(), status.details().to_owned()));
    }
    for (values, why) in [
        (&[][..], "missing"),
        (&["Basic cm9vdDpyb290"], "malformed"),
        (
            &[&*format!("Bearer {signed}"), &*format!("Bearer {signed}")],
            "malformed",
        ),
    ] {
        let status = known_by(channel.clone(), values).await.unwrap_err();
        assert_eq!((status.code(), server.refused()), (Code::Unauthenticated, vec![why]));
        errors.push((status.message().to_owned(), status.details().to_owned()));
    }
    assert!(errors.iter().all(|answer| *answer == errors[0]), "{errors:?}");
    assert_eq!(
        known(&channel, &signed).await.unwrap(),
        "pipeline@example.com",
        "the good one is good"
    );
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn rsa_signatures_verify_and_an_rsa_public_key_is_not_an_hmac_secret() {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let pem = pair.serialize_pem();
    let signing = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&signing, jsonwebtoken::Algorithm::RS256).unwrap();
    jwk.common.key_id = Some("rsa".into());
    // All algorithms of the RSA family.
    jwk.common.key_algorithm = None;
    let files = ServerFiles::new();
    let file = files.write("jwks.json", &json!({ "keys": [jwk] }).to_string());
    let tokens = tokens_of_a_file(file).await;
    let server = Server::start_guarded(ServerConfig::default(), by_tokens(tokens)).await;
    let channel = server.channel().await;
    let signed = |algorithm, key: &jsonwebtoken::EncodingKey| {
        let mut header = jsonwebtoken::Header::new(algorithm);
        header.kid = Some("rsa".into());
        jsonwebtoken::encode(&header, &claims(json!({})), key).unwrap()
    };
    for algorithm in [jsonwebtoken::Algorithm::RS256, jsonwebtoken::Algorithm::PS512] {
        let token = signed(algorithm, &signing);
        assert_eq!(known(&channel, &token).await.unwrap(), "pipeline@example.com");
    }
    let secret = jsonwebtoken::EncodingKey::from_secret(pair.public_key_pem().as_bytes());
    known(&channel, &signed(jsonwebtoken::Algorithm::HS256, &secret))
        .await
        .unwrap_err();
    assert_eq!(server.refused(), ["token_algorithm"]);
    drop(channel);
    server.stop().await;
}

/// An issuer that lists its keys over https.
struct Issuer {
    url: String,
    authority: CertificateAuthority,
    files: ServerFiles,
    listed: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    hangs: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Issuer {
    async fn listing(keys: &[&TokenKey]) -> Self {
        let (authority, files) = (CertificateAuthority::new("issuer"), ServerFiles::new());
        files.write_certified_key(&authority.server());
        files.write("ca.pem", &authority.pem);
        let settings = TlsConfig {
            certificate: files.path("certificate.pem"),
            key: files.path("key.pem"),
            client_ca: None,
            client_auth: ClientAuth::None,
            reload_every: Duration::from_secs(10),
        };
        let tls = ServerTls::load(settings, Clock::system()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/jwks.json", listener.local_addr().unwrap().port());
        let (listed, asked) = (Arc::new(Mutex::new(jwks(keys))), Arc::new(AtomicUsize::new(0)));
        let hangs = watch::Sender::new(false);
        let serving = tokio::spawn(list(listener, tls, listed.clone(), asked.clone(), hangs.subscribe()));
        Self {
            url,
            authority,
            files,
            listed,
            asked,
            hangs,
            serving,
        }
    }

    /// Waits until it was asked this number of times.
    async fn is_asked(&self, times: usize) {
        let asked = async {
            while self.asked() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, asked).await.expect("it is asked in time");
    }

    /// The authentication for its tokens.
    async fn tokens(&self, retry: Duration) -> Tokens {
        tokens(&self.url, Some(self.files.path("ca.pem")), retry).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers every HTTP/1.1 request with the listed keys, when it does not hang.
async fn list(
    listener: TcpListener,
    tls: ServerTls,
    listed: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    mut hangs: watch::Receiver<bool>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = tls.accept(stream).await else {
            continue;
        };
        asked.fetch_add(1, Ordering::SeqCst);
        hangs.wait_for(|hangs| !hangs).await.unwrap();
        let body = listed.lock().unwrap().clone();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn rotated_keys_are_fetched_and_unknown_key_ids_do_not_repeat_the_fetch() {
    let (one, two) = (TokenKey::es256("one"), TokenKey::es256("two"));
    let issuer = Issuer::listing(&[&one]).await;
    let retry = Duration::from_secs(1);
    let guard = by_tokens(issuer.tokens(retry).await);
    let server = Server::start_guarded(ServerConfig::default(), guard).await;
    let channel = server.channel().await;
    assert_eq!(
        known(&channel, &one.sign(&claims(json!({})))).await.unwrap(),
        "pipeline@example.com"
    );
    assert_eq!(issuer.asked(), 1, "at the start");

    *issuer.listed.lock().unwrap() = jwks(&[&two]);
    let token = two.sign(&claims(json!({})));
    let rotated = async { while known(&channel, &token).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), rotated)
        .await
        .expect("the new key is fetched in time");
    assert_eq!(issuer.asked(), 2);
    // The old key is no longer listed.
    known(&channel, &one.sign(&claims(json!({})))).await.unwrap_err();
    assert!(server.refused().ends_with(&["token_key"]));

    let (clock, before) = (Clock::system(), issuer.asked());
    let begun = clock.monotonic_now();
    let flood = (0..200).map(|number| {
        let (token, channel) = (
            one.sign_as(&format!("unknown-{number}"), &claims(json!({}))),
            channel.clone(),
        );
        async move { known(&channel, &token).await.unwrap_err() }
    });
    futures_util::future::join_all(flood).await;
    let (asked, passed) = (issuer.asked() - before, clock.monotonic_now().since(begun));
    assert!(
        asked as u64 <= passed.as_secs() + 1,
        "asked {asked} times for 200 unknown keys in {passed:?}"
    );
    drop(channel);
    server.stop().await;
}

fn is_unverifiable(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    (status.code(), reason) == (Code::Unavailable, Some("TOKEN_KEYS_UNAVAILABLE"))
        && details.retry_info().is_some()
        && status.metadata().contains_key("grpc-retry-pushback-ms")
}

#[tokio::test]
async fn while_the_issuer_hangs_unknown_keys_take_no_place_of_a_call_and_known_keys_do_not_wait() {
    const CALLS: usize = 200;
    const WAITING: usize = 16;
    let key = TokenKey::es256("one");
    let issuer = Issuer::listing(&[&key]).await;
    let guard = by_tokens(issuer.tokens(Duration::ZERO).await);
    let settings = ServerConfig {
        max_calls: 1,
        ..ServerConfig::default()
    };
    let server = Server::start_guarded(settings, guard).await;
    let (channel, others) = (server.channel().await, server.channel().await);
    issuer.hangs.send_replace(true);
    let unknown = (0..CALLS).map(|number| {
        let token = key.sign_as(&format!("unknown-{number}"), &claims(json!({})));
        let channel = others.clone();
        async move { known(&channel, &token).await.unwrap_err() }
    });
    let mut unknown: FuturesUnordered<_> = unknown.collect();
    for _ in 0..CALLS - WAITING {
        let refused = unknown.next().await.unwrap();
        assert!(is_unverifiable(&refused), "{refused:?}");
    }
    issuer.is_asked(2).await;
    let elsewhere = server.channel_from([127, 0, 0, 2]).await;
    let unknown_elsewhere = key.sign_as("unknown-elsewhere", &claims(json!({})));
    let mut waits = Box::pin(async { known(&elsewhere, &unknown_elsewhere).await.unwrap_err() });
    let token = key.sign(&claims(json!({})));
    let unanswered = |unknown: &mut FuturesUnordered<_>| unknown.next().now_or_never().is_none();
    for _ in 0..20 {
        assert_eq!(known(&channel, &token).await.unwrap(), "pipeline@example.com");
        assert!(unanswered(&mut unknown), "they wait for the issuer");
        assert!((&mut waits).now_or_never().is_none(), "another network waits too");
    }
    assert_eq!(issuer.asked(), 2, "at the start, and once for all unknown keys");
    issuer.hangs.send_replace(false);
    assert_eq!(waits.await.code(), Code::Unauthenticated);
    while let Some(refused) = unknown.next().await {
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    drop((channel, others, elsewhere));
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_disconnects_does_not_end_the_fetch_for_the_others() {
    let (one, two) = (TokenKey::es256("one"), TokenKey::es256("two"));
    let issuer = Issuer::listing(&[&one]).await;
    let guard = by_tokens(issuer.tokens(Duration::from_secs(1)).await);
    let server = Server::start_guarded(ServerConfig::default(), guard).await;
    let channel = server.channel().await;
    issuer.hangs.send_replace(true);
    *issuer.listed.lock().unwrap() = jwks(&[&one, &two]);
    let token = two.sign(&claims(json!({})));
    let begun = async {
        while issuer.asked() < 2 {
            let call = known(&channel, &token);
            // The call is dropped, as if its caller had disconnected.
            let _ = tokio::time::timeout(Duration::from_millis(50), call).await;
        }
    };
    tokio::time::timeout(TIMEOUT, begun).await.expect("the fetch begins");
    // The answers show that the server has seen the end of the call.
    for _ in 0..3 {
        known(&channel, &one.sign(&claims(json!({})))).await.unwrap();
    }
    issuer.hangs.send_replace(false);
    assert_eq!(known(&channel, &token).await.unwrap(), "pipeline@example.com");
    assert_eq!(issuer.asked(), 2);
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn keys_are_not_accepted_from_an_untrusted_server() {
    let key = TokenKey::es256("one");
    let issuer = Issuer::listing(&[&key]).await;
    let other = ServerFiles::new();
    let ca = other.write("ca.pem", &CertificateAuthority::new("another").pem);
    let guard = by_tokens(tokens(&issuer.url, Some(ca), Duration::from_millis(100)).await);
    let server = Server::start_guarded(ServerConfig::default(), guard).await;
    let channel = server.channel().await;
    let status = known(&channel, &key.sign(&claims(json!({})))).await.unwrap_err();
    assert!(is_unverifiable(&status), "{status:?}");
    assert_eq!(server.refused(), ["token_keys_unavailable"]);
    assert_eq!(issuer.asked(), 0, "the handshake failed");
    assert!(!issuer.authority.pem.is_empty());
    drop(channel);
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_and_a_token_must_name_the_same_principal() {
    const ID: &str = "spiffe://example.org/build";
    let (key, authority, files) = (
        TokenKey::es256("one"),
        CertificateAuthority::new("one"),
        ServerFiles::new(),
    );
    files.write_certified_key(&authority.server());
    let settings = TlsConfig {
        certificate: files.path("certificate.pem"),
        key: files.path("key.pem"),
        client_ca: Some(files.write("client-ca.pem", &authority.pem)),
        client_auth: ClientAuth::Optional,
        reload_every: Duration::from_secs(10),
    };
    let file = files.write("jwks.json", &jwks(&[&key]));
    let guard = Guard {
        authenticator: Authenticator {
            certificates: true,
            tokens: Some(tokens_of_a_file(file).await),
            trusted_header: false,
            clock: Clock::system(),
        },
        tls: Some(ServerTls::load(settings, Clock::system()).await.unwrap()),
        ..Guard::default()
    };
    let server = Server::start_guarded(ServerConfig::default(), guard).await;
    let connect = async |client: Option<&sharewarden_testkit::credentials::CertifiedKey>| {
        let endpoint = Channel::from_shared(format!("https://localhost:{}", server.address.port())).unwrap();
        endpoint
            .tls_config(authority.trusted(client))
            .unwrap()
            .connect()
            .await
            .unwrap()
    };
    let client = authority.client(LeafCertificate {
        names: vec![uri(ID)],
        ..LeafCertificate::default()
    });
    let (with, without) = (connect(Some(&client)).await, connect(None).await);
    let same = key.sign(&claims(json!({"sub": ID})));
    let other = key.sign(&claims(json!({})));
    let expired = key.sign(&claims(json!({"sub": ID, "exp": 1})));
    assert_eq!(known_by(with.clone(), &[]).await.unwrap(), ID);
    assert_eq!(known(&with, &same).await.unwrap(), ID);
    assert_eq!(known(&without, &other).await.unwrap(), "pipeline@example.com");
    assert_eq!(server.refused(), Vec::<&str>::new());
    known(&with, &other).await.unwrap_err();
    known(&with, &expired).await.unwrap_err();
    known_by(without.clone(), &[]).await.unwrap_err();
    assert_eq!(server.refused(), ["contradicting", "token_expired", "missing"]);
    drop((with, without));
    server.stop().await;
}
