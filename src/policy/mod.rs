//! Authorization: decides whether a principal may make a change or use another part of the API.
//!
//! A [`PolicySet`] holds the rules of the configuration. [`roles`] give principals privileges in accounts. Each account lists the
//! accounts that its images may be shared with. A grant needs both. A revoke needs only the role: the list guards against sharing
//! with the wrong account, and a share with an account that was removed from the list must still be revocable.
//!
//! [`Policy`] is a handle to the set in force, which can be replaced while the server runs. A change is decided twice, when it is
//! accepted and before AWS is called, and the two decisions can differ.

pub mod roles;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    config::{RoleConfig, ShareWith},
    domain::{AccountId, Action, Intent, PermissionKey, Principal},
};

use roles::{Privilege, Scope};

/// A change to decide on.
#[derive(Debug, Clone, Copy)]
pub struct PolicyQuery<'a> {
    /// The principal that asks for it.
    pub principal: &'a Principal,
    /// Grant or revoke.
    pub action: Action,
    /// Which permission.
    pub key: &'a PermissionKey,
}

impl<'a> PolicyQuery<'a> {
    /// The change that `intent` asks for.
    pub fn of(intent: &'a Intent) -> Self {
        Self {
            principal: &intent.principal,
            action: intent.action,
            key: &intent.key,
        }
    }
}

/// The id of a policy: `roles`, or `accounts.share_with`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PolicyId(&'static str);

