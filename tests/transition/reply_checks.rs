//! Looks at every single answer, with what is known without asking the transition.

use std::{collections::HashMap, sync::Arc};

use sharewarden::domain::{
    Change, Intent, PermissionKey, RequestId,
    transition::{AccountState, Command, CommandReply, Settlement, TransitionContext, Work},
};

use crate::{
    database::Database,
    fixtures,
    promises::{
        Breaches,
        Promise::{LostLeaseIsSilent, OneChangePerRequestId, ReuseIsRefused, SameWishJoins},
    },
    world::Call,
};

/// Watches the commands of one batch.
pub(crate) struct Watch<'a> {
    database: &'a Database,
    calls: &'a HashMap<PermissionKey, Call>,
    opened: HashMap<RequestId, Arc<Intent>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(database: &'a Database, calls: &'a HashMap<PermissionKey, Call>) -> Self {
        Self {
            database,
            calls,
            opened: HashMap::new(),
        }
    }

    pub(crate) fn apply(
        &mut self,
        account: &mut AccountState,
        command: &Command,
        context: &TransitionContext,
        breaches: &mut Breaches,
    ) -> CommandReply {
        let touched = command.required_rows().permission;
        let permission = |account: &AccountState| touched.and_then(|key| account.permission(key)).cloned();
        let before = permission(account);
        let newest = before
            .as_ref()
            .and_then(|permission| permission.next.or(permission.current));
        let newest = newest.and_then(|id| account.change(id)).cloned();
        // One in doubt that nobody works on is not joined.
        let is_stuck = before.as_ref().is_some_and(|permission| {
            let now = context.now.max(account.last_recorded_at());
            permission.in_doubt && permission.lease.is_none_or(|lease| lease.expires_at <= now)
        });
        let newest = newest.filter(|_| !is_stuck);
        let entries = account.effects().entries.len();
        let answer = account.apply(command.clone(), context);
        let silent = account.effects().entries.len() == entries && permission(account) == before;
        match command {
            Command::Open(intent) => self.check_open(intent, newest.as_ref(), &answer, silent, breaches),
            Command::Settle(settlement) => self.check_settle(settlement, &answer, silent, context, breaches),
            Command::Renew { epoch, .. } => {
                // A renewal that was committed before gets its answer once more.
                let again = |work: &Work| work.epoch == epoch + 1 && silent;
                let right = match &answer {
                    CommandReply::LeaseLost => silent,
                    CommandReply::Renewed(work) => !silent || again(work),
                    _ => !silent,
                };
                breaches.check(LostLeaseIsSilent, right, || format!("{command:?}: {answer:?}"));
            }
            Command::Claim(_) | Command::Deny(..) => {}
        }
        answer
    }

    /// `newest` is the newest change of the permission, if it is under way and can be joined.
    fn check_open(
        &mut self,
        intent: &Arc<Intent>,
        newest: Option<&Change>,
        answer: &CommandReply,
        silent: bool,
        breaches: &mut Breaches,
    ) {
        let stored = self.database.asked(intent.request_id);
        let earlier = self.opened.get(&intent.request_id).or(stored);
        let Some(earlier) = earlier.cloned() else {
            let joined = newest.filter(|change| change.intent.action == intent.action);
            let change_id = joined.map_or(intent.change_id, Change::id);
            let asked = Intent {
                change_id,
                ..(**intent).clone()
            };
            self.opened.insert(intent.request_id, Arc::new(asked));
            let right = match answer {
                CommandReply::Opened(s) => joined.is_none() && s.change.id() == intent.change_id,
                CommandReply::Joined(s) => joined.is_some() && s.change.id() == change_id && !s.change.has_ended(),
                _ => false,
            };
            breaches.check(SameWishJoins, right, || format!("{newest:?}, {intent:?}: {answer:?}"));
            return breaches.check(OneChangePerRequestId, !silent, || format!("new {intent:?}: {answer:?}"));
        };
        let id = earlier.change_id;
        if id == intent.change_id || asks_for_the_same(&earlier, intent) {
            let named = match answer {
                CommandReply::Opened(s) => id == intent.change_id && s.change.id() == id,
                CommandReply::Replayed(s) => id != intent.change_id && s.change.id() == id,
                _ => false,
            };
            breaches.check(OneChangePerRequestId, named && silent, || {
                format!("replayed {intent:?}: {answer:?}")
            });
        } else {
            breaches.check(
                ReuseIsRefused,
                *answer == CommandReply::RequestIdReused(id) && silent,
                || format!("reused {intent:?}: {answer:?}"),
            );
        }
    }

    /// Only the newest work handed out can be settled, by the replica that has it, for its change.
    fn check_settle(
        &self,
        settlement: &Settlement,
        answer: &CommandReply,
        silent: bool,
        context: &TransitionContext,
        breaches: &mut Breaches,
    ) {
        let newest = self
            .calls
            .get(&settlement.key)
            .is_some_and(|call| call.epoch == settlement.epoch && fixtures::replica(call.replica) == context.replica);
        let right = match answer {
            CommandReply::Settled => newest && !silent,
            CommandReply::LeaseLost => silent,
            _ => false,
        };
        breaches.check(LostLeaseIsSilent, right, || format!("{settlement:?}: {answer:?}"));
    }
}

/// What makes a replay, field by field.
fn asks_for_the_same(earlier: &Intent, intent: &Intent) -> bool {
    earlier.key == intent.key
        && earlier.action == intent.action
        && earlier.cause == intent.cause
        && earlier.principal == intent.principal
        && earlier.reason == intent.reason
        && earlier.ticket == intent.ticket
}
