//! The commands of an account, their replies, and what goes with them.
//!
//! `main.rs` has a `Command` too: a subcommand of the program. The two never meet.

use std::{sync::Arc, time::Duration};

use crate::domain::{
    Access, AccountId, Attempt, Cause, Change, ChangeFailure, ChangeId, ConfirmationBody, Decision, DenialsBody,
    DriftBaselineBody, EventId, Intent, Observation, Permission, PermissionKey, Region, ReplicaId, RequestId,
    SharingEvent, Timestamp,
};

/// A command to one account.
#[derive(Debug, Clone)]
pub enum Command {
    /// Accept a change.
    Open(Arc<Intent>),
    /// Answer a request if it was accepted before. It accepts nothing, so it needs no decision of the policy.
    Replay(Arc<Intent>),
    /// Accept the revoke of a share at its end, if this change is still its basis, or a grant in progress, and its end is due.
    End(Arc<Intent>, ChangeId),
    /// Record a refusal by the policy, with its message. A replay of an accepted request still gets its first answer.
    Deny(Arc<Intent>, String),
    /// Record a number of refusals that were counted.
    RecordDenials(AccountId, Arc<DenialsBody>),
    /// Take a lease for the permission's change, if the change is due and has no lease.
    Claim(PermissionKey),
    /// Renew a lease before the first mutating call under it.
    Renew {
        /// The permission of the lease.
        key: PermissionKey,
        /// The epoch of the lease.
        epoch: u64,
        /// The reads made under the lease so far, oldest first.
        attempts: Vec<Attempt>,
    },
    /// Record the outcome of the work under a lease, and end the lease.
    Settle(Settlement),
    /// Record that AWS and the ledger differ, or no longer do, if the permission is as it was before AWS was asked.
    Observe(Observation),
    /// Accept the revoke of an unrecorded share, if the finding with this index is still open.
    RevokeUnrecorded(Arc<Intent>, u64),
    /// Record an operator's decision about unrecorded shares. If the reply to the commit is lost, it can be recorded twice.
    SetBaseline(AccountId, Box<DriftBaselineBody>),
    /// Record a call that somebody made to AWS past the service, if it is not on record.
    RecordEvent(Arc<SharingEvent>),
    /// Record that an operator confirmed the ledger of this account. If the reply to the commit is lost, it can be
    /// recorded twice.
    Confirm(AccountId, ConfirmationBody),
}

impl Command {
    /// The account of the command. Everything that it reads or changes belongs to this account.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Open(intent)
            | Self::Replay(intent)
            | Self::Deny(intent, _)
            | Self::End(intent, _)
            | Self::RevokeUnrecorded(intent, _) => intent.key.account,
            Self::RecordDenials(account, _) => *account,
            Self::Claim(key) | Self::Renew { key, .. } => key.account,
            Self::Settle(settlement) => settlement.key.account,
            Self::Observe(observation) => observation.key.account,
            Self::Confirm(account, _) | Self::SetBaseline(account, _) => *account,
            Self::RecordEvent(event) => event.key.account,
        }
    }

    /// The rows to load before the command is applied.
    pub fn required_rows(&self) -> RequiredRows<'_> {
        match self {
            Self::Open(intent) | Self::Replay(intent) | Self::Deny(intent, _) | Self::End(intent, _) => RequiredRows {
                request: Some(intent.request_id),
                finding: intent.cause == Cause::Adoption,
                ..RequiredRows::permission(&intent.key)
            },
            Self::RevokeUnrecorded(intent, _) => RequiredRows {
                request: Some(intent.request_id),
                finding: true,
                ..RequiredRows::permission(&intent.key)
            },
            Self::Claim(key) | Self::Renew { key, .. } => RequiredRows::permission(key),
            Self::Settle(settlement) => RequiredRows {
                finding: true,
                ..RequiredRows::permission(&settlement.key)
            },
            Self::Observe(observation) => RequiredRows {
                finding: true,
                recorded_share: true,
                ..RequiredRows::permission(&observation.key)
            },
            Self::RecordEvent(event) => RequiredRows {
                event: Some((&event.key.region, event.id)),
                ..RequiredRows::default()
            },
            Self::RecordDenials(..) | Self::SetBaseline(..) | Self::Confirm(..) => RequiredRows::default(),
        }
    }

    /// True if the command may take a lease for new work. A server that shuts down refuses such commands.
    pub fn begins_work(&self) -> bool {
        match self {
            Self::Open(_) | Self::Replay(_) | Self::Deny(..) | Self::Claim(_) => true,
            // These take no lease: recovery claims the change.
            Self::End(..) | Self::RevokeUnrecorded(..) => false,
            Self::RecordDenials(..)
            | Self::Renew { .. }
            | Self::Settle(_)
            | Self::Observe(_)
            | Self::SetBaseline(..)
            | Self::RecordEvent(_)
            | Self::Confirm(..) => false,
        }
    }
}

