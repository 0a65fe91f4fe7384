//! The end of a history, and the checks of a permission without a change in progress.

use std::time::Duration;

use sharewarden::domain::{
    Access, Action, Change, ChangeState, FailureReason, PermissionKey,
    transition::{AccountState, Command, WorkOutcome},
};

use crate::{
    aws::WINDOW,
    fixtures::{ending, key},
    forwarder::HeldWork,
    promises::Promise::{
        AllEnds, EndsAreKept, NewestTakesEffectLast, NewestWins, OneRequestOneEnd, RefusedEndsDenied, RestIsTrue,
    },
    world::{Commit, Dice, LEASE, World},
};

impl World {
    /// Checks permissions without a change in progress: `applied` is what AWS holds, and what was asked for last.
    pub(crate) fn check_rest(&mut self, account: &AccountState) {
        for key in &account.effects().permissions {
            let permission = &self.database.permissions[key];
            if permission.current.is_some() {
                continue;
            }
            let holds = self.aws.holds(key);
            let is_true = permission.applied.is_none_or(|applied| applied == holds);
            self.breaches.check(RestIsTrue, is_true, || {
                format!("{permission:?}, but AWS holds {holds:?}")
            });
            let opposite = permission
                .applied
                .and_then(|applied| self.aws.late_against(key, applied));
            self.breaches.check(
                NewestTakesEffectLast,
                opposite.is_none() || self.clock_may_go_back,
                || format!("{permission:?}, but a late call exists: {opposite:?}"),
            );
            let settled = permission.desired == permission.applied;
            self.breaches.check(RestIsTrue, settled, || {
                format!("no change in progress, but desired is not applied: {permission:?}")
            });
            let newest = self.database.newest(key).expect("a permission has a change");
            let ended = matches!(newest.state, ChangeState::Succeeded | ChangeState::Failed);
            self.breaches.check(NewestWins, ended, || {
                format!("{newest:?} is the newest change, but nothing is in progress")
            });
        }
    }

    /// Crashes every replica. Then one of them works without any fault.
    pub(crate) fn drain(&mut self) {
        self.drain_in_rounds(&[LEASE * 2; 3]);
    }

    /// Drains in rounds, each after a wait.
    pub(crate) fn drain_in_rounds(&mut self, waits: &[Duration]) {
        for at in 0..self.replicas.len() {
            self.crash(at);
        }
        let waiting: Vec<_> = (0..4).map(key).filter(|key| self.is_pending(key)).collect();
        for wait in waits {
            self.wait(*wait);
            let claims = (0..4).map(key).map(Command::Claim);
            self.replicas[0].queue.extend(claims);
            self.commit(0, Commit::Replied, &mut Dice(0));
            for HeldWork { work, .. } in std::mem::take(&mut self.replicas[0].held) {
                let intent = &work.change.intent;
                self.aws.set(&intent.key, intent.action.into(), intent.change_id);
                self.give_back(0, work, Vec::new(), WorkOutcome::Succeeded);
            }
            self.commit(0, Commit::Replied, &mut Dice(0));
        }
        let pending = self.database.changes.values().find(|change| !change.has_ended());
        self.breaches.check(OneRequestOneEnd, pending.is_none(), || {
            format!("never ended: {pending:?}")
        });
        self.wait(LEASE * 4);
        (0..4).for_each(|number| self.check_holds(&key(number)));
        for key in &waiting {
            let permission = &self.database.permissions[key];
            let newest = self.database.newest(key).expect("it was pending");
            let won = newest.state == ChangeState::Succeeded && permission.applied == Some(newest.intent.action.into());
            self.breaches
                .check(NewestWins, won, || format!("{newest:?} lost: {permission:?}"));
        }
    }

    /// Lets all ends pass, and one replica carry them out. A revoke that failed in the history delays an end by a day.
    pub(crate) fn drain_ends(&mut self) {
        for _ in 0..2 {
            self.wait(Duration::from_hours(25));
            for key in (0..4).map(key) {
                let permission = self.database.permissions.get(&key);
                let due = permission.filter(|permission| permission.end_due_at.is_some());
                if let Some(basis) = due.and_then(|permission| permission.basis) {
                    self.ids += 1;
                    let command = ending(self.ids, key, basis.change_id);
                    self.replicas[0].queue.push(command);
                }
            }
            self.commit(0, Commit::Replied, &mut Dice(0));
            self.drain_in_rounds(&[LEASE * 2; 2]);
        }
        for key in (0..4).map(key) {
            let mut changes: Vec<_> = self.database.changes.values().collect();
            changes.retain(|change| change.intent.key == key && change.state == ChangeState::Succeeded);
            let last = changes.into_iter().max_by_key(|change| change.generation).cloned();
            let has_ended = last.as_ref().is_none_or(|last| {
                let is_over = last.expire_time().is_some_and(|end| end <= self.now());
                !is_over || self.aws.holds(&key) == Access::NotShared
            });
            self.breaches
                .check(EndsAreKept, has_ended, || format!("still shared: {last:?}"));
        }
    }

