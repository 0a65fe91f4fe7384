//! Leases: who may call AWS for a permission, from when on, and what is left behind by a holder who is lost.
//!
//! Two things keep a permission's calls apart. A lease says that a call may be under way *here*; it ends when the outcome is
//! told, or when it runs out. A [`UnresolvedCall`] says that a call whose end nobody saw may still take effect *at AWS*: until that
//! time is over, no call is made that asks for the other value, since the older one could land last. And until AWS was read back
//! after that time, or took another call, nobody knows whether it did: so long, no change is recorded as failed.

use std::time::Duration;

use crate::domain::{
    Access, Attempt, AwsOperation, ChangeId, ChangeState, Classification, Lease, Permission, PermissionKey, Timestamp,
    UnresolvedCall,
};

use super::{AccountState, CommandReply, TransitionContext, Work};

impl AccountState {
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
            self.touch(id);
        }
        // No call was made under this lease yet: a newer change need not wait for it.
        if permission.next.is_some() {
            self.give_way(&mut permission, context);
        }
        let work = self.lease_or_wait(&mut permission, context);
        self.put(permission, context);
        work.map_or(CommandReply::GaveWay, |work| CommandReply::Renewed(Box::new(work)))
    }

    /// The answer to a renewal of a lease that is over: given already, if an earlier commit's answer was lost. The lease that follows
    /// without a gap is one that the holder's own next command gave, and that was this one.
    fn renewed_before(&mut self, key: &PermissionKey, epoch: u64, context: &TransitionContext) -> CommandReply {
        let following = epoch.saturating_add(1);
        let lease = self.held(key, following, context).and_then(|held| held.lease);
        // One that ran out may be taken at any moment: too late to begin.
        let Some(lease) = lease.filter(|lease| lease.expires_at > context.now) else {
            return CommandReply::LeaseLost;
        };
        // The change that took over in the lost batch may have led to this lease too: its work is for who renews.
        let is_renewed = |work: &Work| work.epoch == following && work.change.intent.key == *key;
        let work = match self.effects.work.iter().position(is_renewed) {
            Some(index) => self.effects.work.remove(index),
            None => self.work(&self.permissions[key].clone(), lease, context),
        };
        CommandReply::Renewed(Box::new(work))
    }

    /// The answer to a settlement under a lease that is over: recorded already, if an earlier commit's answer was lost.
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
        // The lease that follows without a gap is the one that the settlement gave: nobody works under it.
        let following = epoch.saturating_add(1);
        if permission.current != Some(change_id) {
            self.resume(&permission, following, context);
        }
        CommandReply::LeaseLost
    }

    /// Hands out the work of a lease of ours once more, if it lasts still.
    pub(super) fn resume(&mut self, permission: &Permission, epoch: u64, context: &TransitionContext) {
        // Several commands of a lost batch can lead to one lease.
        let is_out = |work: &Work| work.epoch == epoch && work.change.intent.key == permission.key;
        if self.effects.work.iter().any(is_out) {
            return;
        }
        let held = self.held(&permission.key, epoch, context).and_then(|held| held.lease);
        // One that ran out may be taken at any moment: too late to begin.
        if let Some(lease) = held.filter(|lease| lease.expires_at > context.now) {
            let work = self.work(permission, lease, context);
            self.effects.work.push(work);
        }
    }

    /// Makes the newest change the current one, ends the one before it, and goes on with it.
    pub(super) fn take_up(&mut self, permission: &mut Permission, context: &TransitionContext) {
        if let (Some(lost), Some(current)) = (permission.lease.take(), permission.current) {
            // The holder is gone, and with it what AWS answered.
            permission.in_doubt = true;
            self.note_unresolved_call(permission, lost.expires_at + context.landing_window);
            let change = self
                .changes
                .get_mut(&current)
                .expect("the current change of a permission is loaded with it");
            change.remember([lost_attempt(lost, context)]);
            self.touch(current);
        }
        // An epoch is left out, so that a settlement that comes late, or once more, is not taken for one that gave this lease.
        permission.lease_epoch += 1;
        if permission.next.is_some() {
            self.give_way(permission, context);
        }
        self.go_on(permission, context);
    }

    /// Ends the current change in favour of the next one.
    pub(super) fn give_way(&mut self, permission: &mut Permission, context: &TransitionContext) {
        let overtaken = permission.current.take();
        permission.current = permission.next.take();
        if let Some(overtaken) = overtaken {
            self.end(overtaken, ChangeState::Superseded, None, context);
        }
        if permission.in_doubt {
            permission.applied = None;
        }
        permission.in_doubt = false;
    }

    /// Goes on with the next change, or rests.
    pub(super) fn advance(&mut self, permission: &mut Permission, context: &TransitionContext) {
        permission.lease = None;
        permission.in_doubt = false;
        permission.next_attempt_at = None;
        permission.current = permission.next.take();
        if permission.current.is_some() {
            self.go_on(permission, context);
        }
    }

    /// Hands out the work on the current change, or puts it off.
    pub(super) fn go_on(&mut self, permission: &mut Permission, context: &TransitionContext) {
        let work = self.lease_or_wait(permission, context);
        self.effects.work.extend(work);
    }

    /// Notes that a call for the current change may take effect until this time.
    pub(super) fn note_unresolved_call(&mut self, permission: &mut Permission, until: Timestamp) {
        let access = self.wanted(permission);
        let landing = permission
            .unresolved_call
            .get_or_insert(UnresolvedCall { access, until });
        landing.access = access;
        landing.until = landing.until.max(until);
        // Until it is read back, or another call is accepted, nobody knows.
        permission.applied = permission.applied.filter(|applied| *applied == access);
    }

    /// Takes a lease for the current change; or puts it off while an older call for the other value may land.
    fn lease_or_wait(&mut self, permission: &mut Permission, context: &TransitionContext) -> Option<Work> {
        let wanted = self.wanted(permission);
        let against = permission.unresolved_call.filter(|landing| landing.access != wanted);
        if let Some(landing) = against.filter(|landing| landing.until > context.now) {
            permission.lease = None;
            permission.next_attempt_at = Some(landing.until);
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
        let landing = permission
            .unresolved_call
            .map(|landing| landing.until.since(context.now));
        Work {
            epoch: lease.epoch,
            lease_for: lease.expires_at.since(context.now),
            age: context.now.since(change.created_at),
            in_doubt: permission.in_doubt,
            unresolved_for: landing,
            change,
        }
    }

    /// The permission, if this replica holds its lease under this epoch. One that ran out but was not taken is still held.
    pub(super) fn held(&self, key: &PermissionKey, epoch: u64, context: &TransitionContext) -> Option<&Permission> {
        let permission = self.permissions.get(key)?;
        let lease = permission.lease?;
        (lease.owner == context.replica && lease.epoch == epoch).then_some(permission)
    }

    fn wanted(&mut self, permission: &Permission) -> Access {
        self.current(permission).intent.action.into()
    }
}

/// True while somebody may be calling AWS for the permission.
pub(super) fn is_leased(permission: &Permission, context: &TransitionContext) -> bool {
    permission.lease.is_some_and(|lease| lease.expires_at > context.now)
}

/// True for a call that changes something and whose end nobody saw.
pub(super) fn is_lost(attempt: &Attempt) -> bool {
    attempt.operation == AwsOperation::UpdateWorkspaceImagePermission
        && attempt.classification == Classification::Unknown
}

/// Stands for the call of a holder that never told what came of it.
fn lost_attempt(lease: Lease, context: &TransitionContext) -> Attempt {
    Attempt {
        operation: AwsOperation::UpdateWorkspaceImagePermission,
        started_at: lease.expires_at.min(context.now),
        duration: Duration::ZERO,
        classification: Classification::Unknown,
        aws_request_id: None,
        error_code: Some("LeaseExpired".into()),
    }
}