impl PolicyId {
    const ROLES: Self = Self("roles");
    const SHARE_WITH: Self = Self("accounts.share_with");
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The decision on a [`PolicyQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The change may be made.
    Allow {
        /// The policies that allow it.
        policies: Vec<PolicyId>,
    },
    /// The change is refused.
    Deny {
        /// The policies that refuse it.
        policies: Vec<PolicyId>,
        /// The reason, for the caller and the ledger.
        message: String,
    },
}

/// The rules of the configuration. Without a rule, nothing is allowed.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    accounts: BTreeMap<AccountId, ShareWith>,
    roles: Vec<RoleConfig>,
}

impl PolicySet {
    /// A set from the recipients that each account allows, and the role bindings.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountId, ShareWith)>,
        roles: impl IntoIterator<Item = RoleConfig>,
    ) -> Self {
        Self {
            accounts: accounts.into_iter().collect(),
            roles: roles.into_iter().collect(),
        }
    }

    /// The accounts in which the principal has this privilege.
    pub fn scope(&self, principal: &Principal, privilege: Privilege) -> Scope {
        roles::scope(&self.roles, principal, privilege)
    }

    /// True if a role binding names the principal, for any role in any account.
    pub fn has_binding(&self, principal: &Principal) -> bool {
        self.bindings_of(principal).next().is_some()
    }

    /// The role bindings that name the principal.
    pub fn bindings_of(&self, principal: &Principal) -> impl Iterator<Item = &RoleConfig> {
        self.roles.iter().filter(|binding| binding.principal.matches(principal))
    }

    /// The accounts, each with the recipients that it allows.
    pub fn recipients(&self) -> &BTreeMap<AccountId, ShareWith> {
        &self.accounts
    }

    /// Decides whether the change may be made.
    pub fn decide(&self, query: PolicyQuery<'_>) -> Decision {
        let PolicyQuery { principal, action, key } = query;
        let privilege = Privilege::from(action);
        if !self.scope(principal, privilege).covers(key.account) {
            return Decision::Deny {
                policies: vec![PolicyId::ROLES],
                message: privilege.refusal(principal, Some(key.account)),
            };
        }
        let is_allowed = match (action, self.accounts.get(&key.account)) {
            (Action::Revoke, Some(_)) => {
                return Decision::Allow {
                    policies: vec![PolicyId::ROLES],
                };
            }
            (Action::Grant, Some(ShareWith::Anyone)) => true,
            (Action::Grant, Some(ShareWith::Only(accounts))) => accounts.contains(&key.shared_account),
            (_, None) => false,
        };
        match is_allowed {
            true => Decision::Allow {
                policies: vec![PolicyId::ROLES, PolicyId::SHARE_WITH],
            },
            false => Decision::Deny {
                policies: vec![PolicyId::SHARE_WITH],
                message: format!(
                    "images of account {} may not be shared with account {}",
                    key.account, key.shared_account
                ),
            },
        }
    }
}

/// The policy set in force. Cheap to clone; clones are the same policy.
#[derive(Debug, Clone, Default)]
pub struct Policy(Arc<RwLock<Arc<PolicySet>>>);

impl Policy {
    /// A policy with this set in force.
    pub fn new(set: PolicySet) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(set))))
    }

    /// Puts another set in force. A decision in progress still uses the old set.
    pub fn replace(&self, set: PolicySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// The accounts in which the principal has this privilege.
    pub fn scope(&self, principal: &Principal, privilege: Privilege) -> Scope {
        self.in_force().scope(principal, privilege)
    }

    /// True if a role binding names the principal, for any role in any account.
    pub fn has_binding(&self, principal: &Principal) -> bool {
        self.in_force().has_binding(principal)
    }

    /// Decides whether the change may be made.
    pub fn decide(&self, query: PolicyQuery<'_>) -> Decision {
        self.in_force().decide(query)
    }

    /// The set in force. It stays as it is when another one replaces it.
    pub fn in_force(&self) -> Arc<PolicySet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{roles::Role, *};

    const ACCOUNT: &str = "111122223333";

    fn key(shared: &str) -> PermissionKey {
        PermissionKey {
            account: ACCOUNT.parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
            shared_account: shared.parse().unwrap(),
        }
    }

    fn binding(principal: &str, role: Role, accounts: Option<&str>) -> RoleConfig {
        RoleConfig {
            principal: principal.parse().unwrap(),
            roles: BTreeSet::from([role]),
            accounts: accounts.map(|account| BTreeSet::from([account.parse().unwrap()])),
        }
    }

    fn decide(set: &PolicySet, principal: &str, action: Action, shared: &str) -> Decision {
        set.decide(PolicyQuery {
            principal: &principal.parse().unwrap(),
            action,
            key: &key(shared),
        })
    }

    fn is_allowed(set: &PolicySet, principal: &str, action: Action, shared: &str) -> bool {
        matches!(decide(set, principal, action, shared), Decision::Allow { .. })
    }

    fn set(roles: impl IntoIterator<Item = RoleConfig>) -> PolicySet {
        let listed = ShareWith::Only(BTreeSet::from(["210987654321".parse().unwrap()]));
        PolicySet::new([(ACCOUNT.parse().unwrap(), listed)], roles)
    }

    #[test]
    fn grants_are_allowed_to_listed_accounts_only_and_revokes_to_any() {
        let set = set([binding("*", Role::Operator, None)]);
        let both = vec![PolicyId::ROLES, PolicyId::SHARE_WITH];
        assert_eq!(
            decide(&set, "tester", Action::Grant, "210987654321"),
            Decision::Allow { policies: both }
        );
        let Decision::Deny { policies, message } = decide(&set, "tester", Action::Grant, "999999999999") else {
            panic!("an account that is not listed");
        };
        assert_eq!(policies, [PolicyId::SHARE_WITH]);
        assert!(message.contains("999999999999"), "{message}");
        assert!(is_allowed(&set, "tester", Action::Revoke, "999999999999"));
    }

    #[test]
    fn a_principal_without_the_operator_role_in_the_account_is_refused_with_the_reason() {
        let set = set([
            binding("reader", Role::Viewer, None),
            binding("reader", Role::Auditor, None),
            binding("elsewhere", Role::Operator, Some("444455556666")),
            binding("here", Role::Operator, Some(ACCOUNT)),
        ]);
        for principal in ["reader", "elsewhere", "nobody"] {
            for action in [Action::Grant, Action::Revoke] {
                let Decision::Deny { policies, message } = decide(&set, principal, action, "210987654321") else {
                    panic!("{principal} may {action:?}");
                };
                assert_eq!(policies, [PolicyId::ROLES]);
                assert!(message.contains(principal) && message.contains(ACCOUNT), "{message}");
            }
        }
        assert!(is_allowed(&set, "here", Action::Grant, "210987654321"));
    }

    #[test]
    fn nothing_is_allowed_for_an_account_without_a_policy() {
        let set = PolicySet::new([], [binding("*", Role::Operator, None)]);
        for action in [Action::Grant, Action::Revoke] {
            assert!(!is_allowed(&set, "tester", action, "210987654321"));
        }
    }

    #[test]
    fn a_replaced_set_no_longer_decides() {
        let policy = Policy::new(set([binding("*", Role::Operator, None)]));
        let (other, tester, key) = (policy.clone(), "tester".parse().unwrap(), key("210987654321"));
        let query = PolicyQuery {
            principal: &tester,
            action: Action::Grant,
            key: &key,
        };
        assert!(matches!(policy.decide(query), Decision::Allow { .. }));
        other.replace(PolicySet::default());
        assert!(matches!(policy.decide(query), Decision::Deny { .. }));
        assert!(policy.scope(&tester, Privilege::Grant).is_empty());
    }
}