    /// Crashes every replica. Then one of them works while AWS refuses every call except reads. Once no late call is left, every
    /// change ends after at most one read and one call.
    pub(crate) fn drain_refused(&mut self) {
        for at in 0..self.replicas.len() {
            self.crash(at);
        }
        self.wait(LEASE + WINDOW);
        let (mut called, rounds) = (0, 4);
        for _ in 0..rounds {
            self.wait(LEASE);
            let claims = (0..4).map(key).map(Command::Claim);
            self.replicas[0].queue.extend(claims);
            self.commit(0, Commit::Replied, &mut Dice(0));
            for mut held in std::mem::take(&mut self.replicas[0].held) {
                called += self.work_while_refused(&mut held);
                self.give_back_held(0, held, &mut Dice(0));
            }
            self.commit(0, Commit::Replied, &mut Dice(0));
        }
        let pending = self.database.changes.values().find(|change| !change.has_ended());
        self.breaches.check(AllEnds, pending.is_none(), || {
            format!("does not end although AWS answers: {pending:?}")
        });
        // Each of three permissions has at most two changes, and a revoke is called at most twice.
        self.breaches
            .check(AllEnds, called <= 3 * 2 * 2, || format!("made {called} refused calls"));
    }

    /// Crashes every replica. Then one of them works while the policy refuses every grant. Once no late call is left, the newest
    /// pending change of each permission ends: a revoke takes effect, and a grant fails unless AWS holds it already.
    pub(crate) fn drain_denied(&mut self) {
        for at in 0..self.replicas.len() {
            self.crash(at);
        }
        self.wait(LEASE + WINDOW);
        let waiting: Vec<_> = (0..4).map(key).filter(|key| self.is_pending(key)).collect();
        for _ in 0..4 {
            self.wait(LEASE);
            let claims = (0..4).map(key).map(Command::Claim);
            self.replicas[0].queue.extend(claims);
            self.commit(0, Commit::Replied, &mut Dice(0));
            for mut held in std::mem::take(&mut self.replicas[0].held) {
                self.work_while_denied(&mut held);
                self.give_back_held(0, held, &mut Dice(0));
            }
            self.commit(0, Commit::Replied, &mut Dice(0));
        }
        let pending = self.database.changes.values().find(|change| !change.has_ended());
        self.breaches.check(AllEnds, pending.is_none(), || {
            format!("does not end although the policy refuses it: {pending:?}")
        });
        for key in &waiting {
            let newest = self.database.newest(key).expect("it was pending");
            let holds = self.aws.holds(key);
            let is_denied = |change: &Change| {
                let reason = change.failure.as_ref().map(|failure| failure.reason);
                change.state == ChangeState::Failed && reason == Some(FailureReason::PolicyDenied)
            };
            let ended_well = match (newest.intent.action, holds) {
                // An earlier grant made the share.
                (Action::Grant, Access::Shared) => newest.state == ChangeState::Succeeded || is_denied(newest),
                (Action::Grant, Access::NotShared) => is_denied(newest),
                (Action::Revoke, _) => newest.state == ChangeState::Succeeded && holds == Access::NotShared,
            };
            self.breaches.check(RefusedEndsDenied, ended_well, || {
                format!("{newest:?} ended, and AWS holds {holds:?}")
            });
        }
    }

    /// Checks that a permission without a change in progress records what AWS holds, also after a late call.
    pub(crate) fn check_holds(&mut self, key: &PermissionKey) {
        let resting = self
            .database
            .permissions
            .get(key)
            .filter(|permission| permission.current.is_none());
        let (Some(permission), holds) = (resting, self.aws.holds(key)) else {
            return;
        };
        let is_true = permission.applied.is_none_or(|applied| applied == holds) || self.clock_may_go_back;
        self.breaches.check(NewestTakesEffectLast, is_true, || {
            format!("{permission:?}, but AWS holds {holds:?}")
        });
    }

    fn is_pending(&self, key: &PermissionKey) -> bool {
        self.database
            .permissions
            .get(key)
            .is_some_and(|permission| permission.current.is_some())
    }
}
