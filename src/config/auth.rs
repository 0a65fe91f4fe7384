//! Who calls, and what they may do.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, PrincipalPattern};

use super::parse;

/// Who calls.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// How callers may be known: one or more of `mtls`, `jwt` and `trusted-header`. Every credential that a call brings for one
    /// of them must be good, and if it brings several, all must name the same principal; the first of `mtls`, `jwt`,
    /// `trusted-header` is the one that counts. There is no default: it is decided by whoever runs the service.
    pub modes: Vec<AuthMode>,
    /// The tokens of the mode `jwt`. Needed with it, and not without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
}

impl AuthConfig {
    /// Is a mode among those in force?
    pub fn has(&self, mode: AuthMode) -> bool {
        self.modes.contains(&mode)
    }
}

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// By the certificate of their connection. The principal is its SPIFFE URI SAN, else its DNS SAN, else its subject (RFC 4514,
    /// with `\20` for a space). Needs `server.tls`.
    Mtls,
    /// By a bearer token in the metadata `authorization`. Needs `server.tls` on other than loopback addresses.
    Jwt,
    /// By what they say in the metadata `x-sharewarden-principal`. On loopback addresses only.
    TrustedHeader,
}

/// Bearer tokens: JSON Web Tokens that an issuer signed (RFC 7519), with RS, PS or ES (256, 384; RS and PS also 512) or EdDSA.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The claim `iss` of every token, letter by letter. Example: `https://login.example.com`.
    pub issuer: String,
    /// What the claim `aud` of every token is, or has among others. Example: `sharewarden`.
    pub audience: String,
    /// The issuer's public keys, a JWK Set (RFC 7517): a file, or an https URL. Keys need a `kid`. Example:
    /// `https://login.example.com/.well-known/jwks.json`.
    pub jwks: String,
    /// The certificate authorities that the URL's server is known by, a PEM file. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca: Option<PathBuf>,
    /// How often to fetch the keys anew. A key that is withdrawn is trusted no longer than this. 1s..1d. Default 5m.
    #[serde(default = "JwtConfig::jwks_refresh", with = "parse::duration")]
    pub jwks_refresh: Duration,
    /// A token with an unknown `kid` has the keys fetched anew, but not sooner than this after the last time. 100ms..1h.
    /// Default 10s.
    #[serde(default = "JwtConfig::jwks_retry", with = "parse::duration")]
    pub jwks_retry: Duration,
    /// When the keys could not be fetched for this time, tokens are refused. At least `jwks_refresh`. Default 1day.
    #[serde(default = "JwtConfig::jwks_max_age", with = "parse::duration")]
    pub jwks_max_age: Duration,
    /// The claim that names the principal, a text. Default `sub`.
    #[serde(default = "JwtConfig::principal_claim")]
    pub principal_claim: String,
    /// How far the issuer's clock may be off. 0s..5m. Default 30s.
    #[serde(default = "JwtConfig::leeway", with = "parse::duration")]
    pub leeway: Duration,
}

impl JwtConfig {
    /// Whether `jwks` is a URL; else it is a file.
    pub fn jwks_is_url(&self) -> bool {
        self.jwks.contains("://")
    }

    fn jwks_refresh() -> Duration {
        Duration::from_secs(5 * 60)
    }

    fn jwks_retry() -> Duration {
        Duration::from_secs(10)
    }

    fn jwks_max_age() -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }

    fn principal_claim() -> String {
        "sub".into()
    }

    fn leeway() -> Duration {
        Duration::from_secs(30)
    }
}

/// Gives roles to principals. What no entry allows is refused; several for one principal add up.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// Whom: a principal, or a pattern with `*` for any characters, slashes included. 1 to 256 visible ASCII characters. Example:
    /// `spiffe://example.com/ns/build/*`.
    pub principal: PrincipalPattern,
    /// Which: `viewer` reads, `operator` grants and revokes, `auditor` reads, exports and asks for proofs. At least one.
    pub roles: BTreeSet<Role>,
    /// In which accounts, each one of `accounts`. Default: in all of them. A principal that has a role in some accounts only must
    /// name accounts in requests that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<BTreeSet<AccountId>>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads permissions, changes, images and the history.
    Viewer,
    /// Grants and revokes. Reads nothing.
    Operator,
    /// Reads what viewers read, exports ledgers, and asks for checkpoints and proofs.
    Auditor,
}
