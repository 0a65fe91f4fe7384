//! Leases: which replica may call AWS for a permission, and what happens when a holder disappears.
//!
//! Two records keep the calls of a permission in order. A lease says that a replica may be calling AWS. It ends when the outcome
//! is recorded, or when it expires. An [`UnresolvedCall`] is a call to AWS whose result was not seen and which may still take
//! effect. Until its time has passed, no call asks for the opposite access, because the older call could take effect last. Then
//! AWS must be read back, or accept another call, before a change may be recorded as failed.

use std::time::Duration;

use crate::domain::{
    Access, Attempt, AwsOperation, ChangeId, ChangeState, Classification, Lease, Permission, PermissionKey, Timestamp,
    UnresolvedCall,
};

use super::{AccountState, CommandReply, LONGEST_WAIT, TransitionContext, Work};

impl AccountState {
    /// Corrects the times of a permission that were written before the database's clock was set back. An attempt is due: that
    /// shortens a delay, and a claim looks at the lease and the window again. A lease or a window may have begun a moment ago, so
    /// its longest time begins now. Its holder, whose clock did not change, ends earlier.
    pub(super) fn correct_times(&mut self, key: &PermissionKey, context: &TransitionContext) {
        let longest = context.now + LONGEST_WAIT;
        let is_right = |permission: &Permission| {
            permission.lease.is_none_or(|lease| lease.expires_at <= longest)
                && permission.unresolved_call.is_none_or(|call| call.until <= longest)
                && permission.next_attempt_at.is_none_or(|due| due <= longest)
        };
        let Some(permission) = self.permissions.get(key).filter(|permission| !is_right(permission)) else {
            return;
        };
        let mut permission = permission.clone();
        if let Some(lease) = &mut permission.lease {
            lease.expires_at = lease.expires_at.min(longest);
        }
        if let Some(call) = &mut permission.unresolved_call {
            call.until = call.until.min(longest);
        }
        if permission.next_attempt_at.is_some_and(|due| due > longest) {
            permission.next_attempt_at = Some(context.now);
        }
        self.put(permission, context);
    }

    pub(super) fn claim(&mut self, key: &PermissionKey, context: &TransitionContext) -> CommandReply {
        let Some(mut permission) = self.permissions.get(key).cloned() else {
            return CommandReply::NotClaimed;
        };
        let is_due = permission.next_attempt_at.is_none_or(|due| due <= context.now);
        if permission.current.is_none() || is_leased(&permission, context) || !is_due {
            return CommandReply::NotClaimed;
        }
        self.take_up(&mut permission, context);
        self.put(permission, context);
        CommandReply::Claimed
    }

    pub(super) fn renew(
        &mut self,
        key: &PermissionKey,
        epoch: u64,
        attempts: Vec<Attempt>,
        context: &TransitionContext,
    ) -> CommandReply {
        let Some(mut permission) = self.held(key, epoch, context).cloned() else {
            return self.renewed_before(key, epoch, context);
        };
        if !attempts.is_empty() {
            let current = self.current(&permission);
            current.remember(attempts);
            let id = current.id();
            self.mark_updated(id);
        }
        // No mutating call was made under this lease, so a newer change takes over at once.
        if permission.next.is_some() {
            self.give_way(&mut permission, context);
        }
        let work = self.lease_or_wait(&mut permission, context);
        self.put(permission, context);
        work.map_or(CommandReply::GaveWay, |work| CommandReply::Renewed(Box::new(work)))
    }

    /// The reply to a renewal of a lease that has ended. If an earlier commit made this renewal and its reply was lost, the
    /// present lease has the next epoch without a gap. Only the holder's own next command gives such a lease.
    fn renewed_before(&mut self, key: &PermissionKey, epoch: u64, context: &TransitionContext) -> CommandReply {
        let following = epoch.saturating_add(1);
        let lease = self.held(key, following, context).and_then(|held| held.lease);
        // An expired lease may be claimed at any moment, so it is too late to start.
        let Some(lease) = lease.filter(|lease| lease.expires_at > context.now) else {
            return CommandReply::LeaseLost;
        };
        // In the lost batch the lease may have come from a change that took over. Its work goes to the holder that renews.
        let is_renewed = |work: &Work| work.epoch == following && work.change.intent.key == *key;
        let work = match self.effects.work.iter().position(is_renewed) {
            Some(index) => self.effects.work.remove(index),
            None => self.work(&self.permissions[key].clone(), lease, context),
        };
        CommandReply::Renewed(Box::new(work))
    }

    /// The reply to a settlement of a lease that has ended. An earlier commit may have recorded it, and its reply was lost.
    pub(super) fn settled_before(
        &mut self,
        key: &PermissionKey,
        epoch: u64,
        change_id: ChangeId,
        context: &TransitionContext,
    ) -> CommandReply {
        let Some(permission) = self.permissions.get(key).cloned() else {
            return CommandReply::LeaseLost;
        };
        // The lease with the next epoch came from this settlement, and no task works under it.
        let following = epoch.saturating_add(1);
        if permission.current != Some(change_id) {
            self.resume(&permission, following, context);
        }
        CommandReply::LeaseLost
    }

    /// Hands out the work of a lease of this replica again, if the lease has not expired.
    pub(super) fn resume(&mut self, permission: &Permission, epoch: u64, context: &TransitionContext) {
        // Several commands of a lost batch can refer to the same lease.
        let is_out = |work: &Work| work.epoch == epoch && work.change.intent.key == permission.key;
        if self.effects.work.iter().any(is_out) {
            return;
        }
        let held = self.held(&permission.key, epoch, context).and_then(|held| held.lease);
        // An expired lease may be claimed at any moment, so it is too late to start.
        if let Some(lease) = held.filter(|lease| lease.expires_at > context.now) {
            let work = self.work(permission, lease, context);
            self.effects.work.push(work);
        }
    }

