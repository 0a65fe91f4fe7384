//! Which accounts a message is about. A handler whose message does not say so does not compile.

use crate::{policy::roles::Scope, proto::v1};

/// What a message is about. The texts are as they came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamedAccounts<'a> {
    /// One account.
    One(&'a str),
    /// These accounts, or all of them if there are none.
    Several(&'a [String]),
    /// A change: the use case asks the policy, so that a refusal is recorded.
    Change,
}

impl NamedAccounts<'_> {
    /// Is all of it within the scope? A text that is no account is in no scope but that of everything.
    pub(super) fn is_within(&self, scope: &Scope) -> bool {
        let Scope::Only(_) = scope else { return true };
        let covers = |account: &str| account.parse().is_ok_and(|account| scope.covers(account));
        match self {
            Self::One(account) => covers(account),
            Self::Several(accounts) => !accounts.is_empty() && accounts.iter().all(|account| covers(account)),
            Self::Change => true,
        }
    }
}

/// A message that says which accounts it is about.
pub(super) trait NamesAccounts {
    /// Which.
    fn accounts(&self) -> NamedAccounts<'_>;
}

/// Messages about one account; left out where it may be, it stands for all.
macro_rules! one_account {
    ($($message:ident),* $(,)?) => {
        $(impl NamesAccounts for v1::$message {
            fn accounts(&self) -> NamedAccounts<'_> {
                NamedAccounts::One(&self.account_id)
            }
        })*
    };
}

/// Messages about several accounts, or about all.
macro_rules! several_accounts {
    ($($message:ident),* $(,)?) => {
        $(impl NamesAccounts for v1::$message {
            fn accounts(&self) -> NamedAccounts<'_> {
                NamedAccounts::Several(&self.account_ids)
            }
        })*
    };
}

one_account!(
    GetSharePermissionRequest,
    ListSharePermissionsRequest,
    GetChangeRequest,
    ListImagesRequest,
    GetAuditEntryRequest,
    ListPermissionHistoryRequest,
    GetSharePermissionsAtRequest,
    ExportAuditEntriesRequest,
    GetCheckpointRequest,
    AddCheckpointSignaturesRequest,
    GetInclusionProofRequest,
    GetConsistencyProofRequest,
);

several_accounts!(
    ListChangesRequest,
    SummarizeAuditEntriesRequest,
    WatchAuditEntriesRequest
);

impl NamesAccounts for v1::ListAuditEntriesRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Several(self.filter.as_ref().map_or(&[], |filter| &filter.account_ids))
    }
}

impl NamesAccounts for v1::GrantSharePermissionRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Change
    }
}

impl NamesAccounts for v1::RevokeSharePermissionRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Change
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn who_may_see_some_accounts_must_ask_about_these() {
        let some = Scope::Only(BTreeSet::from(["111122223333".parse().unwrap()]));
        let within = |about: NamedAccounts<'_>| about.is_within(&some);
        let accounts = |accounts: &[&str]| accounts.iter().map(|account| (*account).to_owned()).collect::<Vec<_>>();
        assert!(within(NamedAccounts::One("111122223333")));
        assert!(within(NamedAccounts::Several(&accounts(&["111122223333"]))));
        for wrong in ["444455556666", "", "*", " 111122223333"] {
            assert!(!within(NamedAccounts::One(wrong)), "{wrong:?}");
            assert!(
                !within(NamedAccounts::Several(&accounts(&["111122223333", wrong]))),
                "{wrong:?}"
            );
            assert!(NamedAccounts::One(wrong).is_within(&Scope::Everywhere));
        }
        assert!(!within(NamedAccounts::Several(&[])), "all of them");
        let nowhere = Scope::Only(BTreeSet::new());
        assert!(!NamedAccounts::One("111122223333").is_within(&nowhere));
    }
}
