//! The state machine of an account: a pure function from (state, command) to (state, entries, work, reply). The types are in
//! `command`, leases are in `lease`, ends of shares in `ends`, what AWS shows in
//! `observe`, and the rule for unresolved calls is in `confirmed`.
//!
//! The store loads the part of an [`AccountState`] that a batch of commands needs. It applies the commands one after the other,
//! and saves the effects in one transaction. Every rule about generations, leases and ends is here and nowhere else.
//!
//! A request for the same access as the newest change in progress joins that change, and ends with it. A change in doubt without
//! a lease is not joined: the new change supersedes it.
//!
//! A lease is held only while a call to AWS may be in flight. So a newer change supersedes at once a change that only waits for
//! its next attempt, and waits behind a change with a lease. While an unresolved call may still take effect, no call asks for
//! the opposite access.

mod command;
mod confirmed;
mod ends;
mod lease;
mod observe;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::domain::{
    AccountId, Basis, Cause, Change, ChangeBody, ChangeFailure, ChangeId, ChangeState, DenialsBody, DriftFinding,
    Entry, EntryBody, EventId, Intent, Permission, PermissionKey, Region, Request, RequestId, ShareEnd, SharingEvent,
    Timestamp,
};

pub use command::{
    AdmittedBuilds, Command, CommandReply, LONGEST_WAIT, RequiredRows, Settlement, Snapshot, TransitionContext, Work,
    WorkOutcome,
};
use confirmed::confirmed_outcome;
use ends::is_same_end;
use lease::{is_leased, is_unresolved};

/// The effects of a batch of commands on an account, to be saved and acted on.
#[derive(Debug, Default)]
pub struct Effects {
    /// New ledger entries, in order.
    pub entries: Vec<Entry>,
    /// New and changed permissions.
    pub permissions: BTreeSet<PermissionKey>,
    /// New permissions. Each is also in `permissions`.
    pub new_permissions: BTreeSet<PermissionKey>,
    /// New and changed findings of drift.
    pub findings: BTreeSet<PermissionKey>,
    /// New events of CloudTrail, each with the index of its entry.
    pub events: Vec<(Arc<SharingEvent>, u64)>,
    /// Accepted requests.
    pub requests: Vec<Request>,
    /// New changes.
    pub opened: BTreeSet<ChangeId>,
    /// Changed changes that existed before.
    pub updated: BTreeSet<ChangeId>,
    /// Ended changes.
    pub ended: Vec<ChangeId>,
    /// The work under the leases just taken.
    pub work: Vec<Work>,
}

impl Effects {
    /// True if there is nothing to save.
    pub fn is_nothing(&self) -> bool {
        self.entries.is_empty()
            && self.permissions.is_empty()
            && self.findings.is_empty()
            && self.requests.is_empty()
            && self.opened.is_empty()
            && self.updated.is_empty()
    }
}

/// The part of an account's state that a batch of commands needs.
#[derive(Debug)]
pub struct AccountState {
    id: AccountId,
    size: u64,
    last_recorded_at: Timestamp,
    permissions: HashMap<PermissionKey, Permission>,
    changes: HashMap<ChangeId, Change>,
    requests: HashMap<RequestId, Request>,
    findings: HashMap<PermissionKey, DriftFinding>,
    recorded_shares: HashSet<PermissionKey>,
    events: HashSet<(Region, EventId)>,
    effects: Effects,
}

