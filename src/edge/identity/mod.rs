//! Who somebody is: what certificates and tokens say, once they were checked. Knows nothing of gRPC, nor of what anybody may do.
//!
//! [`tls`] makes TLS of connections, with files that [`reload`] reads again; [`certificate`] reads the name in a client's
//! certificate. [`token`] checks bearer tokens against the issuer's [`keys`], which [`fetch`] gets from a file or a URL.

mod certificate;
mod fetch;
mod reload;
mod tls;
mod token;
mod token_keys;

use crate::domain::{Principal, Timestamp};

pub use tls::{ServerTls, TlsProblem, TlsStream};
pub use token::Tokens;
pub use token_keys::{TokenKeys, TokenKeysProblem};

/// Who it is, and how long that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// What it was known by is not valid any more from then on. None: it does not end.
    pub until: Option<Timestamp>,
}

/// Why credentials are refused. For the log and for counting; callers are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticationFailure {
    /// No credentials of a kind that is in force.
    Missing,
    /// A malformed credential, or one that is there twice.
    Malformed,
    /// Two credentials that name two principals.
    Contradicting,
    /// The header with the caller's name, from another machine.
    NotLocal,
    /// A call from a web page whose origin is not allowed.
    ForeignPage,
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// The certificate was not signed by a known authority.
    CertificateIssuer,
    /// There is no certificate, and there must be one.
    CertificateMissing,
    /// The certificate has no name that can be used, or several.
    CertificateName,
    /// The certificate cannot be used for another reason.
    CertificateInvalid,
    /// The TLS handshake failed for a reason that is not the client's certificate.
    Handshake,
    /// Malformed JWT, or an unsupported `crit` header.
    TokenMalformed,
    /// The token's algorithm is not allowed, or is not the one of its key.
    TokenAlgorithm,
    /// The token names no key (`kid`), or one that the issuer does not list.
    TokenKey,
    /// The issuer's keys are not known.
    TokenKeysUnavailable,
    /// The signature does not verify.
    TokenSignature,
    /// The token has expired, or has no `exp`.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// Another issuer's token.
    TokenIssuer,
    /// A token for another service.
    TokenAudience,
    /// The token does not name a principal.
    TokenPrincipal,
}

impl AuthenticationFailure {
    /// The name that it is counted by.
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
