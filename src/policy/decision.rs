//! The answer to a query.

use crate::domain::{Claims, Decision};

/// The decision on a [`PolicyQuery`](super::PolicyQuery), and what the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// What is recorded.
    pub decision: Decision,
    /// The claims of the caller that the set speaks of, as far as they are known. They are recorded with the change.
    pub claims: Claims,
    /// Why the change is refused, for the caller and the ledger. None if it is allowed.
    pub refusal: Option<String>,
}

impl PolicyVerdict {
    /// True if the change may be made.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }
}
