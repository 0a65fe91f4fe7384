//! The claims of a token. `tests/grpc_edges` tests signatures, over real sockets.

use serde_json::json;

use super::*;

const NOW: i64 = 1_795_000_000;

fn settings() -> JwtConfig {
    let settings = json!({"issuer": "https://login.example.com", "audience": "sharewarden", "jwks": "any"});
    serde_json::from_value(settings).unwrap()
}

/// Valid claims with these changes. `null` removes a claim.
fn claims(others: Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": "https://login.example.com",
        "aud": "sharewarden",
        "exp": NOW + 60,
        "sub": "build",
    });
    let (Some(all), Value::Object(others)) = (claims.as_object_mut(), others) else {
        panic!("claims are an object");
    };
    for (name, value) in others {
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    all.clone()
}

fn claimed_with(others: Value) -> Result<String, AuthenticationFailure> {
    let now = Timestamp::new(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
    identity_from_claims(&settings(), &claims(others), now).map(|identity| identity.principal.to_string())
}

#[test]
fn valid_claims_name_the_principal() {
    for good in [
        json!({}),
        json!({"aud": ["other", "sharewarden"]}),
        json!({"exp": NOW as f64 + 60.5}),
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 30}),
        json!({"nbf": NOW - 1000, "iat": NOW + 1000}),
    ] {
        assert_eq!(claimed_with(good.clone()).as_deref(), Ok("build"), "{good}");
    }
}

#[test]
fn a_wrong_or_missing_claim_is_refused_with_its_own_reason() {
    use AuthenticationFailure as D;
    for (wrong, why) in [
        (json!({"iss": null}), D::TokenIssuer),
        (json!({"iss": "https://login.example.com/"}), D::TokenIssuer),
        (json!({"iss": ["https://login.example.com"]}), D::TokenIssuer),
        (json!({"aud": null}), D::TokenAudience),
        (json!({"aud": "Sharewarden"}), D::TokenAudience),
        (json!({"aud": []}), D::TokenAudience),
        (json!({"aud": {"sharewarden": 1}}), D::TokenAudience),
        (json!({"exp": null}), D::TokenExpired),
        (json!({"exp": "1795000060"}), D::TokenExpired),
        (json!({"exp": NOW - 30}), D::TokenExpired),
        (json!({"exp": 1e300}), D::TokenExpired),
        (json!({"exp": u64::MAX}), D::TokenExpired),
        (json!({"exp": i64::MIN}), D::TokenExpired),
        (json!({"nbf": NOW + 31}), D::TokenNotYetValid),
        (json!({"nbf": "soon"}), D::TokenNotYetValid),
        (json!({"sub": null}), D::TokenPrincipal),
        (json!({"sub": ""}), D::TokenPrincipal),
        (json!({"sub": "two words"}), D::TokenPrincipal),
        (json!({"sub": 7}), D::TokenPrincipal),
        (json!({"sub": ["build"]}), D::TokenPrincipal),
        (json!({"sub": "x".repeat(257)}), D::TokenPrincipal),
    ] {
        assert_eq!(claimed_with(wrong.clone()), Err(why), "{wrong}");
    }
}

#[test]
fn only_asymmetric_algorithms_are_accepted() {
    for good in ["RS256", "RS512", "PS384", "ES256", "ES384", "EdDSA"] {
        assert!(algorithm(good).is_ok(), "{good}");
    }
    for bad in [
        "none", "None", "NONE", "", "HS256", "HS384", "HS512", "rs256", "ES256K", "RSA1_5",
    ] {
        assert_eq!(
            algorithm(bad).err(),
            Some(AuthenticationFailure::TokenAlgorithm),
            "{bad:?}"
        );
    }
}

#[test]
fn a_header_that_cannot_be_read_is_refused() {
    let encoded = |text: &str| format!("{}.e30.", URL_SAFE_NO_PAD.encode(text));
    for bad in [
        String::new(),
        "....".into(),
        "é".into(),
        encoded("[]"),
        encoded("{}"),
        encoded("{\"alg\":7}"),
        encoded("{\"alg\":\"RS256\",\"alg\":\"none\"}"),
        encoded(&format!(
            "{{\"alg\":\"RS256\",\"x\":\"{}\"}}",
            "x".repeat(MAX_HEADER_BYTES)
        )),
    ] {
        assert_eq!(
            header(&bad).err(),
            Some(AuthenticationFailure::TokenMalformed),
            "{bad:?}"
        );
    }
    assert!(header(&encoded("{\"alg\":\"none\"}")).is_ok());
}
