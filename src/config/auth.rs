//! Authentication and roles of callers.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, PrincipalPattern};

use super::parse;

/// Authentication of callers.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// The kinds of credentials that are accepted: one or more of `mtls`, `jwt` and `trusted-header`. Credentials of other kinds
    /// are ignored. All that a call has must be valid and name the same principal.
    pub modes: Vec<AuthMode>,
    /// The tokens of the mode `jwt`. Required with this mode, and refused without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
}

impl AuthConfig {
    /// True if the mode is enabled.
    pub fn has(&self, mode: AuthMode) -> bool {
        self.modes.contains(&mode)
    }
}

/// A kind of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// The client certificate of the connection. The principal is its SPIFFE URI SAN, else its DNS SAN, else its subject (RFC
    /// 4514, with `\20` for a space). Needs `server.tls`.
    Mtls,
    /// A bearer token in the metadata `authorization`. Needs `server.tls`, except on loopback addresses.
    Jwt,
    /// The name in the metadata `x-sharewarden-principal`, which is not verified. On loopback addresses only.
    TrustedHeader,
}

/// Bearer tokens: signed JSON Web Tokens (RFC 7519). Algorithms: RS and PS (256, 384, 512), ES (256, 384) and EdDSA.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The exact value of the claim `iss` of every token. Example: `https://login.example.com`.
    pub issuer: String,
    /// The value of the claim `aud` of every token, or one of its values. Example: `sharewarden`.
    pub audience: String,
    /// The issuer's public keys, a JWK Set (RFC 7517): a file, or an https URL. Keys need a `kid`. Example:
    /// `https://login.example.com/.well-known/jwks.json`.
    pub jwks: String,
    /// The certificate authorities for the server of the URL, a PEM file. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca: Option<PathBuf>,
    /// How often to fetch the keys. If that succeeds, a withdrawn key stays trusted for at most this time. 1s..1d. Default 5m.
    #[serde(default = "JwtConfig::jwks_refresh", with = "parse::duration")]
    pub jwks_refresh: Duration,
    /// A token with an unknown `kid` causes a fetch of the keys, but at most one in this time. 100ms..1h. Default 10s.
    #[serde(default = "JwtConfig::jwks_retry", with = "parse::duration")]
    pub jwks_retry: Duration,
    /// If the keys could not be fetched for this time, tokens are refused. At least `jwks_refresh`. Default 1day.
    #[serde(default = "JwtConfig::jwks_max_age", with = "parse::duration")]
    pub jwks_max_age: Duration,
    /// The name of the claim with the principal. Default `sub`.
    #[serde(default = "JwtConfig::principal_claim")]
    pub principal_claim: String,
    /// Tolerance for the clocks of issuer and service. 0s..5m. Default 30s.
    #[serde(default = "JwtConfig::leeway", with = "parse::duration")]
    pub leeway: Duration,
}

impl JwtConfig {
    /// True if `jwks` is a URL, false if it is a file.
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

/// Roles of principals. What no entry allows is refused. Several entries for one principal add up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// A principal, or a pattern in which `*` stands for any characters, including slashes. 1 to 256 visible ASCII characters.
    /// If it begins with `spiffe:`, some valid SPIFFE ID must match it. Example: `spiffe://example.com/ns/build/*`. An entry has
    /// this key or `group`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalPattern>,
    /// The name of a group of principals (`groups.name`). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `viewer` reads, `operator` grants and revokes, `auditor` reads, exports and asks for proofs. At least one.
    pub roles: BTreeSet<Role>,
    /// The accounts in which the roles apply, each one of `accounts`. A principal with roles in some accounts only must name
    /// accounts in requests that list. Default: all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<BTreeSet<AccountId>>,
}

impl RoleConfig {
    /// An entry for a principal or a pattern, in all accounts.
    pub fn of(principal: PrincipalPattern, roles: impl IntoIterator<Item = Role>) -> Self {
        Self {
            principal: Some(principal),
            group: None,
            roles: roles.into_iter().collect(),
            accounts: None,
        }
    }
}

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads permissions, changes, images and the history.
    Viewer,
    /// Grants and revokes. Reads only the changes that it asked for.
    Operator,
    /// Reads what viewers read, exports ledgers, and asks for checkpoints and proofs.
    Auditor,
}
