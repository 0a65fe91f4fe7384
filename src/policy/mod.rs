//! May this be done? One answer from two kinds of rules: [`roles`] say who may do what in which accounts, and each account
//! says with whom its images may be shared.
//!
//! A grant needs both. A revoke needs its role only: taking access away is never the mistake that the list of recipients
//! guards against, and an account that was struck off the list must still be revocable.

pub mod roles;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{AccountId, Action, PermissionKey, Principal};

use roles::{Binding, Operation, Scope};

/// Whom an account's images may be shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareWith {
    /// Any account.
    Anyone,
    /// These accounts only.
    Only(BTreeSet<AccountId>),
}

/// What the policy said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allowed,
    /// Don't; by this rule, in words for the caller and the ledger.
    Denied {
        /// The rule.
        rule: String,
    },
}

/// The policy. Without any rule nothing is allowed.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    accounts: BTreeMap<AccountId, ShareWith>,
    roles: Vec<Binding>,
}

impl Policy {
    /// A policy of what each account allows and who has which roles.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountId, ShareWith)>,
        roles: impl IntoIterator<Item = Binding>,
    ) -> Self {
        Self {
            accounts: accounts.into_iter().collect(),
            roles: roles.into_iter().collect(),
        }
    }

    /// In which accounts a principal may do this.
    pub fn scope(&self, principal: &Principal, operation: Operation) -> Scope {
        roles::scope(&self.roles, principal, operation)
    }

    /// May this be changed by this principal?
    pub fn decide(&self, principal: &Principal, action: Action, key: &PermissionKey) -> Decision {
        let operation = Operation::from(action);
        if !self.scope(principal, operation).covers(key.account) {
            let rule = operation.refusal(principal, Some(key.account));
            return Decision::Denied { rule };
        }
        let share_with = self.accounts.get(&key.account);
        let allowed = match (action, share_with) {
            (Action::Revoke, Some(_)) | (Action::Grant, Some(ShareWith::Anyone)) => true,
            (Action::Grant, Some(ShareWith::Only(accounts))) => accounts.contains(&key.shared_account),
            (_, None) => false,
        };
        if allowed {
            Decision::Allowed
        } else {
            let rule = format!(
                "images of account {} may not be shared with account {}",
                key.account, key.shared_account
            );
            Decision::Denied { rule }
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn binding(principal: &str, role: Role, accounts: Option<&str>) -> Binding {
        Binding {
            principal: principal.parse().unwrap(),
            roles: BTreeSet::from([role]),
            accounts: accounts.map(|account| BTreeSet::from([account.parse().unwrap()])),
        }
    }

    fn decide(policy: &Policy, principal: &str, action: Action, shared: &str) -> Decision {
        policy.decide(&principal.parse().unwrap(), action, &key(shared))
    }

    fn policy(roles: impl IntoIterator<Item = Binding>) -> Policy {
        let listed = ShareWith::Only(BTreeSet::from(["210987654321".parse().unwrap()]));
        Policy::new([(ACCOUNT.parse().unwrap(), listed)], roles)
    }

    #[test]
    fn grants_are_allowed_to_listed_accounts_only_and_revokes_always() {
        let policy = policy([binding("*", Role::Operator, None)]);
        assert_eq!(
            decide(&policy, "tester", Action::Grant, "210987654321"),
            Decision::Allowed
        );
        assert!(matches!(
            decide(&policy, "tester", Action::Grant, "999999999999"),
            Decision::Denied { .. }
        ));
        assert_eq!(
            decide(&policy, "tester", Action::Revoke, "999999999999"),
            Decision::Allowed
        );
    }

    #[test]
    fn who_is_no_operator_of_the_account_changes_nothing_and_is_told_why() {
        let policy = policy([
            binding("reader", Role::Viewer, None),
            binding("reader", Role::Auditor, None),
            binding("elsewhere", Role::Operator, Some("444455556666")),
            binding("here", Role::Operator, Some(ACCOUNT)),
        ]);
        for principal in ["reader", "elsewhere", "nobody"] {
            for action in [Action::Grant, Action::Revoke] {
                let Decision::Denied { rule } = decide(&policy, principal, action, "210987654321") else {
                    panic!("{principal} may {action:?}");
                };
                assert!(rule.contains(principal) && rule.contains(ACCOUNT), "{rule}");
            }
        }
        assert_eq!(
            decide(&policy, "here", Action::Grant, "210987654321"),
            Decision::Allowed
        );
    }

    #[test]
    fn nothing_is_allowed_for_an_account_without_a_policy() {
        let policy = Policy::new([], [binding("*", Role::Operator, None)]);
        for action in [Action::Grant, Action::Revoke] {
            assert!(matches!(
                decide(&policy, "tester", action, "210987654321"),
                Decision::Denied { .. }
            ));
        }
    }
}
