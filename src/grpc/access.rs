//! The accounts that a request names. A handler does not compile if its request type has no implementation here.

use crate::{policy::roles::Scope, proto::v1};

/// The accounts of a request, as the unparsed text of the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamedAccounts<'a> {
    /// One account.
    One(&'a str),
    /// These accounts. Empty: all accounts.
    Several(&'a [String]),
    /// A change. The use case asks the policy, so that a refusal is recorded in the ledger, or explained.
    Change,
    /// None: the answer is about the caller, and shows only accounts in which it has a role.
    Caller,
}

impl NamedAccounts<'_> {
    /// True if the scope covers every named account. A text that is not an account id is only within [`Scope::Everywhere`].
    pub(super) fn is_within(&self, scope: &Scope) -> bool {
        let Scope::Only(_) = scope else { return true };
        let covers = |account: &str| account.parse().is_ok_and(|account| scope.covers(account));
        match self {
            Self::One(account) => covers(account),
            Self::Several(accounts) => !accounts.is_empty() && accounts.iter().all(|account| covers(account)),
            Self::Change | Self::Caller => true,
        }
    }
}

/// A request that names accounts.
pub(super) trait NamesAccounts {
    /// The named accounts.
    fn accounts(&self) -> NamedAccounts<'_>;
}

/// Requests with one account. If the account is optional, an empty one means all accounts.
macro_rules! one_account {
    ($($message:ident),* $(,)?) => {
        $(impl NamesAccounts for v1::$message {
            fn accounts(&self) -> NamedAccounts<'_> {
                NamedAccounts::One(&self.account_id)
            }
        })*
    };
}

/// Requests with a list of accounts. An empty list means all accounts.
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
    ScanNowRequest,
    ListDriftScansRequest,
    ListDriftFindingsRequest,
    GetDriftFindingRequest,
    GetDriftBaselineRequest,
    ConfirmDriftBaselineRequest,
    WithdrawDriftBaselineRequest,
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

impl NamesAccounts for v1::GetCallerIdentityRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Caller
    }
}

impl NamesAccounts for v1::GetPolicySetRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        // A set is of all accounts, and entries of any account can name it.
        NamedAccounts::Caller
    }
}

impl NamesAccounts for v1::ListAccountsRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Caller
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

impl NamesAccounts for v1::ExplainPolicyRequest {
    fn accounts(&self) -> NamedAccounts<'_> {
        NamedAccounts::Change
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_principal_with_some_accounts_must_name_only_these() {
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
