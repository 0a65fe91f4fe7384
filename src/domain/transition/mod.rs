//! What every command does to an account: a function from (state, command) to (state, entries, work, answer). The words for
//! these are in `command`; leases, and what a lost holder leaves behind, are in `lease`; what lost calls leave open is in `known`.
//!
//! The store loads an [`AccountState`] as far as a batch of commands concerns it, applies the commands one after the other, and
//! saves what has changed in one transaction. Every rule about generations, leases and endings is here, and nowhere else.
//!
//! A request for what the newest change of its permission does already, while that is under way, joins this change and ends with it;
//! but for a change in doubt that nobody works on, which gives way.
//!
//! A lease is held while a call to AWS may be in flight, and only then. So a newer change takes over at once from one that
//! merely waits for its next attempt, and waits behind one that is being called. A call whose end nobody saw may land for a
//! while yet: so long, no call is made that asks for the other value.

mod command;
mod confirmed;
mod lease;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::domain::{
    AccountId, Change, ChangeBody, ChangeFailure, ChangeId, ChangeState, Entry, EntryBody, Intent, Permission,
    PermissionKey, Request, RequestId, Timestamp,
};

pub use command::{Command, CommandReply, RequiredRows, Settlement, Snapshot, TransitionContext, Work, WorkOutcome};
use confirmed::confirmed_outcome;
use lease::{is_leased, is_lost};

/// What a batch of commands did to an account, to be saved and acted on.
#[derive(Debug, Default)]
pub struct Effects {
    /// New lines of the ledger, in order.
    pub entries: Vec<Entry>,
    /// Permissions that are new or changed.
    pub permissions: BTreeSet<PermissionKey>,
    /// Those of them that are new.
    pub new_permissions: BTreeSet<PermissionKey>,
    /// Requests that were accepted.
    pub requests: Vec<Request>,
    /// Changes that are new.
    pub opened: BTreeSet<ChangeId>,
    /// Changes that were there before and changed.
    pub updated: BTreeSet<ChangeId>,
    /// Changes that ended.
    pub ended: Vec<ChangeId>,
    /// What there is to do now, under the leases just taken.
    pub work: Vec<Work>,
}

impl Effects {
    /// True when there is nothing to save.
    pub fn is_nothing(&self) -> bool {
        self.entries.is_empty()
            && self.permissions.is_empty()
            && self.requests.is_empty()
            && self.opened.is_empty()
            && self.updated.is_empty()
    }
}

/// An account, as far as a batch of commands concerns it.
#[derive(Debug)]
pub struct AccountState {
    id: AccountId,
    size: u64,
    last_recorded_at: Timestamp,
    permissions: HashMap<PermissionKey, Permission>,
    changes: HashMap<ChangeId, Change>,
    requests: HashMap<RequestId, Request>,
    effects: Effects,
}

impl AccountState {
    /// An account whose ledger has `size` entries, the last recorded at `last_recorded_at`. `permissions` and `requests` are
    /// those that the commands touch ([`Command::required_rows`]); `changes` are those that these permissions work on, and those that
    /// answer these requests.
    pub fn new(
        id: AccountId,
        size: u64,
        last_recorded_at: Timestamp,
        permissions: impl IntoIterator<Item = Permission>,
        requests: impl IntoIterator<Item = Request>,
        changes: impl IntoIterator<Item = Change>,
    ) -> Self {
        Self {
            id,
            size,
            last_recorded_at,
            permissions: permissions
                .into_iter()
                .map(|permission| (permission.key.clone(), permission))
                .collect(),
            requests: requests.into_iter().map(|request| (request.id, request)).collect(),
            changes: changes.into_iter().map(|change| (change.id(), change)).collect(),
            effects: Effects::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// When its last entry was recorded.
    pub fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    /// What the commands so far did.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Takes out what there is to do now.
    pub fn take_work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.effects.work)
    }

    /// A permission that was loaded or opened.
    pub fn permission(&self, key: &PermissionKey) -> Option<&Permission> {
        self.permissions.get(key)
    }

    /// A change that was loaded or opened.
    pub fn change(&self, id: ChangeId) -> Option<&Change> {
        self.changes.get(&id)
    }

    /// A change and its permission.
    pub fn snapshot(&self, id: ChangeId) -> Option<Snapshot> {
        let change = self.changes.get(&id)?;
        Some(Snapshot {
            change: change.clone(),
            permission: self.permissions.get(&change.intent.key)?.clone(),
        })
    }

