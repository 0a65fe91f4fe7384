//! A model of the store in memory: it loads the part of an account that a batch needs, and saves the effects.
//!
//! It loads only what the contract of [`AccountState::new`] says, so that a transition that depends on more fails.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use sharewarden::domain::{
    AccountId, Change, ChangeId, ChangeState, DriftFinding, Entry, EntryKind, EventId, Intent, Permission,
    PermissionKey, RecordedState, Region, Request, RequestId, Timestamp,
    transition::{AccountState, Command},
};

use crate::promises::{
    Breaches,
    Promise::{
        Constraints, EffectsAreExact, GaplessLedger, LedgerTellsState, OneChangePerRequestId, OneRequestOneEnd,
        SameWishJoins,
    },
};

/// One stored account.
pub(crate) struct Database {
    account: AccountId,
    size: u64,
    last_recorded_at: Timestamp,
    pub(crate) permissions: HashMap<PermissionKey, Permission>,
    pub(crate) changes: HashMap<ChangeId, Change>,
    pub(crate) findings: HashMap<PermissionKey, DriftFinding>,
    events: HashSet<(Region, EventId)>,
    requests: HashMap<RequestId, Request>,
    /// The intent of each request id according to the ledger, with the id of the change that answers it.
    intents: HashMap<RequestId, Arc<Intent>>,
    /// What an auditor recomputes from the ledger.
    recorded: RecordedState,
    /// The kind of the last entry of each change.
    kinds: HashMap<ChangeId, EntryKind>,
    /// The changes of each permission that have not ended.
    pending: BTreeMap<PermissionKey, BTreeSet<ChangeId>>,
    /// The newest change of each permission, and the number of its changes.
    newest: HashMap<PermissionKey, (ChangeId, u64)>,
}

impl Database {
    pub(crate) fn new(account: AccountId, now: Timestamp) -> Self {
        Self {
            account,
            size: 0,
            last_recorded_at: now,
            permissions: HashMap::new(),
            changes: HashMap::new(),
            findings: HashMap::new(),
            events: HashSet::new(),
            requests: HashMap::new(),
            intents: HashMap::new(),
            recorded: RecordedState::default(),
            kinds: HashMap::new(),
            pending: BTreeMap::new(),
            newest: HashMap::new(),
        }
    }

    pub(crate) fn newest(&self, key: &PermissionKey) -> Option<&Change> {
        self.newest.get(key).map(|(id, _)| &self.changes[id])
    }

    /// The intent of a request id. Its change id is that of the change that answers it.
    pub(crate) fn intent_of(&self, id: RequestId) -> Option<&Arc<Intent>> {
        self.intents.get(&id)
    }

    /// True if the ledger says that the image is shared.
    pub(crate) fn is_recorded_as_shared(&self, key: &PermissionKey) -> bool {
        self.recorded.is_shared(key)
    }

