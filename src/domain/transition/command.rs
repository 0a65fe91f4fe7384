//! What can be asked of an account, and what is answered.

use std::{sync::Arc, time::Duration};

use crate::domain::{
    Access, AccountId, Attempt, Change, ChangeFailure, ChangeId, Intent, Permission, PermissionKey, ReplicaId,
    RequestId, Timestamp,
};

/// What can be asked of an account.
#[derive(Debug, Clone)]
pub enum Command {
    /// Accept a change.
    Open(Arc<Intent>),
    /// Record that the policy refused, and by which rule. Nothing is accepted; but a replay gets its first answer.
    Deny(Arc<Intent>, String),
    /// Take up the permission's change, if it is due and nobody holds a lease on it.
    Claim(PermissionKey),
    /// Lengthen a lease before the first call under it that changes something.
    Renew {
        /// The permission worked on.
        key: PermissionKey,
        /// The epoch of the lease.
        epoch: u64,
        /// The calls made under the lease so far, oldest first: AWS was read back.
        attempts: Vec<Attempt>,
    },
    /// Record what became of the work done under a lease, and give the lease back.
    Settle(Settlement),
}

impl Command {
    /// The account that it is asked of. Everything that it reads or changes belongs to this account.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Open(intent) | Self::Deny(intent, _) => intent.key.account,
            Self::Claim(key) | Self::Renew { key, .. } => key.account,
            Self::Settle(settlement) => settlement.key.account,
        }
    }

    /// The rows that must be loaded before it is applied.
    pub fn required_rows(&self) -> RequiredRows<'_> {
        match self {
            Self::Open(intent) | Self::Deny(intent, _) => RequiredRows {
                permission: Some(&intent.key),
                request: Some(intent.request_id),
            },
            Self::Claim(key) | Self::Renew { key, .. } => RequiredRows::permission(key),
            Self::Settle(settlement) => RequiredRows::permission(&settlement.key),
        }
    }

    /// True if it may begin work that nobody does yet. A server that ends takes up no such command.
    pub fn begins_work(&self) -> bool {
        match self {
            Self::Open(_) | Self::Deny(..) | Self::Claim(_) => true,
            Self::Renew { .. } | Self::Settle(_) => false,
        }
    }
}

/// What a command touches, beside the head of its account's ledger. The changes that a permission works on, and the change that
/// answers a request, belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredRows<'a> {
    /// This permission.
    pub permission: Option<&'a PermissionKey>,
    /// The request with this id.
    pub request: Option<RequestId>,
}

impl<'a> RequiredRows<'a> {
    fn permission(key: &'a PermissionKey) -> Self {
        Self {
            permission: Some(key),
            request: None,
        }
    }
}

/// What became of the work done under a lease.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The permission worked on.
    pub key: PermissionKey,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The change worked on.
    pub change_id: ChangeId,
    /// The calls made under the lease, oldest first.
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub outcome: WorkOutcome,
}

/// How the work under a lease ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkOutcome {
    /// The change is in effect.
    Succeeded,
    /// The change is known not to be in effect.
    Failed {
        /// Why.
        failure: ChangeFailure,
        /// What AWS holds, where it was read back.
        observed: Option<Access>,
    },
    /// Not decided yet.
    Retry {
        /// Wait so long.
        delay: Duration,
        /// Begin with reading back: a call may have had an effect.
        in_doubt: bool,
        /// What AWS holds, where it was read back when no lost call could take effect any more.
        observed: Option<Access>,
    },
}

/// A change to work on, under a lease that was just taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The change.
    pub change: Change,
    /// The epoch of the lease.
    pub epoch: u64,
    /// How long the lease lasts, from the commit that gave it.
    pub lease_for: Duration,
    /// How long ago the change was accepted, at the commit that gave the lease.
    pub age: Duration,
    /// Read back before calling: an earlier call may have had an effect.
    pub in_doubt: bool,
    /// An earlier call was lost, and AWS was not read back since it can take effect no more: from the commit that gave the
    /// lease it can for so long yet.
    pub unresolved_for: Option<Duration>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// The change was accepted.
    Opened(Snapshot),
    /// A change that does the same is under way, and the request has joined it: it has the same end.
    Joined(Snapshot),
    /// The same request was accepted before; this is where its change stands.
    Replayed(Snapshot),
    /// The request id was used for other content, in this change.
    RequestIdReused(ChangeId),
    /// The refusal was recorded at this index, with this rule.
    Denied(u64, String),
    /// The permission's change was taken up.
    Claimed,
    /// There is nothing to take up, it is not due, or somebody holds a lease on it.
    NotClaimed,
    /// The lease was lengthened. The work may be a newer change than before.
    Renewed(Box<Work>),
    /// The lease was given back: a newer change has taken over, and it has to wait for what may be landing.
    GaveWay,
    /// The outcome was recorded.
    Settled,
    /// The lease of this epoch is over; nothing was recorded.
    LeaseLost,
}

/// A change and its permission, as they stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The change.
    pub change: Change,
    /// Its permission.
    pub permission: Permission,
}

/// What a transition needs to know beside the state.
#[derive(Debug, Clone, Copy)]
pub struct TransitionContext {
    /// The database's clock, read together with the ledger's head.
    pub now: Timestamp,
    /// Who takes the leases.
    pub replica: ReplicaId,
    /// How long a lease lasts.
    pub lease_for: Duration,
    /// How long after its end here a call whose end nobody saw may still take effect at AWS.
    pub landing_window: Duration,
}