    /// Applies one command.
    pub fn apply(&mut self, command: Command, context: &TransitionContext) -> CommandReply {
        let context = &TransitionContext {
            now: context.now.max(self.last_recorded_at),
            ..*context
        };
        match command {
            Command::Open(intent) => self.open(intent, context),
            Command::Deny(intent, rule) => self.deny(intent, rule, context),
            Command::Claim(key) => self.claim(&key, context),
            Command::Renew { key, epoch, attempts } => self.renew(&key, epoch, attempts, context),
            Command::Settle(settlement) => self.settle(settlement, context),
        }
    }

    /// Hands out the work of a lease that an earlier try of this batch gave, if its commit happened after all. Nobody else can
    /// have begun it: who has a lease learns of it from the answer to that commit.
    pub fn hand_out_again(&mut self, key: &PermissionKey, epoch: u64, context: &TransitionContext) {
        let context = &TransitionContext {
            now: context.now.max(self.last_recorded_at),
            ..*context
        };
        if let Some(permission) = self.permissions.get(key).cloned() {
            self.resume(&permission, epoch, context);
        }
    }

    fn open(&mut self, intent: Arc<Intent>, context: &TransitionContext) -> CommandReply {
        if let Some(earlier) = self.requests.get(&intent.request_id) {
            return self.replay(&earlier.clone(), &intent, context);
        }
        if let Some(under_way) = self.under_way(&intent, context) {
            return self.join(under_way, &intent, context);
        }
        let (id, key) = (intent.change_id, intent.key.clone());
        let mut permission = self
            .permissions
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Permission::new(key.clone(), context.now));
        if permission.current.is_none() {
            // At rest it is known what AWS holds.
            permission.drop_resolved_call(context.now);
        }
        permission.generation += 1;
        permission.desired = Some(intent.action.into());
        let change = Change {
            generation: permission.generation,
            previous: permission.applied,
            state: ChangeState::Pending,
            attempts: Vec::new(),
            failure: None,
            created_at: context.now,
            ended_at: None,
            intent,
        };
        let request = Request::of(&change.intent);
        self.effects.requests.push(request.clone());
        self.requests.insert(request.id, request);
        self.effects.opened.insert(id);
        self.record(EntryBody::of_change(&change), context);
        self.changes.insert(id, change);

