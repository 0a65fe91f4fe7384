//! The share permission. It is the unit of work of the service: due work is found in permissions, not in a separate queue.

use std::fmt;

use super::{AccountId, Action, Basis, ChangeId, ImageId, Region, ReplicaId, Timestamp};

/// Identifies one permission: whether `shared_account` may copy `image`, which `account` owns in `region`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionKey {
    /// The owner of the image. The first part of every stored key, and so the unit of scaling.
    pub account: AccountId,
    /// The Region of the image.
    pub region: Region,
    /// The image id.
    pub image: ImageId,
    /// The account that may copy the image or not. Never the owner.
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
    /// The account may copy the image.
    Shared,
    /// The account may not copy the image.
    NotShared,
}

impl Access {
    /// The name in the ledger and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "SHARED",
            Self::NotShared => "NOT_SHARED",
        }
    }

    /// The inverse of [`as_str`](Self::as_str). None for any other text.
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

/// The right of one replica to call AWS for one permission until the lease expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The replica that holds it.
    pub owner: ReplicaId,
    /// Counts the leases of a permission. It is the fencing token: the store refuses the outcome of an older epoch.
    pub epoch: u64,
    /// The expiry, on the database's clock.
    pub expires_at: Timestamp,
}

/// A call whose result was not seen, and which may still take effect. AWS has no fencing token that could prevent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnresolvedCall {
    /// The requested access. All unresolved calls of a permission ask for the same: see [`transition`](super::transition).
    pub access: Access,
    /// The latest time at which it may take effect, on the database's clock.
    pub until: Timestamp,
}

/// The stored state of one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Which permission.
    pub key: PermissionKey,
    /// What the newest accepted change asks for. After a failure, the value of `applied`.
    pub desired: Option<Access>,
    /// What AWS was last known to hold. None if that is unknown.
    pub applied: Option<Access>,
    /// Why the image is shared: the grant that last succeeded. None after a revoke, and if an older build recorded the grant.
    pub basis: Option<Basis>,
    /// The time from which the end of the share is to be carried out. None if no end is set, or if a newer change is in progress.
    /// It is later than the end of the basis if a revoke at the end failed.
    pub end_due_at: Option<Timestamp>,
    /// The number of accepted changes.
    pub generation: u64,
    /// The change being applied: it has the lease, or waits for its next attempt.
    pub current: Option<ChangeId>,
    /// A newer change, which waits because a call for `current` may be in flight.
    pub next: Option<ChangeId>,
    /// The lease. It is held only while a call to AWS may be in flight.
    pub lease: Option<Lease>,
    /// The epoch of the newest lease, held or ended. A claim or an open skips one epoch before its lease.
    pub lease_epoch: u64,
    /// True if a call for `current` may have taken effect and was not read back. The next attempt then starts with a read back.
    pub in_doubt: bool,
    /// The newest unresolved call, of `current` or of an earlier change. It stays until AWS accepts another call, or until AWS is
    /// read after the call can take effect no more.
    pub unresolved_call: Option<UnresolvedCall>,
    /// The time of the next attempt for `current`, if no lease is held.
    pub next_attempt_at: Option<Timestamp>,
    /// The time of the first accepted change.
    pub created_at: Timestamp,
    /// The time of the last update.
    pub updated_at: Timestamp,
}

/// What callers see of a permission: a change in progress, or the last known access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PermissionState {
    /// A change is in progress.
    Pending,
    /// No change is in progress, and AWS was last known to share the image.
    Shared,
    /// No change is in progress, and AWS was last known not to share the image.
    NotShared,
    /// No change is in progress, and it is unknown what AWS holds.
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
    /// A permission without any accepted change.
    pub fn new(key: PermissionKey, now: Timestamp) -> Self {
        Self {
            key,
            desired: None,
            applied: None,
            basis: None,
            end_due_at: None,
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

    /// The state, derived from `current` and `applied`.
    pub fn state(&self) -> PermissionState {
        match (self.current, self.applied) {
            (Some(_), _) => PermissionState::Pending,
            (None, Some(Access::Shared)) => PermissionState::Shared,
            (None, Some(Access::NotShared)) => PermissionState::NotShared,
            (None, None) => PermissionState::Unknown,
        }
    }

    /// The basis, unless AWS is known not to share the image.
    pub fn basis_in_effect(&self) -> Option<Basis> {
        self.basis.filter(|_| self.applied != Some(Access::NotShared))
    }

    /// Drops the unresolved call if it can take effect no more. Call it only where it is known what AWS holds.
    pub(in crate::domain) fn drop_resolved_call(&mut self, now: Timestamp) {
        self.unresolved_call = self.unresolved_call.filter(|call| call.until > now);
    }

    /// The newest change that has not ended.
    pub fn pending_change(&self) -> Option<ChangeId> {
        self.next.or(self.current)
    }
}
