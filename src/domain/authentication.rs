//! How a caller was authenticated.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::change::names;

/// How the caller of a change was authenticated. It is stored with the change, so that another replica, and an auditor years
/// later, can tell. In JSON, the members stand in the order of their names (RFC 8785), and unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// The kinds of credentials that named the caller. At least one.
    pub credentials: Vec<CredentialKind>,
}

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

impl Serialize for CredentialKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CredentialKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| D::Error::custom("no kind of credential has this name"))
    }
}
