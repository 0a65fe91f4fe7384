//! Checks the reply to every command against facts that do not come from the transition.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sharewarden::domain::{
    Access, Action, Cause, Change, ChangeId, ChangeState, DriftDifference, Intent, Permission, PermissionKey,
    RequestId, ShareEnd, Timestamp,
    transition::{AccountState, Command, CommandReply, Settlement, TransitionContext, Work},
};

use crate::{
    database::Database,
    fixtures,
    promises::{
        Breaches,
        Promise::{
            LostLeaseIsSilent, NoFalseFinding, OneChangePerRequestId, OnlyItsEndEndsAShare,
            OnlyUnrecordedSharesAreRevoked, ReuseIsRefused, SameWishJoins,
        },
    },
    world::LatestWork,
};

/// Checks the commands of one batch.
pub(crate) struct ReplyChecks<'a> {
    database: &'a Database,
    latest_work: &'a HashMap<PermissionKey, LatestWork>,
    opened: HashMap<RequestId, Arc<Intent>>,
}

impl<'a> ReplyChecks<'a> {
    pub(crate) fn new(database: &'a Database, latest_work: &'a HashMap<PermissionKey, LatestWork>) -> Self {
        Self {
            database,
            latest_work,
            opened: HashMap::new(),
        }
    }

    /// The requests that were accepted, with the changes that answer them.
    pub(crate) fn into_opened(self) -> HashMap<RequestId, Arc<Intent>> {
        self.opened
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
        // A change in doubt without a lease is not joined.
        let is_stuck = before.as_ref().is_some_and(|permission| {
            let now = context.now;
            permission.in_doubt && permission.lease.is_none_or(|lease| lease.expires_at <= now)
        });
        let newest = newest.filter(|_| !is_stuck);
        let entries = account.effects().entries.len();
        let open_finding = touched.and_then(|key| account.finding(key)).cloned();
        let open_finding = open_finding.filter(|finding| finding.resolved.is_none());
        // What AWS was found to have and the ledger does not.
        let unrecorded = open_finding
            .as_ref()
            .is_some_and(|finding| finding.difference == DriftDifference::UnrecordedShare);
        let ends = match command {
            Command::End(intent, basis) => Some(self.ends_now(account, &intent.key, *basis, context.now)),
            _ => None,
        };
        let reply = account.apply(command.clone(), context);
        let silent = account.effects().entries.len() == entries && permission(account) == before;
        match command {
            Command::Open(intent) => {
                let known = (newest.as_ref(), unrecorded);
                self.check_open(intent, known, &reply, silent, context.now, breaches);
            }
            Command::Replay(intent) => self.check_replay(intent, &reply, silent, breaches),
            Command::End(intent, _) => {
                let is_correct = match &reply {
                    CommandReply::NotDue => silent && ends != Some(Ends::Now),
                    // Its own commit, whose reply was lost.
                    CommandReply::Opened(_) if silent => self.database.changes.contains_key(&intent.change_id),
                    CommandReply::Opened(_) => matches!(ends, Some(Ends::Now | Ends::AfterFailure)),
                    _ => false,
                };
                breaches.check(OnlyItsEndEndsAShare, is_correct, || {
                    format!("{command:?} at {} {ends:?}: {reply:?} {before:?}", context.now)
                });
            }
            Command::Settle(settlement) => self.check_settle(settlement, &reply, silent, context, breaches),
            Command::Renew { epoch, .. } => {
                // A renewal that was committed before gets its reply again.
                let again = |work: &Work| work.epoch == epoch + 1 && silent;
                let is_correct = match &reply {
                    CommandReply::LeaseLost => silent,
                    CommandReply::Renewed(work) => !silent || again(work),
                    _ => !silent,
                };
                breaches.check(LostLeaseIsSilent, is_correct, || format!("{command:?}: {reply:?}"));
            }
            Command::Observe(_) => {
                let is_correct = match &reply {
                    CommandReply::DriftFound(_) | CommandReply::DriftResolved(_) => !silent,
                    _ => silent,
                };
                breaches.check(NoFalseFinding, is_correct, || format!("{command:?}: {reply:?}"));
            }
            Command::RevokeUnrecorded(intent, found_index) => {
                let is_at_rest = before.as_ref().is_none_or(|permission| permission.current.is_none());
                let is_open = open_finding.is_some_and(|finding| {
                    finding.found_index == *found_index && finding.difference == DriftDifference::UnrecordedShare
                });
                let is_correct = match &reply {
                    CommandReply::NotDue => silent && !(is_open && is_at_rest),
                    // Its own commit, whose reply was lost.
                    CommandReply::Opened(_) if silent => self.database.changes.contains_key(&intent.change_id),
                    CommandReply::Opened(_) => is_open && is_at_rest,
                    _ => false,
                };
                breaches.check(OnlyUnrecordedSharesAreRevoked, is_correct, || {
                    format!("{command:?}: {reply:?} {before:?}")
                });
            }
            Command::Claim(_)
            | Command::Deny(..)
            | Command::RecordDenials(..)
            | Command::SetBaseline(..)
            | Command::Confirm(..) => {}
            Command::RecordEvent(_) => {
                let is_correct = matches!(reply, CommandReply::EventRecorded(_)) != silent;
                breaches.check(NoFalseFinding, is_correct, || format!("{command:?}: {reply:?}"));
            }
        }
        reply
    }

