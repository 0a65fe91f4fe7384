//! The actions that policies speak of.

use crate::domain::{Action, Cause, Intent};

/// An action of policies. Which one a change asks for follows from what it does and from its cause, which are on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyAction {
    /// Let the account copy the image.
    Grant,
    /// Stop the sharing.
    Revoke,
    /// Make a share that AWS already has one of the service's.
    Adopt,
}

impl PolicyAction {
    /// Every action, in the order of its numbers.
    pub(super) const ALL: [Self; 3] = [Self::Grant, Self::Revoke, Self::Adopt];

    /// The action that a change asks for.
    pub fn of(action: Action, cause: Cause) -> Self {
        match (action, cause) {
            (Action::Grant, Cause::Adoption) => Self::Adopt,
            (Action::Grant, Cause::Caller | Cause::Expiry | Cause::Drift) => Self::Grant,
            (Action::Revoke, _) => Self::Revoke,
        }
    }

    /// The action that the change of the intent asks for.
    pub fn of_intent(intent: &Intent) -> Self {
        Self::of(intent.action, intent.cause)
    }

    /// The name in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Adopt => "adopt",
        }
    }
}