        let waiting = permission.next.replace(id);
        if let Some(waiting) = waiting {
            self.end(waiting, ChangeState::Superseded, None, context);
        }
        if !is_leased(&permission, context) {
            self.take_up(&mut permission, context);
        }
        self.put(permission, context);
        self.snapshot(id)
            .map(CommandReply::Opened)
            .expect("the change was put in above")
    }

    /// The newest change of the permission, if it is under way and does what `intent` asks for. Not one in doubt that nobody works on:
    /// it waits until AWS was read back, perhaps for long, and a newer change is called at once.
    fn under_way(&self, intent: &Intent, context: &TransitionContext) -> Option<ChangeId> {
        let permission = self.permissions.get(&intent.key)?;
        let newest = permission.next.or(permission.current)?;
        let change = self.changes.get(&newest)?;
        let is_stuck = permission.in_doubt && !is_leased(permission, context);
        (change.intent.action == intent.action && !is_stuck).then_some(newest)
    }

    /// Lets a request join a change. Nothing else changes: the work goes on as it would have.
    fn join(&mut self, id: ChangeId, intent: &Intent, context: &TransitionContext) -> CommandReply {
        let request = Request::joining(id, intent);
        self.effects.requests.push(request.clone());
        self.requests.insert(request.id, request);
        let body = ChangeBody::joining(&self.changes[&id], intent);
        self.record(EntryBody::ChangeJoined(body), context);
        self.snapshot(id)
            .map(CommandReply::Joined)
            .expect("a change that a permission names is loaded with it")
    }

    /// The answer to a request id that was seen before.
    fn replay(&mut self, request: &Request, intent: &Intent, context: &TransitionContext) -> CommandReply {
        let earlier = request.change_id;
        // With the same content it is about the same permission, which was loaded for the command.
        let snapshot = self.snapshot(earlier).filter(|_| request.is_repeated_by(intent));
        let Some(snapshot) = snapshot else {
            return CommandReply::RequestIdReused(earlier);
        };
        if earlier != intent.change_id {
            return CommandReply::Replayed(snapshot);
        }
        // Our own commit, whose answer was lost: nobody works under the lease that it took, if it took one. While
        // another change is current it took none, and the holder is at work.
        if snapshot.permission.current == Some(earlier) {
            self.resume(&snapshot.permission, snapshot.permission.lease_epoch, context);
        }
        CommandReply::Opened(snapshot)
    }

    fn deny(&mut self, intent: Arc<Intent>, rule: String, context: &TransitionContext) -> CommandReply {
        // What was accepted stays accepted: a replay gets the first answer, whatever the policy says today.
        if let Some(earlier) = self.requests.get(&intent.request_id) {
            return self.replay(&earlier.clone(), &intent, context);
        }
        let previous = self
            .permissions
            .get(&intent.key)
            .and_then(|permission| permission.applied);
        let refusal = ChangeBody {
            intent,
            generation: None,
            previous,
            attempts: Vec::new(),
            failure: None,
            denied_by: Some(rule.clone()),
        };
        let index = self.record(EntryBody::ChangeDenied(refusal), context);
        CommandReply::Denied(index, rule)
    }

    fn settle(&mut self, settlement: Settlement, context: &TransitionContext) -> CommandReply {
        let Settlement {
            key,
            epoch,
            change_id,
            attempts,
            outcome,
        } = settlement;
        let Some(mut permission) = self
            .held(&key, epoch, context)
            .filter(|p| p.current == Some(change_id))
            .cloned()
        else {
            return self.settled_before(&key, epoch, change_id, context);
        };
        let lost = attempts.iter().any(is_lost);
        if lost {
            // Counted from now, and not from the call's end, which only the replica's clock knows.
            self.note_unresolved_call(&mut permission, context.now + context.landing_window);
        }
        let outcome = confirmed_outcome(outcome, &mut permission, lost, context);
        self.current(&permission).remember(attempts);
        self.touch(change_id);
        match outcome {
            WorkOutcome::Succeeded => {
                permission.applied = Some(self.current(&permission).intent.action.into());
                permission.drop_resolved_call(context.now);
                self.end(change_id, ChangeState::Succeeded, None, context);
                self.advance(&mut permission, context);
            }
            WorkOutcome::Failed { failure, observed } => {
                permission.applied = observed.or(permission.applied);
                if permission.next.is_none() {
                    permission.desired = permission.applied;
                }
                self.end(change_id, ChangeState::Failed, Some(failure), context);
                self.advance(&mut permission, context);
            }
            WorkOutcome::Retry {
                delay,
                in_doubt,
                observed,
            } => {
                permission.lease = None;
                permission.in_doubt = in_doubt;
                permission.applied = observed.or(permission.applied);
                permission.next_attempt_at = Some(context.now + delay);
                if permission.next.is_some() {
                    self.give_way(&mut permission, context);
                    self.go_on(&mut permission, context);
                }
            }
        }
        self.put(permission, context);
        CommandReply::Settled
    }

    fn current(&mut self, permission: &Permission) -> &mut Change {
        let id = permission.current.expect("a lease is held for a current change only");
        self.changes
            .get_mut(&id)
            .expect("the current change of a permission is loaded with it")
    }

    /// Gives a change its one terminal entry.
    fn end(&mut self, id: ChangeId, state: ChangeState, failure: Option<ChangeFailure>, context: &TransitionContext) {
        let change = self
            .changes
            .get_mut(&id)
            .expect("the changes that a permission names are loaded with it");
        debug_assert!(!change.has_ended(), "a change ends once");
        change.state = state;
        change.failure = failure;
        change.ended_at = Some(context.now);
        let body = EntryBody::of_change(change);
        self.touch(id);
        self.effects.ended.push(id);
        self.record(body, context);
    }

    /// Notes that a change is to be saved. One that this batch opened is new as a whole.
    fn touch(&mut self, id: ChangeId) {
        if !self.effects.opened.contains(&id) {
            self.effects.updated.insert(id);
        }
    }

    fn record(&mut self, body: EntryBody, context: &TransitionContext) -> u64 {
        let log_index = self.size;
        self.effects.entries.push(Entry {
            account: self.id,
            log_index,
            recorded_at: context.now,
            body,
        });
        self.size += 1;
        self.last_recorded_at = context.now;
        log_index
    }

    fn put(&mut self, mut permission: Permission, context: &TransitionContext) {
        permission.updated_at = context.now;
        let key = permission.key.clone();
        if self.permissions.insert(key.clone(), permission).is_none() {
            self.effects.new_permissions.insert(key.clone());
        }
        self.effects.permissions.insert(key);
    }
}