    /// From the changes alone: the newest in progress counts, or else the last that succeeded.
    fn ends_now(&self, account: &AccountState, key: &PermissionKey, basis: ChangeId, now: Timestamp) -> Ends {
        let Some(permission) = account.permission(key) else {
            return Ends::No;
        };
        let newest = permission
            .next
            .or(permission.current)
            .and_then(|id| account.change(id))
            .cloned();
        let changes = || {
            let stored = self
                .database
                .changes
                .values()
                .filter(|change| change.intent.key == *key);
            stored.map(|change| account.change(change.id()).unwrap_or(change))
        };
        let succeeded = changes().filter(|change| change.state == ChangeState::Succeeded);
        let is_shared = |permission: &Permission| permission.applied != Some(Access::NotShared);
        let last = succeeded
            .max_by_key(|change| change.generation)
            .filter(|_| is_shared(permission));
        let ending = newest.as_ref().or(last).filter(|change| change.id() == basis);
        let is_due = |change: &&Change| change.expire_time().is_some_and(|end| end <= now);
        let has_failed = changes().any(|change| {
            let of_basis = change
                .previous_basis
                .is_some_and(|previous| previous.change_id == basis);
            change.intent.cause == Cause::Expiry && of_basis && change.state == ChangeState::Failed
        });
        match ending
            .filter(|change| change.intent.action == Action::Grant)
            .filter(is_due)
        {
            None => Ends::No,
            Some(_) if has_failed => Ends::AfterFailure,
            Some(_) => Ends::Now,
        }
    }

    /// `newest` is the newest change of the permission, if it is in progress and can be joined. `unrecorded`: there is a share to
    /// adopt.
    fn check_open(
        &mut self,
        intent: &Arc<Intent>,
        (newest, unrecorded): (Option<&Change>, bool),
        reply: &CommandReply,
        silent: bool,
        now: Timestamp,
        breaches: &mut Breaches,
    ) {
        let Some(earlier) = self.earlier(intent) else {
            let adopts = |intent: &Intent| intent.cause == Cause::Adoption;
            if adopts(intent) && !unrecorded {
                let is_correct = *reply == CommandReply::NothingToAdopt && silent;
                return breaches.check(OneChangePerRequestId, is_correct, || {
                    format!("nothing to adopt {intent:?}: {reply:?}")
                });
            }
            if intent.end.is_some_and(|end| end.from(now) <= now) {
                let is_correct = *reply == CommandReply::EndPassed && silent;
                return breaches.check(OneChangePerRequestId, is_correct, || {
                    format!("past {intent:?}: {reply:?}")
                });
            }
            let joined = newest.filter(|change| {
                change.intent.action == intent.action
                    && adopts(&change.intent) == adopts(intent)
                    && are_same_ends(change.expire_time(), intent.end, now)
            });
            let change_id = joined.map_or(intent.change_id, Change::id);
            let stored_intent = Intent {
                change_id,
                ..(**intent).clone()
            };
            self.opened.insert(intent.request_id, Arc::new(stored_intent));
            let is_correct = match reply {
                CommandReply::Opened(s) => joined.is_none() && s.change.id() == intent.change_id,
                CommandReply::Joined(s) => joined.is_some() && s.change.id() == change_id && !s.change.has_ended(),
                _ => false,
            };
            breaches.check(SameWishJoins, is_correct, || {
                format!("{newest:?}, {intent:?}: {reply:?}")
            });
            return breaches.check(OneChangePerRequestId, !silent, || format!("new {intent:?}: {reply:?}"));
        };
        check_known(&earlier, intent, reply, silent, breaches);
    }

