//! Drift: differences between what AWS holds and what the ledger says.
//!
//! A difference is *seen* when AWS was read, *found* when it was seen twice and recorded, and *resolved* when it is no
//! longer there.

use super::{Access, Action, Cause, ChangeId, Permission, PermissionKey, Timestamp, change::names, id::ScanId};

/// The kind of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftDifference {
    /// AWS shares the image with the account, and the ledger has no share.
    UnrecordedShare,
    /// The ledger has a share, and AWS does not share the image with the account.
    MissingShare,
}
names!(DriftDifference {
    UnrecordedShare = "UNRECORDED_SHARE",
    MissingShare = "MISSING_SHARE",
});

impl DriftDifference {
    /// The difference between what AWS showed and what the ledger says, if they differ.
    pub fn between(shown: Access, recorded: Access) -> Option<Self> {
        match (shown, recorded) {
            (Access::Shared, Access::NotShared) => Some(Self::UnrecordedShare),
            (Access::NotShared, Access::Shared) => Some(Self::MissingShare),
            (Access::Shared, Access::Shared) | (Access::NotShared, Access::NotShared) => None,
        }
    }

    /// What AWS showed.
    pub fn shown(self) -> Access {
        match self {
            Self::UnrecordedShare => Access::Shared,
            Self::MissingShare => Access::NotShared,
        }
    }

    /// What a change that has succeeded made of it.
    pub fn resolved_by(self, action: Action, cause: Cause) -> DriftResolution {
        match (self, action) {
            (Self::UnrecordedShare, Action::Grant) => DriftResolution::Adopted,
            (Self::UnrecordedShare, Action::Revoke) => DriftResolution::Revoked,
            (Self::MissingShare, Action::Grant) => DriftResolution::Restored,
            // Nobody accepted it: the share has reached its end.
            (Self::MissingShare, Action::Revoke) if cause == Cause::Expiry => DriftResolution::Gone,
            (Self::MissingShare, Action::Revoke) => DriftResolution::Accepted,
        }
    }
}

/// The most unrecorded shares of an account with this number of recorded shares that are revoked within a day without a caller.
/// If more are found, something else is wrong, and none is revoked.
pub fn brake_limit(shares: u64) -> u64 {
    (shares / 10).max(10)
}

/// What became of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriftResolution {
    /// A grant made an unrecorded share one of the service's.
    Adopted,
    /// A revoke took an unrecorded share away.
    Revoked,
    /// A grant made a missing share again.
    Restored,
    /// A revoke recorded that a missing share has ended.
    Accepted,
    /// It went away by itself: AWS holds again what the ledger says, or the share has reached its end.
    Gone,
}
names!(DriftResolution {
    Adopted = "ADOPTED",
    Revoked = "REVOKED",
    Restored = "RESTORED",
    Accepted = "ACCEPTED",
    Gone = "GONE",
});

/// A permission at a moment. Any change of it gives another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionStamp {
    /// The number of accepted changes.
    pub generation: u64,
    /// The epoch of the newest lease.
    pub lease_epoch: u64,
    /// The time of the last update.
    pub updated_at: Timestamp,
}

impl PermissionStamp {
    /// The stamp of a permission now.
    pub fn of(permission: &Permission) -> Self {
        Self {
            generation: permission.generation,
            lease_epoch: permission.lease_epoch,
            updated_at: permission.updated_at,
        }
    }
}

/// What AWS showed of one permission, in two looks with nothing between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Which permission.
    pub key: PermissionKey,
    /// What AWS showed.
    pub shown: Access,
    /// A time before the first look, on the database's clock.
    pub first_seen_at: Timestamp,
    /// A time before the last look, on the database's clock.
    pub seen_at: Timestamp,
    /// The scan of the last look.
    pub scan_id: ScanId,
    /// The permission as it was before the first look and before the last one. None if there was none.
    pub permission: Option<PermissionStamp>,
}

/// A confirmed difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftFinding {
    /// Which permission.
    pub key: PermissionKey,
    /// How AWS and the ledger differ.
    pub difference: DriftDifference,
    /// The index of its `drift.found` entry.
    pub found_index: u64,
    /// When AWS first showed it.
    pub first_seen_at: Timestamp,
    /// When it was recorded.
    pub found_at: Timestamp,
    /// The scan that confirmed it.
    pub scan_id: ScanId,
    /// What became of it. None while it is open.
    pub resolved: Option<ResolvedDrift>,
}

/// The end of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolvedDrift {
    /// What became of the difference.
    pub resolution: DriftResolution,
    /// The index of the `drift.resolved` entry.
    pub index: u64,
    /// When that entry was recorded.
    pub at: Timestamp,
    /// The change that resolved it. None if it went away by itself.
    pub change_id: Option<ChangeId>,
}
