//! What the entries of one ledger say about the other tables: changes, permissions, shares and counts. No hash covers those
//! tables, so an auditor recomputes them.
//!
//! It copies the recorded end of each change, and decides nothing: every rule is in [`transition`](super::transition). Some
//! columns follow from no entry: leases, the attempts of a pending change, and the access that was read from AWS after a
//! failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Access, Basis, Change, ChangeBody, ChangeId, ChangeState, DriftFinding, DriftFoundBody, DriftObservedBody,
    DriftResolvedBody, Entry, EntryBody, EventId, PermissionKey, Region, RequestId, ResolvedDrift, ShareEffect,
    Timestamp,
};

/// The state that the entries of a ledger, from the first one on, describe.
#[derive(Debug, Default)]
pub struct RecordedState {
    changes: BTreeMap<ChangeId, Change>,
    permissions: BTreeMap<PermissionKey, RecordedPermission>,
    shares: BTreeMap<(PermissionKey, u64), RecordedShare>,
    open_shares: BTreeMap<PermissionKey, u64>,
    findings: BTreeMap<PermissionKey, DriftFinding>,
    counts: BTreeMap<CountKey, u64>,
    requests: BTreeMap<RequestsKey, u64>,
    request_ids: BTreeSet<RequestId>,
    events: BTreeSet<(Region, EventId)>,
    last_recorded_at: Option<Timestamp>,
}

/// The row of a permission, as far as the entries determine it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPermission {
    /// The number of accepted changes.
    pub generation: u64,
    /// The changes that have not ended, by generation.
    pub pending: BTreeMap<u64, ChangeId>,
    /// What the newest pending change asks for, or what the last change achieved. None after a failure.
    pub desired: Option<Access>,
    /// What AWS holds. None while a change is pending, and after a failure: no entry says what AWS was then read to hold.
    pub applied: Option<Access>,
    /// Why the image is shared: the grant that last succeeded. None after a revoke.
    pub basis: Option<Basis>,
    /// The time of the first accepted change.
    pub created_at: Timestamp,
    /// The time of the last acceptance or end of a change. Without a pending change, the row has this time.
    pub updated_at: Timestamp,
}

impl RecordedPermission {
    /// The newest change that has not ended.
    pub fn pending_change(&self) -> Option<ChangeId> {
        self.pending.last_key_value().map(|(_, id)| *id)
    }
}

/// A time span in which a share was in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedShare {
    /// The time of the entry that began it.
    pub start_time: Timestamp,
    /// The time and the index of the entry that ended it. None while it is in effect.
    pub end: Option<(Timestamp, u64)>,
}

/// What entries are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountKey {
    /// The full hour (UTC).
    pub hour: Timestamp,
    /// The Region; empty for entries without one.
    pub region: String,
    /// The action; empty for entries without one.
    pub action: String,
    /// The name of the entry's kind, known to this build or not.
    pub kind: String,
}

/// What requests are counted by, for rankings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestsKey {
    /// Midnight (UTC).
    pub day: Timestamp,
    /// The column whose values are ranked.
    pub ranking: RankedColumn,
    /// A value of the column.
    pub value: String,
}

/// A column whose values are ranked by requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RankedColumn {
    /// The principal of the request.
    Principal,
    /// The image.
    Image,
    /// The account that the image is shared with.
    SharedAccount,
}

/// An entry that contradicts earlier ones, or that this build cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A newer build recorded it. What it does to the other tables is unknown.
    #[error("its kind or a value in it is unknown to this program")]
    Unknown,
    /// A change with this id, or a newer one of its permission, was accepted before.
    #[error("it accepts a change that does not follow the changes before it")]
    Accepted,
    /// Its request id was accepted before, so a repeated request acted twice: a row of `request` was removed or changed.
    #[error("its request id was accepted before")]
    Repeated,
    /// Its event of CloudTrail was recorded before.
    #[error("its event of CloudTrail was recorded before")]
    Observed,
    /// It finds a difference that is open, or resolves one that is not.
    #[error("it finds a difference that is open, or resolves one that is not")]
    Drifted,
    /// No pending change has this id and this content.
    #[error("it ends a change that is not pending, or that has another content")]
    Ended,
}

