//! Why a use case did not do what was asked. Knows nothing of gRPC.

use std::sync::Arc;

use crate::{
    domain::{AccountId, AwsError, Change, ChangeId, Intent, PermissionKey, Region, RequestId},
    store::{CommitError, StoreError},
};

/// A change that did not succeed, as the answer to a request.
#[derive(Debug)]
pub struct UnsuccessfulChange {
    /// The change.
    pub change: Change,
    /// The request that is answered.
    pub request_id: RequestId,
}

impl UnsuccessfulChange {
    /// True when another request had opened the change, and this one joined it.
    pub fn is_joined(&self) -> bool {
        self.change.intent.request_id != self.request_id
    }
}

/// Why a use case did not do what was asked.
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
    /// The policy refuses.
    #[error("{rule}")]
    Denied {
        /// Which permission.
        key: PermissionKey,
        /// The rule that refuses.
        rule: String,
        /// Where the ledger says so; nowhere, if nothing was to be done anyway.
        log_index: Option<u64>,
    },
    /// The request id was used for other content.
    #[error("request id {request_id} was used for another request: change {change_id}")]
    RequestIdReused {
        /// The request id.
        request_id: RequestId,
        /// What it was used for.
        change_id: ChangeId,
    },
    /// No change was ever accepted for this permission.
    #[error("no change was ever accepted for the permission {0}")]
    PermissionNotFound(PermissionKey),
    /// The account has no such change.
    #[error("account {0} has no change {1}")]
    ChangeNotFound(AccountId, ChangeId),
    /// The change goes on after the caller's deadline.
    #[error("change {} was accepted and goes on", .0.id())]
    Pending(Box<Change>),
    /// The deadline passed, or the store went away, before it was known whether the change was accepted.
    #[error("it is not known whether change {} was accepted", .intent.change_id)]
    Unconfirmed {
        /// What was asked for.
        intent: Arc<Intent>,
        /// What kept the answer: the store, or else the deadline.
        store_unavailable: bool,
    },
    /// The change has failed.
    #[error("change {} has failed", .0.change.id())]
    Failed(Box<UnsuccessfulChange>),
    /// A newer change took its place.
    #[error("change {} was overtaken by a newer one", .0.change.id())]
    Superseded(Box<UnsuccessfulChange>),
    /// AWS did not answer a question.
    #[error("AWS did not answer")]
    Upstream(AwsError),
    /// The store did not answer a question.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The transition gave an answer to another question.
    #[error("an answer that does not fit its command")]
    UnexpectedAnswer,
}