    /// A replay accepts nothing.
    fn check_replay(&self, intent: &Intent, reply: &CommandReply, silent: bool, breaches: &mut Breaches) {
        match self.earlier(intent) {
            Some(earlier) => check_known(&earlier, intent, reply, silent, breaches),
            None => breaches.check(
                OneChangePerRequestId,
                *reply == CommandReply::NotAccepted && silent,
                || format!("unknown {intent:?}: {reply:?}"),
            ),
        }
    }

    /// The accepted request with this id.
    fn earlier(&self, intent: &Intent) -> Option<Arc<Intent>> {
        let stored = self.database.intent_of(intent.request_id);
        self.opened.get(&intent.request_id).or(stored).cloned()
    }

    /// Only the newest work handed out can be settled, and only by the replica that holds it.
    fn check_settle(
        &self,
        settlement: &Settlement,
        reply: &CommandReply,
        silent: bool,
        context: &TransitionContext,
        breaches: &mut Breaches,
    ) {
        let newest = self
            .latest_work
            .get(&settlement.key)
            .is_some_and(|work| work.epoch == settlement.epoch && fixtures::replica(work.replica) == context.replica);
        let is_correct = match reply {
            CommandReply::Settled => newest && !silent,
            CommandReply::LeaseLost => silent,
            _ => false,
        };
        breaches.check(LostLeaseIsSilent, is_correct, || format!("{settlement:?}: {reply:?}"));
    }
}

/// Checks the reply to a request id that was accepted before.
fn check_known(earlier: &Intent, intent: &Intent, reply: &CommandReply, silent: bool, breaches: &mut Breaches) {
    let id = earlier.change_id;
    if id == intent.change_id || asks_for_the_same(earlier, intent) {
        let named = match reply {
            CommandReply::Opened(s) => id == intent.change_id && s.change.id() == id,
            CommandReply::Replayed(s) => id != intent.change_id && s.change.id() == id,
            _ => false,
        };
        breaches.check(OneChangePerRequestId, named && silent, || {
            format!("replayed {intent:?}: {reply:?}")
        });
    } else {
        breaches.check(
            ReuseIsRefused,
            *reply == CommandReply::RequestIdReused(id) && silent,
            || format!("reused {intent:?}: {reply:?}"),
        );
    }
}

/// True if the content is the same: a replay. Compares field by field.
fn asks_for_the_same(earlier: &Intent, intent: &Intent) -> bool {
    earlier.key == intent.key
        && earlier.action == intent.action
        && earlier.cause == intent.cause
        && earlier.principal == intent.principal
        && earlier.justification == intent.justification
        && earlier.end == intent.end
}

/// True if a grant that asks for `asked` may join one that ends at `under_way`.
fn are_same_ends(under_way: Option<Timestamp>, asked: Option<ShareEnd>, now: Timestamp) -> bool {
    let Some((under_way, asked)) = under_way.zip(asked) else {
        return under_way.is_none() && asked.is_none();
    };
    let earlier_by = asked.from(now).since(under_way);
    let may_be_earlier_by = match asked {
        ShareEnd::At(_) => Duration::ZERO,
        ShareEnd::After(ttl) => (ttl / 100).min(Duration::from_secs(60)),
    };
    under_way <= asked.from(now) && earlier_by <= may_be_earlier_by
}

/// Whether the end of a grant ends its share now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Now,
    /// An earlier revoke at this end has failed, so that it may be delayed.
    AfterFailure,
    No,
}
