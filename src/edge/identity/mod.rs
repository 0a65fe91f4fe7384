//! Identities from certificates and tokens. This module contains no gRPC and no permissions.
//!
//! [`tls`] makes TLS connections, with files that [`reload`] reads again; [`certificate`] reads the name in a client's
//! certificate. [`token`] verifies bearer tokens with the issuer's keys ([`token_keys`]), which [`fetch`] reads from a file or a
//! URL.

mod certificate;
mod fetch;
mod reload;
mod tls;
mod token;
mod token_keys;

use crate::domain::{Authentication, Claims, CredentialKind, Principal, Timestamp};

pub use tls::{ServerTls, TlsProblem, TlsStream};
pub use token::Tokens;
pub use token_keys::{TokenKeys, TokenKeysProblem};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the credentials.
    pub principal: Principal,
    /// The kinds of the credentials, at least one, and all claims of the token.
    pub authentication: Authentication,
    /// When the credentials expire. `None`: never.
    pub until: Option<Timestamp>,
}

impl Identity {
    /// The identity in a credential without claims.
    pub(super) fn without_claims(principal: Principal, kind: CredentialKind, until: Option<Timestamp>) -> Self {
        Self {
            principal,
            authentication: Authentication {
                claims: Claims::all([]),
                credentials: vec![kind],
            },
            until,
        }
    }
}

/// Why authentication failed. For the log and the metric; the caller does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticationFailure {
    /// No credentials of a kind that `auth.modes` enables.
    Missing,
    /// A malformed credential, or two of one kind.
    Malformed,
    /// Two credentials name different principals.
    Contradicting,
    /// The trusted header, from another machine.
    NotLocal,
    /// A call from a web page whose origin is not allowed.
    ForeignPage,
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// No configured authority signed the certificate.
    CertificateIssuer,
    /// The client sent no certificate, but `server.tls.client_auth` requires one.
    CertificateMissing,
    /// The certificate has no usable name, or several.
    CertificateName,
    /// The certificate is invalid for another reason.
    CertificateInvalid,
    /// The TLS handshake failed for another reason than the client's certificate.
    Handshake,
    /// Malformed JWT, or an unsupported `crit` header.
    TokenMalformed,
    /// The token's algorithm is not allowed, or does not fit its key.
    TokenAlgorithm,
    /// The token has no `kid`, or one that the issuer does not list.
    TokenKey,
    /// The issuer's keys could not be fetched, or are older than `auth.jwt.jwks_max_age`.
    TokenKeysUnavailable,
    /// The signature does not verify.
    TokenSignature,
    /// The token has expired, or has no `exp`.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// The token is from another issuer.
    TokenIssuer,
    /// The token is for another service.
    TokenAudience,
    /// The token names no valid principal.
    TokenPrincipal,
}

impl AuthenticationFailure {
    /// The value of the label `reason` in the metric and of the field `reason` in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Contradicting => "contradicting",
            Self::NotLocal => "not_local",
            Self::ForeignPage => "foreign_page",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificateIssuer => "certificate_issuer",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateName => "certificate_name",
            Self::CertificateInvalid => "certificate_invalid",
            Self::Handshake => "handshake",
            Self::TokenMalformed => "token_malformed",
            Self::TokenAlgorithm => "token_algorithm",
            Self::TokenKey => "token_key",
            Self::TokenKeysUnavailable => "token_keys_unavailable",
            Self::TokenSignature => "token_signature",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenIssuer => "token_issuer",
            Self::TokenAudience => "token_audience",
            Self::TokenPrincipal => "token_principal",
        }
    }
}
