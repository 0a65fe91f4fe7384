//! May this be done? For now a list per account of the accounts that its images may be shared with.
//!
//! A revoke is always allowed where the account is configured: taking access away is never the mistake that this guards
//! against, and an account that was struck off the list must still be revocable.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{AccountId, Action, PermissionKey};

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

/// The policy of every account.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    accounts: BTreeMap<AccountId, ShareWith>,
}

impl Policy {
    /// A policy from what each account allows.
    pub fn new(accounts: impl IntoIterator<Item = (AccountId, ShareWith)>) -> Self {
        Self {
            accounts: accounts.into_iter().collect(),
        }
    }

    /// May this be done?
    pub fn decide(&self, action: Action, key: &PermissionKey) -> Decision {
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
    use super::*;

    fn key(shared: &str) -> PermissionKey {
        PermissionKey {
            account: "111122223333".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
            shared_account: shared.parse().unwrap(),
        }
    }

    #[test]
    fn grants_are_allowed_to_listed_accounts_only_and_revokes_always() {
        let listed = ShareWith::Only(BTreeSet::from(["210987654321".parse().unwrap()]));
        let policy = Policy::new([("111122223333".parse().unwrap(), listed)]);
        assert_eq!(policy.decide(Action::Grant, &key("210987654321")), Decision::Allowed);
        assert!(matches!(
            policy.decide(Action::Grant, &key("999999999999")),
            Decision::Denied { .. }
        ));
        assert_eq!(policy.decide(Action::Revoke, &key("999999999999")), Decision::Allowed);
    }

    #[test]
    fn nothing_is_allowed_for_an_account_without_a_policy() {
        for action in [Action::Grant, Action::Revoke] {
            assert!(matches!(
                Policy::default().decide(action, &key("210987654321")),
                Decision::Denied { .. }
            ));
        }
    }
}
