//! How a caller was authenticated.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{change::names, claims::Claims};

/// How the caller of a change was authenticated. It is stored with the change, so that another replica, and an auditor years
/// later, can tell. In JSON, the members stand in the order of their names (RFC 8785), and unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// What the caller's token says about it. On record are the claims that the policy set referred to when the change was
    /// accepted.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
    /// The kinds of credentials that named the caller. At least one.
    pub credentials: Vec<CredentialKind>,
}

impl Authentication {
    /// By these credentials, without claims that are known.
    pub fn by(credentials: impl IntoIterator<Item = CredentialKind>) -> Self {
        Self {
            claims: Claims::default(),
            credentials: credentials.into_iter().collect(),
        }
    }
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
