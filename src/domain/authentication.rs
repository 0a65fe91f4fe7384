//! How a caller proves its name.

use super::change::names;

/// What a caller presents to prove its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A certificate of the TLS connection.
    Certificate,
    /// A bearer token.
    Token,
    /// A name in a header, from this machine. It is not verified.
    TrustedHeader,
}
names!(CredentialKind { Certificate = "CERTIFICATE", Token = "TOKEN", TrustedHeader = "TRUSTED_HEADER" });
