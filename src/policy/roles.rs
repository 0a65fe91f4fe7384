//! Who may do what, and in which accounts. Nothing is allowed that no role allows.

use std::collections::BTreeSet;

use crate::domain::{AccountId, Action, Principal, PrincipalPattern};

/// What somebody wants to do. Every RPC is one of these; the table is `grpc/rpcs.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Let an account copy an image.
    Grant,
    /// Stop letting an account copy an image.
    Revoke,
    /// Look at permissions, changes, images and the history.
    Read,
    /// Copy whole ledgers.
    Export,
    /// Fetch checkpoints and proofs, and add signatures of witnesses.
    Prove,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Grants and revokes. Reads nothing: whoever is to follow changes is a viewer too.
    Operator,
    /// Reads, exports and proves.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: &[Role] = &[Self::Viewer, Self::Operator, Self::Auditor];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// Does the role allow this? The one place that says so.
    fn allows(self, operation: Privilege) -> bool {
        match (self, operation) {
            (Self::Viewer | Self::Auditor, Privilege::Read)
            | (Self::Operator, Privilege::Grant | Privilege::Revoke)
            | (Self::Auditor, Privilege::Export | Privilege::Prove) => true,
            (Self::Viewer | Self::Auditor, Privilege::Grant | Privilege::Revoke)
            | (Self::Viewer, Privilege::Export | Privilege::Prove)
            | (Self::Operator, Privilege::Read | Privilege::Export | Privilege::Prove) => false,
        }
    }
}

impl Privilege {
    /// Why a principal may not do this in an account, or anywhere: for the principal and for the ledger.
    pub fn refusal(self, principal: &Principal, account: Option<AccountId>) -> String {
        let roles: Vec<_> = Role::ALL
            .iter()
            .filter(|role| role.allows(self))
            .map(|role| role.as_str())
            .collect();
        let place = match account {
            Some(account) => format!(" in account {account}"),
            None => String::new(),
        };
        format!(
            "{principal} may not {}{place}: that takes the role {}",
            self.verb(),
            roles.join(" or ")
        )
    }

    /// Why a principal may not do this in the accounts that a message is about.
    pub fn refusal_of_scope(self, principal: &Principal, scope: &Scope) -> String {
        let accounts: Vec<_> = match scope {
            Scope::Everywhere => Vec::new(),
            Scope::Only(accounts) => accounts.iter().map(AccountId::as_str).collect(),
        };
        format!(
            "{principal} may {} in some accounts only, and must name one or more of these: {}",
            self.verb(),
            accounts.join(", ")
        )
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Read => "read",
            Self::Export => "export",
            Self::Prove => "ask for proofs",
        }
    }
}

impl From<Action> for Privilege {
    fn from(action: Action) -> Self {
        match action {
            Action::Grant => Self::Grant,
            Action::Revoke => Self::Revoke,
        }
    }
}

/// Gives roles to principals.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Whom.
    pub principal: PrincipalPattern,
    /// Which.
    pub roles: BTreeSet<Role>,
    /// In which accounts; none: in all, those included that are configured later.
    pub accounts: Option<BTreeSet<AccountId>>,
}

/// In which accounts something is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// In all of them.
    Everywhere,
    /// In these only. Empty: nowhere.
    Only(BTreeSet<AccountId>),
}

impl Scope {
    /// Is it allowed in this account?
    pub fn covers(&self, account: AccountId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(accounts) => accounts.contains(&account),
        }
    }

    /// Is it allowed nowhere at all?
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(accounts) if accounts.is_empty())
    }
}

/// What all bindings together allow: roles add up.
pub(super) fn scope(bindings: &[Binding], principal: &Principal, operation: Privilege) -> Scope {
    let mut accounts = BTreeSet::new();
    let allowing = bindings.iter().filter(|binding| {
        binding.roles.iter().any(|role| role.allows(operation)) && binding.principal.matches(principal)
    });
    for binding in allowing {
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
    fn roles_allow_what_they_are_named_for_and_no_more() {
        let allowed = |role: Role| {
            use Privilege as O;
            [O::Grant, O::Revoke, O::Read, O::Export, O::Prove].map(|operation| role.allows(operation))
        };
        assert_eq!(allowed(Role::Viewer), [false, false, true, false, false]);
        assert_eq!(allowed(Role::Operator), [true, true, false, false, false]);
        assert_eq!(allowed(Role::Auditor), [false, false, true, true, true]);
    }

    #[test]
    fn bindings_add_up_and_without_one_nothing_is_allowed() {
        let (one, other): (AccountId, AccountId) = ("111122223333".parse().unwrap(), "444455556666".parse().unwrap());
        let binding = |principal: &str, role, accounts: Option<AccountId>| Binding {
            principal: principal.parse().unwrap(),
            roles: BTreeSet::from([role]),
            accounts: accounts.map(|account| BTreeSet::from([account])),
        };
        let bindings = [
            binding("a*", Role::Viewer, Some(one)),
            binding("alice", Role::Auditor, Some(other)),
            binding("root", Role::Viewer, None),
            binding("root", Role::Viewer, Some(one)),
        ];
        let scope = |principal: &str, operation| scope(&bindings, &principal.parse().unwrap(), operation);
        assert_eq!(
            scope("alice", Privilege::Read),
            Scope::Only(BTreeSet::from([one, other]))
        );
        assert_eq!(scope("alice", Privilege::Export), Scope::Only(BTreeSet::from([other])));
        assert_eq!(scope("anna", Privilege::Read), Scope::Only(BTreeSet::from([one])));
        assert_eq!(scope("root", Privilege::Read), Scope::Everywhere);
        assert!(scope("root", Privilege::Grant).is_empty());
        assert!(scope("bob", Privilege::Read).is_empty());
    }
}
