//! The answer to a query: what was decided, by which policies, and the digest of their set.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

/// The id of a policy: its `@id`, or that of a policy made of `roles` or `accounts.share_with`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(Arc<str>);

impl PolicyId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PolicyId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a set's text: its accounts, groups, policies, schema and time zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The decision on a [`PolicyQuery`](super::PolicyQuery).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The policies that decided, in the order of their ids: those that permit, or those that forbid. Empty if no policy permits
    /// it and none forbids it.
    pub policies: Vec<PolicyId>,
    /// The set that decided.
    pub digest: PolicyDigest,
    /// Why the change is refused, for the caller and the ledger. None if it is allowed.
    pub refusal: Option<String>,
}

impl Decision {
    /// True if the change may be made.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }
}
