//! Role-based access control: bindings give roles to principals, and roles hold privileges. Without a role, nothing is allowed.

use std::collections::BTreeSet;

use crate::{
    config::RoleConfig,
    domain::{AccountId, Principal},
};

use super::action::PolicyAction;

pub use crate::config::Role;

/// What a role can permit. Every RPC needs one privilege; the table is in `grpc/rpcs.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Let an account copy an image.
    Grant,
    /// Stop letting an account copy an image.
    Revoke,
    /// Decide whether the service may revoke unrecorded shares without a caller.
    Decide,
    /// Make a share that AWS already has one of the service's.
    Adopt,
    /// Read permissions, changes, images and the history.
    Read,
    /// Export whole ledgers.
    Export,
    /// Read checkpoints and proofs, and add signatures of witnesses.
    Prove,
    /// Read what concerns the caller itself: its identity, the accounts in which it has a role, and the changes that it asked
    /// for, where it may not read all.
    Own,
}

impl Role {
    /// Every role.
    pub const ALL: &[Role] = &[Self::Viewer, Self::Operator, Self::Auditor];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// True if the role holds the privilege. No other function decides this.
    fn allows(self, privilege: Privilege) -> bool {
        match (self, privilege) {
            (Self::Viewer | Self::Operator | Self::Auditor, Privilege::Own)
            | (Self::Viewer | Self::Auditor, Privilege::Read)
            | (Self::Operator, Privilege::Grant | Privilege::Revoke | Privilege::Adopt | Privilege::Decide)
            | (Self::Auditor, Privilege::Export | Privilege::Prove) => true,
            (
                Self::Viewer | Self::Auditor,
                Privilege::Grant | Privilege::Revoke | Privilege::Adopt | Privilege::Decide,
            )
            | (Self::Viewer, Privilege::Export | Privilege::Prove)
            | (Self::Operator, Privilege::Read | Privilege::Export | Privilege::Prove) => false,
        }
    }
}

impl Privilege {
    /// The refusal message, for the caller and the ledger. Without an account, the principal lacks the privilege in every
    /// account.
    pub fn refusal(self, principal: &Principal, account: Option<AccountId>) -> String {
        let roles: Vec<_> = Role::ALL
            .iter()
            .filter(|role| role.allows(self))
            .map(|role| role.as_str())
            .collect();
        let location = match account {
            Some(account) => format!(" in account {account}"),
            None => String::new(),
        };
        format!(
            "{principal} may not {}{location}: this needs the role {}",
            self.verb(),
            roles.join(" or ")
        )
    }

    /// The refusal message for a request that concerns accounts outside the principal's scope.
    pub fn refusal_of_scope(self, principal: &Principal, scope: &Scope) -> String {
        let accounts: Vec<_> = match scope {
            Scope::Everywhere => Vec::new(),
            Scope::Only(accounts) => accounts.iter().map(AccountId::as_str).collect(),
        };
        format!(
            "{principal} may {} in some accounts only: name one or more of these in the request: {}",
            self.verb(),
            accounts.join(", ")
        )
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Decide => "decide about drift",
            Self::Adopt => "adopt",
            Self::Read => "read",
            Self::Export => "export",
            Self::Prove => "ask for proofs",
            Self::Own => "read what it asked for",
        }
    }
}

impl From<PolicyAction> for Privilege {
    fn from(action: PolicyAction) -> Self {
        match action {
            PolicyAction::Grant => Self::Grant,
            PolicyAction::Revoke => Self::Revoke,
            PolicyAction::Adopt => Self::Adopt,
        }
    }
}

/// The accounts in which a principal has a privilege.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every account.
    Everywhere,
    /// These accounts. May be empty.
    Only(BTreeSet<AccountId>),
}

impl Scope {
    /// True if the scope includes the account.
    pub fn covers(&self, account: AccountId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(accounts) => accounts.contains(&account),
        }
    }

    /// True if the scope includes no account.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(accounts) if accounts.is_empty())
    }
}

/// The union of the scopes that the bindings of a caller give.
pub(super) fn scope<'a>(bindings: impl Iterator<Item = &'a RoleConfig>, privilege: Privilege) -> Scope {
    let mut accounts = BTreeSet::new();
    for binding in bindings.filter(|binding| binding.roles.iter().any(|role| role.allows(privilege))) {
        match &binding.accounts {
            None => return Scope::Everywhere,
            Some(some) => accounts.extend(some),
        }
    }
    Scope::Only(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_exactly_their_privileges() {
        let allowed = |role: Role| {
            use Privilege as O;
            [
                O::Grant,
                O::Revoke,
                O::Adopt,
                O::Decide,
                O::Read,
                O::Export,
                O::Prove,
                O::Own,
            ]
            .map(|privilege| role.allows(privilege))
        };
        assert_eq!(
            allowed(Role::Viewer),
            [false, false, false, false, true, false, false, true]
        );
        assert_eq!(
            allowed(Role::Operator),
            [true, true, true, true, false, false, false, true]
        );
        assert_eq!(
            allowed(Role::Auditor),
            [false, false, false, false, true, true, true, true]
        );
    }
}
