//! The ends of shares: when the share of a permission ends, and the revoke at its end.
//!
//! A share has a basis: the grant that last succeeded. Its end is due also while that grant is in progress, for example in doubt.
//! A newer grant in progress postpones the end of an older basis until it ends: if it succeeds, its own end counts.

use std::{sync::Arc, time::Duration};

use crate::domain::{Action, Basis, Change, ChangeId, Intent, Permission, ShareEnd};

use super::{AccountState, CommandReply, TransitionContext, is_leased};

/// A revoke at an end that failed is repeated after the time since the end, but not sooner than this.
const SHORTEST_DELAY: Duration = Duration::from_mins(1);
/// And not later than this.
const LONGEST_DELAY: Duration = Duration::from_hours(24);

/// A request with a TTL joins a grant that ends at most this part of the TTL earlier than its own would.
const JOINABLE_PART: u32 = 100;
/// And at most this much earlier.
const JOINABLE_TIME: Duration = Duration::from_mins(1);

impl AccountState {
    /// Accepts the revoke of a share at its end. It takes no lease, so that many ends at once wait as due work.
    pub(super) fn end_share(
        &mut self,
        intent: Arc<Intent>,
        basis: ChangeId,
        context: &TransitionContext,
    ) -> CommandReply {
        let id = intent.change_id;
        // This is our own commit, whose reply was lost: nobody else has the request id.
        if self.requests.contains_key(&intent.request_id) {
            return self.snapshot(id).map_or(CommandReply::NotDue, CommandReply::Opened);
        }
        let permission = self.permissions.get(&intent.key);
        let is_due = |permission: &&Permission| permission.end_due_at.is_some_and(|due| due <= context.now);
        let ending = permission.filter(is_due).and_then(|permission| self.ending(permission));
        let Some(ending) = ending.filter(|ending| ending.change_id == basis) else {
            return CommandReply::NotDue;
        };
        self.open_as_due(intent, Some(ending), context)
    }

    /// Accepts a change without a lease: recovery claims it.
    pub(super) fn open_as_due(
        &mut self,
        intent: Arc<Intent>,
        previous_basis: Option<Basis>,
        context: &TransitionContext,
    ) -> CommandReply {
        let id = intent.change_id;
        let mut permission = self.accept(intent, previous_basis, context);
        if !is_leased(&permission, context) {
            self.take_over(&mut permission, context);
            permission.next_attempt_at = Some(context.now);
        }
        self.put(permission, context);
        self.snapshot(id)
            .map(CommandReply::Opened)
            .expect("the change was inserted above")
    }

    /// The basis whose end counts: that of the newest change in progress, or that of the share. None if a revoke is in progress,
    /// or if the image is not shared.
    fn ending(&self, permission: &Permission) -> Option<Basis> {
        match permission.pending_change() {
            Some(newest) => self.changes.get(&newest)?.basis(),
            None => permission.basis_in_effect(),
        }
    }

    /// Sets the time from which the end of the share is due, after a change was accepted or ended.
    pub(super) fn schedule_end(&self, permission: &mut Permission) {
        permission.end_due_at = self.ending(permission).and_then(|basis| basis.expire_time);
    }
}

/// Puts off the end of a share whose revoke has just failed. The delay grows with the time since the end.
pub(super) fn delay_end(permission: &mut Permission, context: &TransitionContext) {
    permission.end_due_at = permission.end_due_at.map(|due| {
        let delay = context.now.since(due).clamp(SHORTEST_DELAY, LONGEST_DELAY);
        due.max(context.now + delay)
    });
}

/// True if a request may join `change` as far as the end is concerned: it asks for the same one.
pub(super) fn is_same_end(change: &Change, intent: &Intent, context: &TransitionContext) -> bool {
    if intent.action == Action::Revoke {
        return true;
    }
    match (change.expire_time(), intent.end) {
        (None, None) => true,
        (Some(under_way), Some(ShareEnd::At(asked))) => under_way == asked,
        (Some(under_way), Some(ShareEnd::After(ttl))) => {
            let earliest = (ttl / JOINABLE_PART).min(JOINABLE_TIME);
            let asked = context.now + ttl;
            under_way <= asked && asked.since(under_way) <= earliest
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
