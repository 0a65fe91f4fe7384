//! The claims of a token. `tests/grpc_edges` tests signatures, over real sockets.

use serde_json::json;

use super::*;

const NOW: i64 = 1_795_000_000;

fn settings() -> JwtConfig {
    let settings = json!({"issuer": "https://login.example.com", "audience": "sharewarden", "jwks": "any"});
    serde_json::from_value(settings).unwrap()
}

/// Valid claims with these changes. `null` removes a claim.
fn claims(changes: Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": "https://login.example.com",
        "aud": "sharewarden",
        "exp": NOW + 60,
        "sub": "build",
    });
    let (Some(all), Value::Object(changes)) = (claims.as_object_mut(), changes) else {
        panic!("claims are an object");
    };
    for (name, value) in changes {
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    all.clone()
}

fn principal_of_claims_with(changes: Value) -> Result<String, AuthenticationFailure> {
    let now = Timestamp::new(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
    identity_from_claims(&settings(), &claims(changes), now).map(|identity| identity.principal.to_string())
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
        assert_eq!(principal_of_claims_with(good.clone()).as_deref(), Ok("build"), "{good}");
    }
}

#[test]
fn a_wrong_or_missing_claim_is_refused_with_its_own_reason() {
    use AuthenticationFailure as Failure;
    for (wrong, why) in [
        (json!({"iss": null}), Failure::TokenIssuer),
        (json!({"iss": "https://login.example.com/"}), Failure::TokenIssuer),
        (json!({"iss": ["https://login.example.com"]}), Failure::TokenIssuer),
        (json!({"aud": null}), Failure::TokenAudience),
        (json!({"aud": "Sharewarden"}), Failure::TokenAudience),
        (json!({"aud": []}), Failure::TokenAudience),
        (json!({"aud": {"sharewarden": 1}}), Failure::TokenAudience),
        (json!({"exp": null}), Failure::TokenExpired),
        (json!({"exp": "1795000060"}), Failure::TokenExpired),
        (json!({"exp": NOW - 30}), Failure::TokenExpired),
        (json!({"exp": 1e300}), Failure::TokenExpired),
        (json!({"exp": u64::MAX}), Failure::TokenExpired),
        (json!({"exp": i64::MIN}), Failure::TokenExpired),
        (json!({"nbf": NOW + 31}), Failure::TokenNotYetValid),
        (json!({"nbf": "soon"}), Failure::TokenNotYetValid),
        (json!({"sub": null}), Failure::TokenPrincipal),
        (json!({"sub": ""}), Failure::TokenPrincipal),
        (json!({"sub": "two words"}), Failure::TokenPrincipal),
        (json!({"sub": 7}), Failure::TokenPrincipal),
        (json!({"sub": ["build"]}), Failure::TokenPrincipal),
        (json!({"sub": "x".repeat(257)}), Failure::TokenPrincipal),
    ] {
        assert_eq!(principal_of_claims_with(wrong.clone()), Err(why), "{wrong}");
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

#[test]
fn texts_and_lists_of_texts_are_claims_and_other_forms_are_not_usable() {
    let now = Timestamp::new(OffsetDateTime::from_unix_timestamp(NOW).unwrap());
    let others = json!({
        "team": "images", "groups": ["b", "a", "b"], "none": [], "empty": "", "level": 7, "mixed": ["a", 1], "admin": true,
        "realm_access": {"roles": ["a"]},
    });
    let mut all = claims(others);
    all.insert("null".into(), Value::Null);
    let identity = identity_from_claims(&settings(), &all, now).unwrap();
    let known = |name: &str| identity.authentication.claims.get(name).cloned();
    let values = |values: &[&str]| Some(Claim::of(values.iter().map(|value| (*value).to_owned())));
    for (name, expected) in [
        ("team", values(&["images"])),
        ("groups", values(&["a", "b"])),
        ("none", values(&[])),
        ("empty", values(&[""])),
        ("null", values(&[])),
        ("absent", values(&[])),
        ("sub", values(&["build"])),
    ] {
        assert_eq!(known(name), expected, "{name}");
    }
    for name in ["level", "mixed", "admin", "realm_access", "exp"] {
        assert_eq!(known(name), Some(Claim::of_another_form()), "{name}");
    }
}
