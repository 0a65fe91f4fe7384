//! The filter of entries.

use crate::domain::{AccountId, Action, Cause, ChangeId, ImageId, KindName, Principal, Region, RequestId, Timestamp};

/// Which entries to list. What is absent or empty matches everything; of several values any may match; all fields must.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Entries of these ledgers.
    pub accounts: Vec<AccountId>,
    /// Entries about images in these Regions.
    pub regions: Vec<Region>,
    /// Entries about this image.
    pub image: Option<ImageId>,
    /// Entries about sharing with this account.
    pub shared_account: Option<AccountId>,
    /// Entries of changes that these asked for.
    pub principals: Vec<Principal>,
    /// These actions.
    pub actions: Vec<Action>,
    /// These kinds.
    pub kinds: Vec<KindName>,
    /// These causes.
    pub causes: Vec<Cause>,
    /// Entries of this change.
    pub change: Option<ChangeId>,
    /// Entries of this request.
    pub request: Option<RequestId>,
    /// Entries whose last call to AWS has this request id.
    pub aws_request: Option<String>,
    /// Recorded at this time or later.
    pub from: Option<Timestamp>,
    /// Recorded before this time.
    pub to: Option<Timestamp>,
    /// The reason or the ticket contains this, whatever the case of its letters.
    pub text: Option<String>,
}
