//! Which accounts a message is about. A handler whose message does not say so does not compile.

use crate::{policy::roles::Scope, proto::v1};

/// What a message is about. The texts are as they came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// One account.
    Account(&'a str),
    /// These accounts, or all of them if there are none.
    Accounts(&'a [String]),
    /// A change: the use case asks the policy, so that a refusal is recorded.
    Change,
}

impl About<'_> {
    /// Is all of it within the scope? A text that is no account is in no scope but that of everything.
    pub(super) fn is_within(&self, scope: &Scope) -> bool {
        let Scope::Only(_) = scope else { return true };
        let covers = |account: &str| account.parse().is_ok_and(|account| scope.covers(account));
        match self {
            Self::Account(account) => covers(account),
            Self::Accounts(accounts) => !accounts.is_empty() && accounts.iter().all(|account| covers(account)),
            Self::Change => true,
        }
    }
}

/// A message that says which accounts it is about.
pub(super) trait Concerns {
    /// Which.
    fn about(&self) -> About<'_>;
}

/// Messages about one account; left out where it may be, it stands for all.
macro_rules! one_account {
    ($($message:ident),* $(,)?) => {
        $(impl Concerns for v1::$message {
            fn about(&self) -> About<'_> {
                About::Account(&self.account_id)
            }
        })*
    };
}

/// Messages about several accounts, or about all.
macro_rules! several_accounts {
    ($($message:ident),* $(,)?) => {
        $(impl Concerns for v1::$message {
            fn about(&self) -> About<'_> {
                About::Accounts(&self.account_ids)
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

impl Concerns for v1::ListAuditEntriesRequest {
    fn about(&self) -> About<'_> {
        About::Accounts(self.filter.as_ref().map_or(&[], |filter| &filter.account_ids))
    }
}

impl Concerns for v1::GrantSharePermissionRequest {
    fn about(&self) -> About<'_> {
        About::Change
    }
}

impl Concerns for v1::RevokeSharePermissionRequest {
    fn about(&self) -> About<'_> {
        About::Change
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn who_may_see_some_accounts_must_ask_about_these() {
        let some = Scope::Only(BTreeSet::from(["111122223333".parse().unwrap()]));
        let within = |about: About<'_>| about.is_within(&some);
        let accounts = |accounts: &[&str]| accounts.iter().map(|account| (*account).to_owned()).collect::<Vec<_>>();
        assert!(within(About::Account("111122223333")));
        assert!(within(About::Accounts(&accounts(&["111122223333"]))));
        for wrong in ["444455556666", "", "*", " 111122223333"] {
            assert!(!within(About::Account(wrong)), "{wrong:?}");
            assert!(
                !within(About::Accounts(&accounts(&["111122223333", wrong]))),
                "{wrong:?}"
            );
            assert!(About::Account(wrong).is_within(&Scope::Everywhere));
        }
        assert!(!within(About::Accounts(&[])), "all of them");
        let nowhere = Scope::Only(BTreeSet::new());
        assert!(!About::Account("111122223333").is_within(&nowhere));
    }
}