    /// Makes the newest change the current one, supersedes the older one, and starts work on it.
    pub(super) fn take_up(&mut self, permission: &mut Permission, context: &TransitionContext) {
        self.take_over(permission, context);
        self.go_on(permission, context);
    }

    /// Makes the newest change the current one, and supersedes the older one. There is no lease, or it has expired.
    pub(super) fn take_over(&mut self, permission: &mut Permission, context: &TransitionContext) {
        if let (Some(expired), Some(current)) = (permission.lease.take(), permission.current) {
            // The holder disappeared, and AWS's answer with it.
            permission.in_doubt = true;
            self.note_unresolved_call(permission, expired.expires_at + context.late_effect_window);
            let change = self
                .changes
                .get_mut(&current)
                .expect("the current change of a permission is loaded with it");
            change.remember([unresolved_attempt(expired, context)]);
            self.mark_updated(current);
        }
        // One epoch is skipped, so that a late or repeated settlement does not look like the one that gave this lease.
        permission.lease_epoch += 1;
        if permission.next.is_some() {
            self.give_way(permission, context);
        }
    }

    /// Supersedes the current change by the next one.
    pub(super) fn give_way(&mut self, permission: &mut Permission, context: &TransitionContext) {
        let superseded = permission.current.take();
        permission.current = permission.next.take();
        if let Some(superseded) = superseded {
            self.end(superseded, ChangeState::Superseded, None, context);
        }
        if permission.in_doubt {
            permission.applied = None;
        }
        permission.in_doubt = false;
    }

    /// Starts work on the next change, if there is one.
    pub(super) fn advance(&mut self, permission: &mut Permission, context: &TransitionContext) {
        permission.lease = None;
        permission.in_doubt = false;
        permission.next_attempt_at = None;
        permission.current = permission.next.take();
        if permission.current.is_some() {
            self.go_on(permission, context);
        }
    }

    /// Hands out the work on the current change, or schedules it for later.
    pub(super) fn go_on(&mut self, permission: &mut Permission, context: &TransitionContext) {
        let work = self.lease_or_wait(permission, context);
        self.effects.work.extend(work);
    }

    /// Records that a call for the current change may take effect until this time.
    pub(super) fn note_unresolved_call(&mut self, permission: &mut Permission, until: Timestamp) {
        let access = self.wanted(permission);
        let call = permission
            .unresolved_call
            .get_or_insert(UnresolvedCall { access, until });
        call.access = access;
        call.until = call.until.max(until);
        // What AWS holds stays unknown until it is read back or accepts another call.
        permission.applied = permission.applied.filter(|applied| *applied == access);
    }

    /// Takes a lease for the current change. While an older call for the opposite access may take effect, schedules the change
    /// instead.
    fn lease_or_wait(&mut self, permission: &mut Permission, context: &TransitionContext) -> Option<Work> {
        let wanted = self.wanted(permission);
        let opposite = permission.unresolved_call.filter(|call| call.access != wanted);
        if let Some(call) = opposite.filter(|call| call.until > context.now) {
            permission.lease = None;
            permission.next_attempt_at = Some(call.until);
            return None;
        }
        Some(self.lease(permission, context))
    }

    fn lease(&mut self, permission: &mut Permission, context: &TransitionContext) -> Work {
        permission.lease_epoch += 1;
        permission.next_attempt_at = None;
        let lease = Lease {
            owner: context.replica,
            epoch: permission.lease_epoch,
            expires_at: context.now + context.lease_for,
        };
        permission.lease = Some(lease);
        self.work(permission, lease, context)
    }

    fn work(&mut self, permission: &Permission, lease: Lease, context: &TransitionContext) -> Work {
        let change = self.current(permission).clone();
        let unresolved_for = permission.unresolved_call.map(|call| call.until.since(context.now));
        let age = self.recorded_now(context).since(change.created_at);
        Work {
            epoch: lease.epoch,
            // The clock may have been set back since the lease was taken.
            lease_for: lease.expires_at.since(context.now).min(context.lease_for),
            age,
            in_doubt: permission.in_doubt,
            unresolved_for,
            change,
        }
    }

    /// The permission, if this replica holds its lease with this epoch. An expired lease is held until it is claimed.
    pub(super) fn held(&self, key: &PermissionKey, epoch: u64, context: &TransitionContext) -> Option<&Permission> {
        let permission = self.permissions.get(key)?;
        let lease = permission.lease?;
        (lease.owner == context.replica && lease.epoch == epoch).then_some(permission)
    }

    fn wanted(&mut self, permission: &Permission) -> Access {
        self.current(permission).intent.action.into()
    }
}

/// True while a replica may be calling AWS for the permission.
pub(super) fn is_leased(permission: &Permission, context: &TransitionContext) -> bool {
    permission.lease.is_some_and(|lease| lease.expires_at > context.now)
}

/// True for a mutating call whose result was not seen.
pub(super) fn is_unresolved(attempt: &Attempt) -> bool {
    attempt.operation == AwsOperation::UpdateWorkspaceImagePermission
        && attempt.classification == Classification::Unknown
}

/// The attempt that represents the calls of a holder that disappeared.
fn unresolved_attempt(lease: Lease, context: &TransitionContext) -> Attempt {
    Attempt {
        operation: AwsOperation::UpdateWorkspaceImagePermission,
        started_at: lease.expires_at.min(context.now),
        duration: Duration::ZERO,
        classification: Classification::Unknown,
        aws_request_id: None,
        error_code: Some("LeaseExpired".into()),
    }
}