/// The rows that a command needs, beside the head of its account's ledger. They include the current and next change of the
/// permission, and the change that answers the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequiredRows<'a> {
    /// The permission, if the command needs one.
    pub permission: Option<&'a PermissionKey>,
    /// The id of the request, if the command needs one.
    pub request: Option<RequestId>,
    /// True for the open finding of drift of the permission, if there is one.
    pub finding: bool,
    /// True for whether the ledger has an open share of the permission.
    pub recorded_share: bool,
    /// The event of CloudTrail, if it is on record.
    pub event: Option<(&'a Region, EventId)>,
}

impl<'a> RequiredRows<'a> {
    fn permission(key: &'a PermissionKey) -> Self {
        Self {
            permission: Some(key),
            ..Self::default()
        }
    }
}

/// The end of the work under a lease.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The permission of the lease.
    pub key: PermissionKey,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The change of the lease.
    pub change_id: ChangeId,
    /// The calls made under the lease, oldest first.
    pub attempts: Vec<Attempt>,
    /// The decision of the policy before the last call, if it was asked again since the change was accepted.
    pub decision: Option<Box<Decision>>,
    /// Success, failure, or a retry.
    pub outcome: WorkOutcome,
}

/// The outcome of the work under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkOutcome {
    /// The change is in effect.
    Succeeded,
    /// The change is known not to be in effect.
    Failed {
        /// Why it failed.
        failure: ChangeFailure,
        /// What AWS holds, if it was read back.
        observed: Option<Access>,
    },
    /// The change has not ended: try again later.
    Retry {
        /// The delay before the next attempt. At most [`LONGEST_WAIT`] is kept.
        delay: Duration,
        /// True if the next attempt must start with a read back, because a call may have taken effect.
        in_doubt: bool,
        /// What AWS holds, if it was read back when no unresolved call could take effect.
        observed: Option<Access>,
    },
}

/// A change to work on under a lease that was just taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The change to apply, with its earlier attempts.
    pub change: Change,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The duration of the lease, counted from the commit that gave it.
    pub lease_for: Duration,
    /// The time since the change was accepted, at the commit that gave the lease.
    pub age: Duration,
    /// True if AWS must be read back before a call, because an earlier call may have taken effect.
    pub in_doubt: bool,
    /// How long an unresolved call may still take effect, counted from the commit that gave the lease. Zero if it cannot any
    /// more, but AWS was not read back since. None if there is no unresolved call.
    pub unresolved_for: Option<Duration>,
}

