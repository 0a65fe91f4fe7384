//! The share permission: the work item of the service. There is no queue of commands beside it.

use std::fmt;

use super::{AccountId, Action, ChangeId, ImageId, Region, ReplicaId, Timestamp};

/// Names one permission: may `shared_account` copy `image`, which `account` owns in `region`?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionKey {
    /// Owns the image. The unit of scale: everything that is stored is keyed by it first.
    pub account: AccountId,
    /// Where the image is.
    pub region: Region,
    /// The image.
    pub image: ImageId,
    /// May, or may not, copy the image. Never the owner.
    pub shared_account: AccountId,
}

impl fmt::Display for PermissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.account, self.region, self.image, self.shared_account
        )
    }
}

/// Whether an account may copy an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It may.
    Shared,
    /// It may not.
    NotShared,
}

impl Access {
    /// The name in the ledger and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "SHARED",
            Self::NotShared => "NOT_SHARED",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Shared, Self::NotShared]
            .into_iter()
            .find(|access| access.as_str() == text)
    }
}

impl From<Action> for Access {
    fn from(action: Action) -> Self {
        match action {
            Action::Grant => Self::Shared,
            Action::Revoke => Self::NotShared,
        }
    }
}

/// The right of one replica to call AWS for one permission, until it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub owner: ReplicaId,
    /// Counts the leases of a permission: a holder whose epoch is over cannot settle (a fencing token, for the store).
    pub epoch: u64,
    /// When it runs out, on the database's clock.
    pub expires_at: Timestamp,
}

/// A call whose end nobody saw may still take effect at AWS, which has no token to fence it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnresolvedCall {
    /// What it asked for. There is never more than one value on its way: see [`transition`](super::transition).
    pub access: Access,
    /// Until when it may, on the database's clock.
    pub until: Timestamp,
}

/// What is known of one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Its name.
    pub key: PermissionKey,
    /// What the newest accepted change asks for. After a failure: what is known to be applied.
    pub desired: Option<Access>,
    /// What AWS was last known to hold; nothing, where that is not known, or not known any more.
    pub applied: Option<Access>,
    /// Counts the changes accepted.
    pub generation: u64,
    /// The change being applied: the one the lease is for, or that waits for its next attempt.
    pub current: Option<ChangeId>,
    /// A newer change, accepted while a call for `current` may be in flight.
    pub next: Option<ChangeId>,
    /// Held while a call to AWS may be in flight, and only then.
    pub lease: Option<Lease>,
    /// The epoch of the newest lease, held or over. A lease that is taken from a lost holder leaves one out.
    pub lease_epoch: u64,
    /// True when a call for `current` may have had an effect that was not read back yet: its next attempt begins with that.
    pub in_doubt: bool,
    /// The newest lost call, of `current` or of a change before it, until AWS was read back when it could take effect no more,
    /// or took another call.
    pub unresolved_call: Option<UnresolvedCall>,
    /// When `current` is due for its next attempt, if no lease is held.
    pub next_attempt_at: Option<Timestamp>,
    /// When the first change was accepted.
    pub created_at: Timestamp,
    /// When anything here last changed.
    pub updated_at: Timestamp,
}

/// Where a permission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PermissionState {
    /// A change is under way.
    Pending,
    /// Nothing is under way, and AWS was last known to share.
    Shared,
    /// Nothing is under way, and AWS was last known not to share.
    NotShared,
    /// Nothing is under way, and what AWS holds is not known, or not known any more.
    Unknown,
}

impl PermissionState {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Shared => "SHARED",
            Self::NotShared => "NOT_SHARED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Permission {
    /// A permission that no change was ever accepted for.
    pub fn new(key: PermissionKey, now: Timestamp) -> Self {
        Self {
            key,
            desired: None,
            applied: None,
            generation: 0,
            current: None,
            next: None,
            lease: None,
            lease_epoch: 0,
            in_doubt: false,
            unresolved_call: None,
            next_attempt_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> PermissionState {
        match (self.current, self.applied) {
            (Some(_), _) => PermissionState::Pending,
            (None, Some(Access::Shared)) => PermissionState::Shared,
            (None, Some(Access::NotShared)) => PermissionState::NotShared,
            (None, None) => PermissionState::Unknown,
        }
    }

    /// It is known what AWS holds: a lost call that can take effect no more is of no interest.
    pub(in crate::domain) fn drop_resolved_call(&mut self, now: Timestamp) {
        self.unresolved_call = self.unresolved_call.filter(|landing| landing.until > now);
    }

    /// The newest change that has not ended.
    pub fn pending_change(&self) -> Option<ChangeId> {
        self.next.or(self.current)
    }
}