    /// Loads the rows of a batch, and nothing else.
    pub(crate) fn load(&self, batch: &[Command]) -> AccountState {
        let mut permissions = HashSet::new();
        let mut requests = Vec::new();
        let mut changes = HashSet::new();
        let (mut findings, mut recorded_shares, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for command in batch {
            let rows = command.required_rows();
            if let Some(permission) = rows.permission.and_then(|key| self.permissions.get(key)) {
                permissions.insert(&permission.key);
                changes.extend(permission.current.into_iter().chain(permission.next));
            }
            let of_drift = |is_needed: bool| rows.permission.filter(|_| is_needed);
            let open = of_drift(rows.finding).and_then(|key| self.findings.get(key));
            findings.extend(open.filter(|finding| finding.resolved.is_none()).cloned());
            let shared = of_drift(rows.recorded_share).filter(|key| self.is_recorded_as_shared(key));
            recorded_shares.extend(shared.cloned());
            let event = rows.event.map(|(region, id)| (region.clone(), id));
            events.extend(event.filter(|event| self.events.contains(event)));
            if let Some(request) = rows.request.and_then(|id| self.requests.get(&id)) {
                requests.push(request.clone());
                changes.insert(request.change_id);
            }
        }
        AccountState::new(
            self.account,
            self.size,
            self.last_recorded_at,
            permissions.into_iter().map(|key| self.permissions[key].clone()),
            requests,
            changes.into_iter().map(|id| self.changes[&id].clone()),
        )
        .with_drift(findings, recorded_shares)
        .with_events(events)
    }

    /// Notes the requests that a saved batch accepted, as they were asked for: an entry has the time of an end, and not the TTL.
    pub(crate) fn note_asked(&mut self, opened: impl IntoIterator<Item = (RequestId, Arc<Intent>)>) {
        self.intents.extend(opened);
    }

    /// Saves the effects of a batch.
    pub(crate) fn save(&mut self, account: &AccountState, breaches: &mut Breaches) {
        let effects = account.effects();
        self.check_effects(account, breaches);
        for request in &effects.requests {
            let earlier = self.requests.insert(request.id, request.clone());
            breaches.check(OneChangePerRequestId, earlier.is_none(), || {
                format!("{:?} opened {earlier:?} and {request:?}", request.id)
            });
        }
        let changed: BTreeSet<_> = effects.opened.union(&effects.updated).collect();
        for id in &changed {
            let change = account.change(**id).expect("effects name what the account has");
            self.save_change(change, effects.opened.contains(*id), breaches);
        }
        for entry in &effects.entries {
            self.append(entry, breaches);
            let followed = self.recorded.apply(entry);
            breaches.check(LedgerTellsState, followed.is_ok(), || {
                format!("{followed:?}: {entry:?}")
            });
        }
        for key in &effects.permissions {
            let permission = account.permission(key).expect("effects name what the account has");
            self.permissions.insert(key.clone(), permission.clone());
        }
        for (event, index) in &effects.events {
            let is_new = self.events.insert((event.key.region.clone(), event.id));
            breaches.check(EffectsAreExact, is_new && *index < self.size, || {
                format!("{event:?} at {index} is on record")
            });
        }
        for key in &effects.findings {
            let finding = account.finding(key).expect("effects name what the account has");
            self.findings.insert(key.clone(), finding.clone());
            let told = self.recorded.findings().get(key);
            breaches.check(LedgerTellsState, told == Some(finding), || {
                format!("the ledger tells {told:?}, the row is {finding:?}")
            });
        }
        for key in &effects.permissions {
            self.check_constraints(&self.permissions[key], breaches);
            self.check_recorded_permission(&self.permissions[key], breaches);
        }
        for id in changed {
            self.check_last_entry(*id, breaches);
            self.check_recorded_change(&self.changes[id], breaches);
        }
    }

    fn check_recorded_change(&self, change: &Change, breaches: &mut Breaches) {
        let told = self.recorded.changes().get(&change.id()).cloned();
        // No entry has the attempts of a pending change.
        let attempts = if change.has_ended() {
            change.attempts.clone()
        } else {
            Vec::new()
        };
        let expected = Change {
            attempts,
            ..change.clone()
        };
        breaches.check(LedgerTellsState, told.as_ref() == Some(&expected), || {
            format!("the ledger tells {told:?}, the row is {change:?}")
        });
    }

    fn check_recorded_permission(&self, permission: &Permission, breaches: &mut Breaches) {
        let Some(told) = self.recorded.permissions().get(&permission.key) else {
            return breaches.check(LedgerTellsState, false, || {
                format!("only the row tells of {permission:?}")
            });
        };
        let is_idle = permission.current.is_none();
        let holds = told.generation == permission.generation
            && told.pending_change() == permission.pending_change()
            && told.desired.is_none_or(|desired| permission.desired == Some(desired))
            && told.applied.is_none_or(|applied| permission.applied == Some(applied))
            && told.basis == permission.basis
            && told.created_at == permission.created_at
            && (!is_idle || told.updated_at == permission.updated_at);
        breaches.check(LedgerTellsState, holds, || {
            format!("the ledger tells {told:?}, the row is {permission:?}")
        });
    }

    fn save_change(&mut self, change: &Change, new: bool, breaches: &mut Breaches) {
        let (id, key) = (change.id(), &change.intent.key);
        if new && !self.changes.contains_key(&id) {
            let answers = self
                .requests
                .get(&change.intent.request_id)
                .map(|request| request.change_id);
            breaches.check(OneChangePerRequestId, answers == Some(id), || {
                format!("{id} was opened, and {answers:?} answers its request")
            });
            let newest = self.newest.entry(key.clone()).or_insert((id, 0));
            if newest.1 < change.generation {
                newest.0 = id;
            }
            newest.1 += 1;
        }
        if let Some(before) = self.changes.get(&id) {
            let same = before.intent == change.intent && before.generation == change.generation;
            breaches.check(Constraints, same, || format!("{id} changed its intent or generation"));
            breaches.check(OneRequestOneEnd, !before.has_ended(), || {
                format!("{id} changed after it had ended as {:?}", before.state)
            });
        }
        let pending = self.pending.entry(key.clone()).or_default();
        if change.has_ended() {
            pending.remove(&id);
        } else {
            pending.insert(id);
        }
        self.changes.insert(id, change.clone());
    }

    fn append(&mut self, entry: &Entry, breaches: &mut Breaches) {
        breaches.check(GaplessLedger, entry.log_index == self.size, || {
            format!("entry {} at the position of entry {}", entry.log_index, self.size)
        });
        breaches.check(GaplessLedger, entry.recorded_at >= self.last_recorded_at, || {
            format!("entry {} is older than the previous entry", entry.log_index)
        });
        self.size += 1;
        self.last_recorded_at = entry.recorded_at;
        let Some((kind, change)) = entry.body.kind().zip(entry.body.change()) else {
            return;
        };
        let Some(id) = change.change_id() else { return };
        if matches!(kind, EntryKind::ChangeRequested | EntryKind::ChangeJoined) {
            self.intents.insert(change.intent.request_id, change.intent.clone());
        }
        if kind == EntryKind::ChangeJoined {
            let joined = self.kinds.get(&id);
            return breaches.check(SameWishJoins, joined == Some(&EntryKind::ChangeRequested), || {
                format!("{id} was joined after {joined:?}")
            });
        }
        let before = self.kinds.insert(id, kind);
        let in_order = match kind {
            EntryKind::ChangeRequested => before.is_none(),
            _ => before == Some(EntryKind::ChangeRequested),
        };
        breaches.check(OneRequestOneEnd, in_order, || {
            format!("{id}: {kind:?} after {before:?}")
        });
    }

    fn check_last_entry(&self, id: ChangeId, breaches: &mut Breaches) {
        let state = self.changes[&id].state;
        let expected = match state {
            ChangeState::Pending => EntryKind::ChangeRequested,
            ChangeState::Succeeded => EntryKind::ChangeSucceeded,
            ChangeState::Failed => EntryKind::ChangeFailed,
            ChangeState::Superseded => EntryKind::ChangeSuperseded,
        };
        let kind = self.kinds.get(&id);
        breaches.check(OneRequestOneEnd, kind == Some(&expected), || {
            format!("{id} is {state:?}, its last entry {kind:?}")
        });
    }

    /// Checks the constraints of the migrations, and constraints across rows that SQL cannot express.
    fn check_constraints(&self, permission: &Permission, breaches: &mut Breaches) {
        let p = permission;
        let none = BTreeSet::new();
        let pending = self.pending.get(&p.key).unwrap_or(&none);
        let named: BTreeSet<_> = p.current.into_iter().chain(p.next).collect();
        let has_no_retry = p.lease.is_some() || p.current.is_none();
        let rules = [
            ("next without current", p.next.is_none() || p.current.is_some()),
            ("current is next", p.next.is_none() || p.next != p.current),
            ("lease without current", p.lease.is_none() || p.current.is_some()),
            ("doubt without current", !p.in_doubt || p.current.is_some()),
            (
                "lease of another epoch",
                p.lease.is_none_or(|l| l.epoch == p.lease_epoch),
            ),
            (
                "attempt due while leased or idle",
                has_no_retry == p.next_attempt_at.is_none(),
            ),
            ("named changes are the pending ones", named == *pending),
            ("generation counts changes", p.generation == self.newest[&p.key].1),
            ("newest change has the generation", {
                p.generation == self.changes[&self.newest[&p.key].0].generation
            }),
            ("newest pending is the newest", {
                p.pending_change().is_none_or(|id| id == self.newest[&p.key].0)
            }),
        ];
        for (rule, holds) in rules {
            breaches.check(Constraints, holds, || format!("{rule}: {p:?}, pending {pending:?}"));
        }
    }

    /// Checks that the effects name everything that differs from the stored state, in the right list.
    fn check_effects(&self, account: &AccountState, breaches: &mut Breaches) {
        let effects = account.effects();
        let unnamed = self.permissions.iter().find(|(key, stored)| {
            !effects.permissions.contains(key) && account.permission(key).is_some_and(|now| now != *stored)
        });
        breaches.check(EffectsAreExact, unnamed.is_none(), || {
            format!("{unnamed:?} changed but is not in the effects")
        });
        for id in &effects.opened {
            breaches.check(EffectsAreExact, !self.changes.contains_key(id), || {
                format!("{id} opened twice")
            });
        }
        for id in &effects.updated {
            breaches.check(EffectsAreExact, self.changes.contains_key(id), || {
                format!("{id} updated, but did not exist before")
            });
        }
        let ended: BTreeSet<_> = effects.ended.iter().collect();
        breaches.check(EffectsAreExact, ended.len() == effects.ended.len(), || {
            format!("ended twice: {:?}", effects.ended)
        });
        let named = |id: &ChangeId| effects.opened.contains(id) || effects.updated.contains(id);
        breaches.check(EffectsAreExact, effects.ended.iter().all(named), || {
            "a change ended and is not in the effects to save".into()
        });
    }
}
