//! Bearer tokens: JSON Web Tokens (RFC 7519) with a signature that the issuer's public keys verify.
//!
//! `jsonwebtoken` verifies the signature. This module checks the claims, because it must use the service's clock.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{
    clock::Clock,
    config::JwtConfig,
    domain::{Authentication, Claim, Claims, CredentialKind, Timestamp},
};

use super::{AuthenticationFailure, Identity, TokenKeys};

/// Maximum size of a token's encoded header. It is parsed before the signature is verified.
const MAX_HEADER_BYTES: usize = 4096;

/// Verifies tokens. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Tokens {
    settings: std::sync::Arc<JwtConfig>,
    keys: TokenKeys,
    clock: Clock,
}

/// The header fields that select the key and the algorithm.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Tokens {
    /// A verifier that uses these keys.
    pub fn new(settings: JwtConfig, keys: TokenKeys, clock: Clock) -> Self {
        Self {
            settings: settings.into(),
            keys,
            clock,
        }
    }

    /// The identity in a token. Waits for a fetch of the keys if the token's key is not known. `network` is that of the caller.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn identity(&self, token: &str, network: IpAddr) -> Result<Identity, AuthenticationFailure> {
        let header = header(token)?;
        let algorithm = algorithm(&header.alg)?;
        // A recipient must refuse a critical header that it does not support (RFC 7515, section 4.1.11). None is supported here.
        if header.crit.is_some() {
            return Err(AuthenticationFailure::TokenMalformed);
        }
        let kid = header.kid.ok_or(AuthenticationFailure::TokenKey)?;
        let key = self.keys.find(&kid, algorithm, network).await?;
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let token =
            jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| {
                match error.kind() {
                    ErrorKind::InvalidSignature => AuthenticationFailure::TokenSignature,
                    ErrorKind::InvalidAlgorithm => AuthenticationFailure::TokenAlgorithm,
                    _ => AuthenticationFailure::TokenMalformed,
                }
            })?;
        identity_from_claims(&self.settings, &token.claims, self.clock.now())
    }
}

fn header(token: &str) -> Result<TokenHeader, AuthenticationFailure> {
    let header = token.split('.').next().unwrap_or_default();
    if header.len() > MAX_HEADER_BYTES {
        return Err(AuthenticationFailure::TokenMalformed);
    }
    let header = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| AuthenticationFailure::TokenMalformed)?;
    serde_json::from_slice(&header).map_err(|_| AuthenticationFailure::TokenMalformed)
}

/// The supported algorithms. All are asymmetric: with a shared secret, this service could sign tokens too.
fn algorithm(name: &str) -> Result<Algorithm, AuthenticationFailure> {
    use Algorithm as A;
    match name.parse() {
        Ok(
            algorithm @ (A::RS256
            | A::RS384
            | A::RS512
            | A::PS256
            | A::PS384
            | A::PS512
            | A::ES256
            | A::ES384
            | A::EdDSA),
        ) => Ok(algorithm),
        _ => Err(AuthenticationFailure::TokenAlgorithm),
    }
}

/// Checks the claims of a token whose signature was verified, and reads its principal.
fn identity_from_claims(
    settings: &JwtConfig,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Identity, AuthenticationFailure> {
    if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
        return Err(AuthenticationFailure::TokenIssuer);
    }
    if !is_for(claims.get("aud"), &settings.audience) {
        return Err(AuthenticationFailure::TokenAudience);
    }
    let leeway = settings.leeway;
    let until = moment(claims.get("exp")).ok_or(AuthenticationFailure::TokenExpired)? + leeway;
    if now >= until {
        return Err(AuthenticationFailure::TokenExpired);
    }
    if let Some(from) = claims.get("nbf") {
        let from = moment(Some(from)).ok_or(AuthenticationFailure::TokenNotYetValid)?;
        if now + leeway < from {
            return Err(AuthenticationFailure::TokenNotYetValid);
        }
    }
    let principal = claims.get(&settings.principal_claim).and_then(Value::as_str);
    let principal = principal.and_then(|principal| principal.parse().ok());
    Ok(Identity {
        principal: principal.ok_or(AuthenticationFailure::TokenPrincipal)?,
        authentication: Authentication {
            claims: Claims::all(claims.iter().filter_map(claim)),
            credentials: vec![CredentialKind::Token],
        },
        until: Some(until),
    })
}

/// A claim for the policy. A null is an absent claim.
fn claim((name, value): (&String, &Value)) -> Option<(String, Claim)> {
    let texts = |values: &[Value]| {
        let texts: Option<Vec<_>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        texts.map_or_else(Claim::of_another_form, Claim::of)
    };
    let read = match value {
        Value::Null => return None,
        Value::Array(values) => texts(values),
        value => texts(std::slice::from_ref(value)),
    };
    Some((name.clone(), read))
}

/// `aud` is a string or an array of strings (RFC 7519, section 4.1.3).
fn is_for(audience: Option<&Value>, expected: &str) -> bool {
    match audience {
        Some(Value::String(audience)) => audience == expected,
        Some(Value::Array(several)) => several.iter().any(|audience| audience.as_str() == Some(expected)),
        _ => false,
    }
}

/// A NumericDate: seconds since 1970, perhaps with a fraction (RFC 7519, section 2). `None` if it is none, or out of range.
fn moment(claim: Option<&Value>) -> Option<Timestamp> {
    let claim = claim?;
    let seconds = claim.as_i64().or_else(|| {
        let seconds = claim.as_f64()?.floor();
        // Within these bounds the cast is exact.
        (seconds.abs() < 1e15).then_some(seconds as i64)
    })?;
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(Timestamp::new)
}

#[cfg(test)]
mod tests;
