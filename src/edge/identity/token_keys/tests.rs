//! The selection of keys, and when they are fetched. `tests/grpc_edges` tests the rest over real sockets.

use serde_json::json;

use crate::domain::Timestamp;

use super::*;

/// A public key of Ed25519 (RFC 8037, appendix A.2).
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn ed25519(kid: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid})
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

#[test]
fn only_keys_for_verifying_signatures_are_used() {
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"});
    let nameless = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
    let unknown = json!({"kty": "new", "kid": "unknown"});
    let parsed = KeySet::parse(&set(&[
        secret.clone(),
        nameless.clone(),
        unknown,
        json!("no key"),
        with(ed25519("encrypts"), "use", json!("enc")),
        with(ed25519("signs"), "key_ops", json!(["sign"])),
        with(ed25519("other"), "alg", json!("RS256")),
        with(ed25519("named"), "alg", json!("EdDSA")),
        with(ed25519("used"), "use", json!("sig")),
        ed25519("plain"),
    ]))
    .unwrap();
    assert_eq!(parsed.ids().into_iter().collect::<Vec<_>>(), ["named", "plain", "used"]);
    let key = parsed.find("plain").unwrap();
    assert!(key.for_algorithm(Algorithm::EdDSA).is_ok());
    for other in [Algorithm::RS256, Algorithm::ES256, Algorithm::HS256] {
        assert_eq!(
            key.for_algorithm(other).err(),
            Some(AuthenticationFailure::TokenAlgorithm)
        );
    }
    assert!(matches!(
        KeySet::parse(&set(&[secret, nameless])),
        Err(TokenKeysProblem::NoKey)
    ));
    for text in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert!(
            matches!(KeySet::parse(text.as_bytes()), Err(TokenKeysProblem::NoSet)),
            "{text}"
        );
    }
}

struct Issuer {
    file: tempfile::NamedTempFile,
    clock: Clock,
    keys: TokenKeys,
}

fn settings(jwks: &str) -> JwtConfig {
    let settings = json!({"issuer": "any", "audience": "any", "jwks": jwks, "jwks_max_age": "1h"});
    serde_json::from_value(settings).unwrap()
}

impl Issuer {
    async fn with(keys: &[Value]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), set(keys)).unwrap();
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let keys = TokenKeys::start(settings(file.path().to_str().unwrap()), clock.clone());
        let keys = keys.await.unwrap();
        Self { file, clock, keys }
    }

    fn publish(&self, text: &[u8]) {
        std::fs::write(self.file.path(), text).unwrap();
    }

    async fn find(&self, kid: &str) -> Result<(), AuthenticationFailure> {
        self.keys.find(kid, Algorithm::EdDSA, HERE).await.map(drop)
    }
}

#[tokio::test]
async fn unknown_key_ids_fetch_the_keys_at_most_once_per_retry_interval() {
    let issuer = Issuer::with(&[ed25519("old")]).await;
    assert_eq!(issuer.find("old").await, Ok(()));
    issuer.publish(&set(&[ed25519("old"), ed25519("new")]));
    assert_eq!(
        issuer.find("new").await,
        Err(AuthenticationFailure::TokenKey),
        "it was fetched just now"
    );
    issuer.clock.advance(Duration::from_secs(10));
    assert_eq!(issuer.find("new").await, Ok(()));
    issuer.publish(&set(&[ed25519("old"), ed25519("newer")]));
    assert_eq!(issuer.find("nonsense").await, Err(AuthenticationFailure::TokenKey));
    assert_eq!(issuer.find("newer").await, Err(AuthenticationFailure::TokenKey));
    assert_eq!(issuer.find("new").await, Ok(()), "a known key needs no fetch");
    issuer.clock.advance(Duration::from_secs(10));
    assert_eq!(issuer.find("newer").await, Ok(()));
    assert_eq!(
        issuer.find("new").await,
        Err(AuthenticationFailure::TokenKey),
        "it was withdrawn"
    );
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_stay_until_they_are_too_old() {
    let issuer = Issuer::with(&[ed25519("old")]).await;
    issuer.publish(b"<html>the issuer is being maintained</html>");
    issuer.clock.advance(Duration::from_secs(3600));
    for _ in 0..2 {
        assert_eq!(
            issuer.find("new").await,
            Err(AuthenticationFailure::TokenKeysUnavailable),
            "the key may be new: nobody knows"
        );
    }
    assert_eq!(issuer.find("old").await, Ok(()));
    issuer.clock.advance(Duration::from_secs(1));
    assert_eq!(
        issuer.find("old").await,
        Err(AuthenticationFailure::TokenKeysUnavailable)
    );
    issuer.publish(&set(&[ed25519("old")]));
    issuer.clock.advance(Duration::from_secs(10));
    assert_eq!(issuer.find("old").await, Ok(()));
}

#[tokio::test]
async fn an_unusable_file_fails_the_start_and_an_unreachable_url_does_not() {
    let clock = Clock::system();
    assert!(matches!(
        TokenKeys::start(settings("/no/such/file"), clock.clone()).await,
        Err(TokenKeysProblem::Unreadable { .. })
    ));
    let keys = TokenKeys::start(settings("https://127.0.0.1:1/jwks.json"), clock);
    let keys = keys.await.unwrap();
    assert_eq!(
        keys.find("any", Algorithm::EdDSA, HERE).await.err(),
        Some(AuthenticationFailure::TokenKeysUnavailable)
    );
}