impl AccountState {
    /// The state of an account whose ledger has `size` entries, the last recorded at `last_recorded_at`. `permissions` and
    /// `requests` are those of [`Command::required_rows`]. `changes` are the current and next changes of these permissions, and
    /// the changes that answer these requests.
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
            findings: HashMap::new(),
            recorded_shares: HashSet::new(),
            events: HashSet::new(),
            effects: Effects::default(),
        }
    }

    /// The same account with its findings of drift that are open, and with its shares according to the ledger, as far as
    /// [`Command::required_rows`] names them.
    pub fn with_drift(
        mut self,
        findings: impl IntoIterator<Item = DriftFinding>,
        recorded_shares: impl IntoIterator<Item = PermissionKey>,
    ) -> Self {
        let findings = findings.into_iter().map(|finding| (finding.key.clone(), finding));
        self.findings.extend(findings);
        self.recorded_shares.extend(recorded_shares);
        self
    }

    /// The same account with these events of CloudTrail on record, as far as [`Command::required_rows`] names them.
    pub fn with_events(mut self, events: impl IntoIterator<Item = (Region, EventId)>) -> Self {
        self.events.extend(events);
        self
    }

    /// The id of the account.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// The effects of the commands applied so far.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Removes and returns the work.
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

    /// A finding of drift that was loaded or recorded.
    pub fn finding(&self, key: &PermissionKey) -> Option<&DriftFinding> {
        self.findings.get(key)
    }

    /// A change and its permission, if both were loaded or opened.
    pub fn snapshot(&self, id: ChangeId) -> Option<Snapshot> {
        let change = self.changes.get(&id)?;
        Some(Snapshot {
            change: change.clone(),
            permission: self.permissions.get(&change.intent.key)?.clone(),
        })
    }

    /// Applies one command.
    pub fn apply(&mut self, command: Command, context: &TransitionContext) -> CommandReply {
        if let Some(key) = command.required_rows().permission {
            self.correct_times(key, context);
        }
        match command {
            Command::Open(intent) => self.open(intent, context),
            Command::Replay(intent) => self.replay(&intent, context).unwrap_or(CommandReply::NotAccepted),
            Command::End(intent, basis) => self.end_share(intent, basis, context),
            Command::Deny(intent, rule) => self.deny(intent, rule, context),
            Command::RecordDenials(_, denials) => self.record_denials(&denials, context),
            Command::Claim(key) => self.claim(&key, context),
            Command::Renew { key, epoch, attempts } => self.renew(&key, epoch, attempts, context),
            Command::Settle(settlement) => self.settle(settlement, context),
            Command::Observe(observation) => self.observe(observation, context),
            Command::RevokeUnrecorded(intent, found_index) => self.revoke_unrecorded(intent, found_index, context),
            Command::SetBaseline(_, body) => match context.admitted.know_drift_revokes {
                true => CommandReply::BaselineSet(self.record(EntryBody::DriftBaseline(*body), context)),
                false => CommandReply::DriftNotAdmitted,
            },
            Command::RecordEvent(event) => self.record_event(event, context),
            Command::Confirm(_, body) => {
                CommandReply::Confirmed(self.record(EntryBody::CheckpointConfirmed(body), context))
            }
        }
    }

    /// Hands out again the work of a lease that an earlier try of this batch gave, if its commit succeeded after all. No task has
    /// started this work, because the reply to that commit was lost.
    pub fn hand_out_again(&mut self, key: &PermissionKey, epoch: u64, context: &TransitionContext) {
        if let Some(permission) = self.permissions.get(key).cloned() {
            self.resume(&permission, epoch, context);
        }
    }

    fn open(&mut self, intent: Arc<Intent>, context: &TransitionContext) -> CommandReply {
        if let Some(reply) = self.replay(&intent, context) {
            return reply;
        }
        if let Some(reply) = self.cannot_adopt(&intent, context) {
            return reply;
        }
        if let Some(end) = intent.end {
            if !context.admitted.know_ends {
                return CommandReply::EndsNotAdmitted;
            }
            if end.from(context.now) <= context.now {
                return CommandReply::EndPassed;
            }
        }
        if let Some(change_id) = self.joinable(&intent, context) {
            return self.join(change_id, &intent, context);
        }
        let (id, key) = (intent.change_id, intent.key.clone());
        let previous_basis = self.permissions.get(&key).and_then(|permission| permission.basis);
        let mut permission = self.accept(intent, previous_basis, context);
        if !is_leased(&permission, context) {
            self.take_up(&mut permission, context);
        }
        self.put(permission, context);
        self.snapshot(id)
            .map(CommandReply::Opened)
            .expect("the change was inserted above")
    }

    /// Accepts a change as the newest of its permission, which is still to be put. The caller of this function starts the work.
    fn accept(
        &mut self,
        mut intent: Arc<Intent>,
        previous_basis: Option<Basis>,
        context: &TransitionContext,
    ) -> Permission {
        // A replay has the same content as the request, also after a TTL has become a time.
        let request = Request::of(&intent);
        if let Some(end @ ShareEnd::After(_)) = intent.end {
            Arc::make_mut(&mut intent).end = Some(ShareEnd::At(end.from(context.now)));
        }
        let (id, key) = (intent.change_id, intent.key.clone());
        let mut permission = self
            .permissions
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Permission::new(key.clone(), self.recorded_now(context)));
        if permission.current.is_none() {
            // Without a current change it is known what AWS holds.
            permission.drop_resolved_call(context.now);
        }
        permission.generation += 1;
        permission.desired = Some(intent.action.into());
        let change = Change {
            generation: permission.generation,
            previous: permission.applied,
            previous_basis,
            state: ChangeState::Pending,
            attempts: Vec::new(),
            failure: None,
            created_at: self.recorded_now(context),
            ended_at: None,
            intent,
        };
        self.effects.requests.push(request.clone());
        self.requests.insert(request.id, request);
        self.effects.opened.insert(id);
        self.record(EntryBody::of_change(&change), context);
        self.changes.insert(id, change);

        let waiting = permission.next.replace(id);
        if let Some(waiting) = waiting {
            self.end(waiting, ChangeState::Superseded, None, context);
        }
        self.schedule_end(&mut permission);
        permission
    }

    /// The newest change in progress of the permission, if it asks for the same access as `intent`. A change in doubt without a
    /// lease is excluded: it waits for a read back, perhaps for a long time, while a newer change is called at once.
    fn joinable(&self, intent: &Intent, context: &TransitionContext) -> Option<ChangeId> {
        let permission = self.permissions.get(&intent.key)?;
        let newest = permission.next.or(permission.current)?;
        let change = self.changes.get(&newest)?;
        let is_stuck = permission.in_doubt && !is_leased(permission, context);
        // The policy is asked about an adoption in another way, also before the call.
        let is_same_adoption = (change.intent.cause == Cause::Adoption) == (intent.cause == Cause::Adoption);
        let is_same = change.intent.action == intent.action && is_same_adoption && is_same_end(change, intent, context);
        (is_same && !is_stuck).then_some(newest)
    }

    /// Lets a request join a change. The work on the change is not affected.
    fn join(&mut self, id: ChangeId, intent: &Intent, context: &TransitionContext) -> CommandReply {
        let request = Request::joining(id, intent);
        self.effects.requests.push(request.clone());
        self.requests.insert(request.id, request);
        let asked = Intent {
            end: intent.end.map(|end| ShareEnd::At(end.from(context.now))),
            ..intent.clone()
        };
        let body = ChangeBody::joining(&self.changes[&id], &asked);
        self.record(EntryBody::ChangeJoined(body), context);
        self.snapshot(id)
            .map(CommandReply::Joined)
            .expect("a change that a permission names is loaded with it")
    }

    /// The reply to a request id that was used before. None for a new one.
    fn replay(&mut self, intent: &Intent, context: &TransitionContext) -> Option<CommandReply> {
        let request = self.requests.get(&intent.request_id)?;
        let earlier = request.change_id;
        // The same content means the same permission, and that was loaded for the command.
        let snapshot = self.snapshot(earlier).filter(|_| request.is_repeated_by(intent));
        let Some(snapshot) = snapshot else {
            return Some(CommandReply::RequestIdReused(earlier));
        };
        if earlier != intent.change_id {
            return Some(CommandReply::Replayed(snapshot));
        }
        // This is our own commit, whose reply was lost. If the change is current, no task works under the lease that the commit
        // took. If another change is current, the commit took no lease.
        if snapshot.permission.current == Some(earlier) {
            self.resume(&snapshot.permission, snapshot.permission.lease_epoch, context);
        }
        Some(CommandReply::Opened(snapshot))
    }

    fn deny(&mut self, mut intent: Arc<Intent>, rule: String, context: &TransitionContext) -> CommandReply {
        // A replay of an accepted request gets its first answer, whatever the policy says now.
        if let Some(reply) = self.replay(&intent, context) {
            return reply;
        }
        if intent.cause == Cause::Adoption && !context.admitted.know_adoptions {
            return CommandReply::AdoptionsNotAdmitted;
        }
        if let Some(end) = intent.end {
            // Older builds do not know ends.
            let end = context.admitted.know_ends.then(|| ShareEnd::At(end.from(context.now)));
            Arc::make_mut(&mut intent).end = end;
        }
        let previous = self
            .permissions
            .get(&intent.key)
            .and_then(|permission| permission.applied);
        let refusal = ChangeBody {
            intent,
            generation: None,
            previous,
            previous_basis: None,
            attempts: Vec::new(),
            failure: None,
            denied_by: Some(rule.clone()),
        };
        let index = self.record(EntryBody::ChangeDenied(refusal), context);
        CommandReply::Denied(index, rule)
    }

    fn record_denials(&mut self, denials: &DenialsBody, context: &TransitionContext) -> CommandReply {
        self.record(EntryBody::ChangeDenials(denials.clone()), context);
        CommandReply::DenialsRecorded
    }

    fn settle(&mut self, settlement: Settlement, context: &TransitionContext) -> CommandReply {
        let Settlement {
            key,
            epoch,
            change_id,
            attempts,
            decision,
            outcome,
        } = settlement;
        let Some(mut permission) = self
            .held(&key, epoch, context)
            .filter(|p| p.current == Some(change_id))
            .cloned()
        else {
            return self.settled_before(&key, epoch, change_id, context);
        };
        let is_call_unresolved = attempts.iter().any(is_unresolved);
        if is_call_unresolved {
            // Counted from now, because only the replica's clock knows when the call ended.
            self.note_unresolved_call(&mut permission, context.now + context.late_effect_window);
        }
        let outcome = confirmed_outcome(outcome, &mut permission, is_call_unresolved, context);
        let change = self.current(&permission);
        change.remember(attempts);
        if let Some(decision) = decision {
            Arc::make_mut(&mut change.intent).decision = Some(*decision);
        }
        self.mark_updated(change_id);
        match outcome {
            WorkOutcome::Succeeded => {
                permission.applied = Some(self.current(&permission).intent.action.into());
                permission.basis = self.current(&permission).basis().filter(|_| context.admitted.know_ends);
                permission.drop_resolved_call(context.now);
                self.end(change_id, ChangeState::Succeeded, None, context);
                self.follow_success(change_id, context);
                self.advance(&mut permission, context);
                self.schedule_end(&mut permission);
            }
            WorkOutcome::Failed { failure, observed } => {
                permission.applied = observed.or(permission.applied);
                if permission.next.is_none() {
                    permission.desired = permission.applied;
                }
                self.end(change_id, ChangeState::Failed, Some(failure), context);
                self.advance(&mut permission, context);
                self.schedule_end(&mut permission);
                if self.changes[&change_id].intent.cause == Cause::Expiry {
                    ends::delay_end(&mut permission, context);
                }
            }
            WorkOutcome::Retry {
                delay,
                in_doubt,
                observed,
            } => {
                permission.lease = None;
                permission.in_doubt = in_doubt;
                permission.applied = observed.or(permission.applied);
                permission.next_attempt_at = Some(context.now + delay.min(LONGEST_WAIT));
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

    /// Ends a change, and records its terminal entry.
    fn end(&mut self, id: ChangeId, state: ChangeState, failure: Option<ChangeFailure>, context: &TransitionContext) {
        let now = self.recorded_now(context);
        let change = self
            .changes
            .get_mut(&id)
            .expect("the changes that a permission names are loaded with it");
        debug_assert!(!change.has_ended(), "a change ends once");
        change.state = state;
        change.failure = failure;
        change.ended_at = Some(now);
        let body = EntryBody::of_change(change);
        self.mark_updated(id);
        self.effects.ended.push(id);
        self.record(body, context);
    }

    /// Marks a change to be saved. A change that this batch opened is saved as new.
    fn mark_updated(&mut self, id: ChangeId) {
        if !self.effects.opened.contains(&id) {
            self.effects.updated.insert(id);
        }
    }

    /// The time to record. The ledger's times stay the same while the database's clock is behind them.
    fn recorded_now(&self, context: &TransitionContext) -> Timestamp {
        context.now.max(self.last_recorded_at)
    }

    fn record(&mut self, body: EntryBody, context: &TransitionContext) -> u64 {
        let log_index = self.size;
        let recorded_at = self.recorded_now(context);
        self.effects.entries.push(Entry {
            account: self.id,
            log_index,
            recorded_at,
            body,
        });
        self.size += 1;
        self.last_recorded_at = recorded_at;
        log_index
    }

    fn put(&mut self, mut permission: Permission, context: &TransitionContext) {
        permission.updated_at = self.recorded_now(context);
        let key = permission.key.clone();
        if self.permissions.insert(key.clone(), permission).is_none() {
            self.effects.new_permissions.insert(key.clone());
        }
        self.effects.permissions.insert(key);
    }
}
