//! Observations: what AWS showed of a permission, against what the ledger says; and calls that CloudTrail has.
//!
//! An observation counts only if the permission is exactly as it was before AWS was asked, and no call for it can take effect
//! since. So a finding never contradicts an accepted change. A change that succeeds resolves the finding of its permission.

use std::sync::Arc;

use crate::domain::{
    Access, Cause, ChangeId, DriftDifference, DriftFinding, DriftFoundBody, DriftObservedBody, DriftResolution,
    DriftResolvedBody, EntryBody, Intent, Observation, Permission, PermissionKey, PermissionStamp, ResolvedDrift,
    ScanId, SharingEvent, Timestamp,
};

use super::{AccountState, CommandReply, TransitionContext};

impl AccountState {
    /// Records that AWS and the ledger differ, or that they no longer do.
    pub(super) fn observe(&mut self, observation: Observation, context: &TransitionContext) -> CommandReply {
        let Observation {
            key,
            shown,
            first_seen_at,
            seen_at,
            scan_id,
            permission,
        } = observation;
        if !context.admitted.know_drift {
            return CommandReply::DriftNotAdmitted;
        }
        let now = self.permissions.get(&key);
        let is_settled = now.is_none_or(|now| is_settled(now, seen_at));
        if now.map(PermissionStamp::of) != permission || !is_settled {
            return CommandReply::ObservationOutdated;
        }
        let difference = DriftDifference::between(shown, self.recorded_access(&key));
        match (self.open_finding(&key).cloned(), difference) {
            (None, Some(difference)) => {
                let body = DriftFoundBody {
                    key: key.clone(),
                    difference,
                    first_seen_at,
                    seen_at,
                    scan_id,
                };
                let found_index = self.record(EntryBody::DriftFound(body), context);
                let finding = DriftFinding {
                    key,
                    difference,
                    found_index,
                    first_seen_at,
                    found_at: self.recorded_now(context),
                    scan_id,
                    resolved: None,
                };
                self.put_finding(finding);
                CommandReply::DriftFound(found_index)
            }
            (Some(finding), None) => {
                let index = self.resolve(finding, DriftResolution::Gone, None, Some((scan_id, seen_at)), context);
                CommandReply::DriftResolved(index)
            }
            // The finding of this difference is on record: nothing else changes what the ledger says of a permission.
            (Some(_), Some(_)) | (None, None) => CommandReply::ObservedAsRecorded,
        }
    }

    /// Accepts the revoke of an unrecorded share. While a change of the permission is in progress, that change decides.
    pub(super) fn revoke_unrecorded(
        &mut self,
        intent: Arc<Intent>,
        found_index: u64,
        context: &TransitionContext,
    ) -> CommandReply {
        if !context.admitted.know_drift_revokes {
            return CommandReply::DriftNotAdmitted;
        }
        // This is our own commit, whose reply was lost: nobody else has the request id.
        if self.requests.contains_key(&intent.request_id) {
            return self
                .snapshot(intent.change_id)
                .map_or(CommandReply::NotDue, CommandReply::Opened);
        }
        let is_to_revoke = self.open_finding(&intent.key).is_some_and(|finding| {
            finding.found_index == found_index && finding.difference == DriftDifference::UnrecordedShare
        });
        let permission = self.permissions.get(&intent.key);
        let is_at_rest = permission.is_none_or(|permission| permission.current.is_none());
        match is_to_revoke && is_at_rest {
            true => self.open_as_due(intent, None, context),
            false => CommandReply::NotDue,
        }
    }

    /// Records a call that somebody made past the service. Each event of CloudTrail is recorded once.
    pub(super) fn record_event(&mut self, event: Arc<SharingEvent>, context: &TransitionContext) -> CommandReply {
        if !context.admitted.know_trail {
            return CommandReply::DriftNotAdmitted;
        }
        if !self.events.insert((event.key.region.clone(), event.id)) {
            return CommandReply::EventOnRecord;
        }
        let body = DriftObservedBody(SharingEvent::clone(&event));
        let index = self.record(EntryBody::DriftObserved(body), context);
        self.effects.events.push((event, index));
        CommandReply::EventRecorded(index)
    }

    /// Why the request is no adoption that can be accepted. None if it is none, or if AWS was found to have a share that the
    /// ledger does not have.
    pub(super) fn cannot_adopt(&self, intent: &Intent, context: &TransitionContext) -> Option<CommandReply> {
        if intent.cause != Cause::Adoption {
            return None;
        }
        if !context.admitted.know_adoptions {
            return Some(CommandReply::AdoptionsNotAdmitted);
        }
        let found = self.open_finding(&intent.key).map(|finding| finding.difference);
        (found != Some(DriftDifference::UnrecordedShare)).then_some(CommandReply::NothingToAdopt)
    }

    /// Takes note of a change that has succeeded: what the ledger says from now on, and the end of a finding.
    pub(super) fn follow_success(&mut self, id: ChangeId, context: &TransitionContext) {
        let intent = self.changes[&id].intent.clone();
        match Access::from(intent.action) {
            Access::Shared => self.recorded_shares.insert(intent.key.clone()),
            Access::NotShared => self.recorded_shares.remove(&intent.key),
        };
        if let Some(finding) = self.open_finding(&intent.key).cloned() {
            let resolution = finding.difference.resolved_by(intent.action, intent.cause);
            self.resolve(finding, resolution, Some(id), None, context);
        }
    }

    fn resolve(
        &mut self,
        finding: DriftFinding,
        resolution: DriftResolution,
        change_id: Option<ChangeId>,
        seen: Option<(ScanId, Timestamp)>,
        context: &TransitionContext,
    ) -> u64 {
        let body = DriftResolvedBody::of(&finding, resolution, change_id, seen);
        let index = self.record(EntryBody::DriftResolved(body), context);
        let resolved = ResolvedDrift {
            resolution,
            index,
            at: self.recorded_now(context),
            change_id,
        };
        self.put_finding(DriftFinding {
            resolved: Some(resolved),
            ..finding
        });
        index
    }

    fn recorded_access(&self, key: &PermissionKey) -> Access {
        match self.recorded_shares.contains(key) {
            true => Access::Shared,
            false => Access::NotShared,
        }
    }

    fn open_finding(&self, key: &PermissionKey) -> Option<&DriftFinding> {
        self.findings.get(key).filter(|finding| finding.resolved.is_none())
    }

    fn put_finding(&mut self, finding: DriftFinding) {
        self.effects.findings.insert(finding.key.clone());
        self.findings.insert(finding.key.clone(), finding);
    }
}

/// True if no change is in progress, and no call could take effect after AWS was asked.
fn is_settled(permission: &Permission, seen_at: Timestamp) -> bool {
    permission.current.is_none() && permission.unresolved_call.is_none_or(|call| call.until <= seen_at)
}
