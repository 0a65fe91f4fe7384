//! Errors of the use cases. They do not depend on gRPC.

use std::sync::Arc;

use crate::{
    domain::{AccountId, AwsError, Change, ChangeId, Intent, PermissionKey, Region, RequestId},
    store::{CommitError, StoreError, changes::ChangeStatus},
};

/// A change that failed or was superseded, with the request that it answers.
#[derive(Debug)]
pub struct UnsuccessfulChange {
    /// The change, which has ended.
    pub change: Change,
    /// The request that gets this error.
    pub request_id: RequestId,
}

impl UnsuccessfulChange {
    /// True if another request opened the change, and this one joined it.
    pub fn is_joined(&self) -> bool {
        self.change.intent.request_id != self.request_id
    }
}

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service is not configured for this account or Region.
    #[error("account {account} is not configured in Region {region}")]
    NotConfigured {
        /// The account.
        account: AccountId,
        /// The Region.
        region: Region,
    },
    /// The policy refuses the change.
    #[error("{rule}")]
    Denied {
        /// The request, with the decision of the policy.
        intent: Arc<Intent>,
        /// The rule that refuses.
        rule: String,
        /// The index of the ledger entry. None if the refusal has no entry: it was counted, or it is of a validation.
        log_index: Option<u64>,
    },
    /// The policy cannot decide now, because AWS does not give a fact that it needs. Nothing was done.
    #[error("AWS does not give now what the policy needs to know about the image")]
    Undecided(AwsError),
    /// The request id was used for other content.
    #[error("request id {request_id} was already used for another request: change {change_id}")]
    RequestIdReused {
        /// The request id.
        request_id: RequestId,
        /// The change that it was used for.
        change_id: ChangeId,
    },
    /// The end that a grant asks for has passed.
    #[error("the end of the share has passed")]
    EndPassed,
    /// The schema still admits builds that know no ends of shares.
    #[error("an older version of the service may still run, and knows no ends of shares")]
    EndsNotAdmitted,
    /// AWS was not found to have a share of this permission that the ledger does not have.
    #[error("there is no unrecorded share of the permission {0} to adopt")]
    NothingToAdopt(PermissionKey),
    /// The schema still admits builds that know no adoptions.
    #[error("an older version of the service may still run, and knows no adoptions")]
    AdoptionsNotAdmitted,
    /// No change was ever accepted for this permission.
    #[error("no change was ever accepted for the permission {0}")]
    PermissionNotFound(PermissionKey),
    /// The account has no such change.
    #[error("account {0} has no change {1}")]
    ChangeNotFound(AccountId, ChangeId),
    /// The change has not ended before the caller's deadline. It continues.
    #[error("change {} was accepted and is still in progress", .0.change.id())]
    Pending(Box<ChangeStatus>),
    /// The deadline passed or the store became unavailable before the commit was confirmed. The change may have been accepted.
    #[error("it is not known whether change {} was accepted", .intent.change_id)]
    Unconfirmed {
        /// The requested change.
        intent: Arc<Intent>,
        /// True if the store became unavailable; false if the deadline passed.
        store_unavailable: bool,
    },
    /// The change has failed.
    #[error("change {} has failed", .0.change.id())]
    Failed(Box<UnsuccessfulChange>),
    /// A newer change superseded it.
    #[error("change {} was superseded by a newer change", .0.change.id())]
    Superseded(Box<UnsuccessfulChange>),
    /// A read of AWS failed.
    #[error("the read of AWS failed")]
    Upstream(AwsError),
    /// A read of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not commit the change.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The transition returned a reply that does not fit the command. A bug.
    #[error("internal error: the reply does not fit the command")]
    UnexpectedAnswer,
}