/// The reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// The change was accepted.
    Opened(Snapshot),
    /// The request joined a change in progress that does the same. It ends with that change.
    Joined(Snapshot),
    /// The same request was accepted before. This is the present state of its change.
    Replayed(Snapshot),
    /// The request of a [`Replay`](Command::Replay) was not accepted before.
    NotAccepted,
    /// The share of an [`End`](Command::End) does not end now, or the finding of a
    /// [`RevokeUnrecorded`](Command::RevokeUnrecorded) is not open, or a change is in progress. Nothing was recorded.
    NotDue,
    /// The end that a grant asks for has passed. Nothing was recorded.
    EndPassed,
    /// The grant asks for an end, and the schema still admits builds that know no ends. Nothing was recorded.
    EndsNotAdmitted,
    /// AWS was not found to have a share of the permission that the ledger does not have. Nothing was recorded.
    NothingToAdopt,
    /// The schema still admits builds that know no adoptions. Nothing was recorded.
    AdoptionsNotAdmitted,
    /// The request id was used for other content, which this change answers.
    RequestIdReused(ChangeId),
    /// The refusal was recorded at this index, with this message.
    Denied(u64, String),
    /// The counted refusals were recorded.
    DenialsRecorded,
    /// A lease was taken for the permission's change.
    Claimed,
    /// No lease was taken: there is no change, it is not due, or it has a lease.
    NotClaimed,
    /// The lease was renewed. The work may be for a newer change than before.
    Renewed(Box<Work>),
    /// The lease ended: a newer change took over, and it must wait until an unresolved call can take effect no more.
    GaveWay,
    /// The outcome was recorded.
    Settled,
    /// The lease of this epoch has ended. Nothing was recorded.
    LeaseLost,
    /// A difference between AWS and the ledger was recorded at this index.
    DriftFound(u64),
    /// At this index it was recorded that a difference is no longer there.
    DriftResolved(u64),
    /// What AWS showed is on record already. Nothing was recorded.
    ObservedAsRecorded,
    /// The permission has changed since before AWS was asked, or a call for it can take effect. Nothing was recorded.
    ObservationOutdated,
    /// The schema still admits builds that know no drift, or no events of CloudTrail. Nothing was recorded.
    DriftNotAdmitted,
    /// The operator's decision was recorded at this index.
    BaselineSet(u64),
    /// A call past the service was recorded at this index.
    EventRecorded(u64),
    /// The event was recorded before. Nothing was recorded now.
    EventOnRecord,
    /// The confirmation was recorded at this index.
    Confirmed(u64),
}

/// A change and its permission at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The requested or settled change.
    pub change: Change,
    /// The permission of the change.
    pub permission: Permission,
}

/// The longest time that a lease, a window or a next attempt lies ahead. One that lies further ahead was written before the
/// database's clock was set back.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What every build knows that the schema admits. Before that, none of it is accepted or recorded: an older build could not go on
/// from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdmittedBuilds {
    /// Ends of shares, and the basis of a share.
    pub know_ends: bool,
    /// Findings of drift.
    pub know_drift: bool,
    /// Adoptions. Also no refusal of one is recorded before.
    pub know_adoptions: bool,
    /// Events of CloudTrail.
    pub know_trail: bool,
    /// Baselines, and revokes of unrecorded shares without a caller.
    pub know_drift_revokes: bool,
}

impl AdmittedBuilds {
    /// Builds that know everything that this one does.
    pub const NEWEST: Self = Self {
        know_ends: true,
        know_drift: true,
        know_adoptions: true,
        know_trail: true,
        know_drift_revokes: true,
    };
}

/// The inputs of a transition beside the state.
#[derive(Debug, Clone, Copy)]
pub struct TransitionContext {
    /// The database's clock, read together with the ledger's head. It can be earlier than the times on record.
    pub now: Timestamp,
    /// What every build knows that may use the schema.
    pub admitted: AdmittedBuilds,
    /// The replica that takes the leases.
    pub replica: ReplicaId,
    /// The duration of a lease. At most [`LONGEST_WAIT`].
    pub lease_for: Duration,
    /// How long an unresolved call may still take effect at AWS, counted from the commit that recorded it. At most
    /// [`LONGEST_WAIT`].
    pub late_effect_window: Duration,
}