impl RecordedState {
    /// Takes the next entry of the ledger.
    ///
    /// # Errors
    /// If no rows can follow from this entry and the ones before it.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Contradiction> {
        match &entry.body {
            EntryBody::ChangeRequested(body) => self.accept(body, entry.recorded_at)?,
            EntryBody::ChangeJoined(body) => self.take_request_id(body)?,
            EntryBody::ChangeSucceeded(body) => self.end(body, ChangeState::Succeeded, entry.recorded_at)?,
            EntryBody::ChangeFailed(body) => self.end(body, ChangeState::Failed, entry.recorded_at)?,
            EntryBody::ChangeSuperseded(body) => self.end(body, ChangeState::Superseded, entry.recorded_at)?,
            EntryBody::DriftFound(body) => self.find(body, entry)?,
            EntryBody::DriftResolved(body) => self.resolve(body, entry)?,
            EntryBody::DriftObserved(body) => self.take_event(body)?,
            EntryBody::Unknown(_) => return Err(Contradiction::Unknown),
            _ => {}
        }
        self.share(entry);
        self.count(entry);
        self.last_recorded_at = Some(entry.recorded_at);
        Ok(())
    }

    /// The changes. A pending one has no attempts.
    pub fn changes(&self) -> &BTreeMap<ChangeId, Change> {
        &self.changes
    }

    /// Every permission with an accepted change.
    pub fn permissions(&self) -> &BTreeMap<PermissionKey, RecordedPermission> {
        &self.permissions
    }

    /// The shares, each by its permission and the index of the entry that began it.
    pub fn shares(&self) -> &BTreeMap<(PermissionKey, u64), RecordedShare> {
        &self.shares
    }

    /// The newest finding of drift of each permission.
    pub fn findings(&self) -> &BTreeMap<PermissionKey, DriftFinding> {
        &self.findings
    }

    /// True if the last succeeded change of the permission is a grant.
    pub fn is_shared(&self, key: &PermissionKey) -> bool {
        self.open_shares.contains_key(key)
    }

    /// The number of entries by hour. Never 0.
    pub fn counts(&self) -> &BTreeMap<CountKey, u64> {
        &self.counts
    }

    /// The number of requests by day. Never 0.
    pub fn requests(&self) -> &BTreeMap<RequestsKey, u64> {
        &self.requests
    }

    /// The time of the last entry. None before the first one.
    pub fn last_recorded_at(&self) -> Option<Timestamp> {
        self.last_recorded_at
    }

    fn accept(&mut self, body: &ChangeBody, at: Timestamp) -> Result<(), Contradiction> {
        self.take_request_id(body)?;
        let (intent, generation) = (body.intent.clone(), body.generation.ok_or(Contradiction::Accepted)?);
        let new = || RecordedPermission {
            generation: 0,
            pending: BTreeMap::new(),
            desired: None,
            applied: None,
            basis: None,
            created_at: at,
            updated_at: at,
        };
        let permission = self.permissions.entry(intent.key.clone()).or_insert_with(new);
        if generation != permission.generation + 1 || self.changes.contains_key(&intent.change_id) {
            return Err(Contradiction::Accepted);
        }
        permission.generation = generation;
        permission.pending.insert(generation, intent.change_id);
        permission.desired = Some(intent.action.into());
        permission.applied = None;
        permission.updated_at = at;
        let change = Change {
            generation,
            previous: body.previous,
            previous_basis: body.previous_basis,
            state: ChangeState::Pending,
            attempts: Vec::new(),
            failure: None,
            created_at: at,
            ended_at: None,
            intent,
        };
        self.changes.insert(change.id(), change);
        Ok(())
    }

    fn take_request_id(&mut self, body: &ChangeBody) -> Result<(), Contradiction> {
        match self.request_ids.insert(body.intent.request_id) {
            true => Ok(()),
            false => Err(Contradiction::Repeated),
        }
    }

    fn take_event(&mut self, body: &DriftObservedBody) -> Result<(), Contradiction> {
        match self.events.insert((body.0.key.region.clone(), body.0.id)) {
            true => Ok(()),
            false => Err(Contradiction::Observed),
        }
    }

    fn end(&mut self, body: &ChangeBody, state: ChangeState, at: Timestamp) -> Result<(), Contradiction> {
        let intent = &body.intent;
        let change = self.changes.get_mut(&intent.change_id).ok_or(Contradiction::Ended)?;
        let said = (Some(change.generation), change.previous, change.previous_basis);
        if change.has_ended()
            || !change.intent.is_repeated_in(intent)
            || said != (body.generation, body.previous, body.previous_basis)
        {
            return Err(Contradiction::Ended);
        }
        // None if an older build ended the change.
        Arc::make_mut(&mut change.intent).decision.clone_from(&intent.decision);
        change.state = state;
        change.attempts.clone_from(&body.attempts);
        change.failure.clone_from(&body.failure);
        change.ended_at = Some(at);
        let permission = self.permissions.get_mut(&intent.key).ok_or(Contradiction::Ended)?;
        permission.pending.remove(&change.generation);
        permission.updated_at = at;
        if state == ChangeState::Succeeded {
            permission.basis = change.basis();
        }
        if permission.pending.is_empty() {
            let achieved = (state == ChangeState::Succeeded).then(|| Access::from(intent.action));
            (permission.desired, permission.applied) = (achieved, achieved);
        }
        Ok(())
    }

    fn find(&mut self, body: &DriftFoundBody, entry: &Entry) -> Result<(), Contradiction> {
        let finding = DriftFinding {
            key: body.key.clone(),
            difference: body.difference,
            found_index: entry.log_index,
            first_seen_at: body.first_seen_at,
            found_at: entry.recorded_at,
            scan_id: body.scan_id,
            resolved: None,
        };
        let before = self.findings.insert(body.key.clone(), finding);
        match before.is_some_and(|before| before.resolved.is_none()) {
            true => Err(Contradiction::Drifted),
            false => Ok(()),
        }
    }

    fn resolve(&mut self, body: &DriftResolvedBody, entry: &Entry) -> Result<(), Contradiction> {
        let finding = self.findings.get_mut(&body.key).ok_or(Contradiction::Drifted)?;
        let said = (finding.found_index, finding.difference);
        if finding.resolved.is_some() || said != (body.found_index, body.difference) {
            return Err(Contradiction::Drifted);
        }
        finding.resolved = Some(ResolvedDrift {
            resolution: body.resolution,
            index: entry.log_index,
            at: entry.recorded_at,
            change_id: body.change_id,
        });
        Ok(())
    }

    fn share(&mut self, entry: &Entry) {
        let (Some(effect), Some(body)) = (entry.body.share_effect(), entry.body.change()) else {
            return;
        };
        let key = &body.intent.key;
        match effect {
            ShareEffect::Begins if !self.open_shares.contains_key(key) => {
                let share = RecordedShare {
                    start_time: entry.recorded_at,
                    end: None,
                };
                self.open_shares.insert(key.clone(), entry.log_index);
                self.shares.insert((key.clone(), entry.log_index), share);
            }
            ShareEffect::Begins => {}
            ShareEffect::Ends => {
                let start = self.open_shares.remove(key);
                let share = start.and_then(|start| self.shares.get_mut(&(key.clone(), start)));
                if let Some(share) = share {
                    share.end = Some((entry.recorded_at, entry.log_index));
                }
            }
        }
    }

    fn count(&mut self, entry: &Entry) {
        let columns = entry.columns();
        let time = entry.recorded_at.to_offset_date_time();
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        let key = CountKey {
            hour: Timestamp::new(time.truncate_to_hour()),
            region: text(&columns.region),
            action: text(&columns.action),
            kind: columns.kind.clone().into_owned(),
        };
        *self.counts.entry(key).or_default() += 1;
        if !entry.body.is_ranked() {
            return;
        }
        let day = Timestamp::new(time.truncate_to_day());
        let ranked = [
            (RankedColumn::Principal, &columns.principal),
            (RankedColumn::Image, &columns.image_id),
            (RankedColumn::SharedAccount, &columns.shared_account_id),
        ];
        for (ranking, value) in ranked {
            if let Some(value) = value {
                let value = value.clone().into_owned();
                *self.requests.entry(RequestsKey { day, ranking, value }).or_default() += 1;
            }
        }
    }
}
