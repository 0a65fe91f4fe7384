//! Where a history ends, and what must hold of a permission that nobody works on.

use sharewarden::domain::{
    ChangeState, PermissionKey,
    transition::{AccountState, Command, WorkOutcome},
};

use crate::{
    aws::WINDOW,
    fixtures::key,
    forwarder::Held,
    promises::Promise::{AllEnds, NewestWins, NothingLandsLast, OneRequestOneEnd, RestIsTrue},
    world::{Commit, Dice, LEASE, World},
};

impl World {
    /// Where nothing is under way, what is said to be applied is what AWS holds, and what was asked for last.
    pub(crate) fn check_rest(&mut self, account: &AccountState) {
        for key in &account.effects().permissions {
            let permission = &self.database.permissions[key];
            if permission.current.is_some() {
                continue;
            }
            let holds = self.aws.holds(key);
            let right = permission.applied.is_none_or(|applied| applied == holds);
            self.breaches
                .check(RestIsTrue, right, || format!("{permission:?}, and AWS holds {holds:?}"));
            let against = permission.applied.and_then(|applied| self.aws.against(key, applied));
            self.breaches
                .check(NothingLandsLast, against.is_none() || self.unsteady, || {
                    format!("{permission:?}, and on its way is {against:?}")
                });
            let settled = permission.desired == permission.applied;
            self.breaches.check(RestIsTrue, settled, || {
                format!("at rest and not settled: {permission:?}")
            });
            let newest = self.database.newest(key).expect("a permission has a change");
            let ended = matches!(newest.state, ChangeState::Succeeded | ChangeState::Failed);
            self.breaches.check(NewestWins, ended, || format!("{newest:?} at rest"));
        }
    }

    /// Everybody dies but one, for whom nothing goes wrong any more.
    pub(crate) fn drain(&mut self) {
        for at in 0..self.replicas.len() {
            self.crash(at);
        }
        let waiting: Vec<_> = (0..4).map(key).filter(|key| self.is_pending(key)).collect();
        for _ in 0..3 {
            self.wait(LEASE * 2);
            let claims = (0..4).map(key).map(Command::Claim);
            self.replicas[0].queue.extend(claims);
            self.commit(0, Commit::Answered, &mut Dice(0));
            for Held { work, .. } in std::mem::take(&mut self.replicas[0].held) {
                let intent = &work.change.intent;
                self.aws.set(&intent.key, intent.action.into(), intent.change_id);
                self.give_back(0, work, Vec::new(), WorkOutcome::Succeeded);
            }
            self.commit(0, Commit::Answered, &mut Dice(0));
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

    /// Everybody dies but one, whom AWS refuses everything but to read. Every change ends, after one read and one call at most when
    /// nothing can land any more.
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
            self.commit(0, Commit::Answered, &mut Dice(0));
            for mut held in std::mem::take(&mut self.replicas[0].held) {
                called += self.refuse(&mut held);
                self.give_back_held(0, held, &mut Dice(0));
            }
            self.commit(0, Commit::Answered, &mut Dice(0));
        }
        let pending = self.database.changes.values().find(|change| !change.has_ended());
        self.breaches.check(AllEnds, pending.is_none(), || {
            format!("does not end though AWS answers: {pending:?}")
        });
        // Each of three permissions has a change and one behind it at most, and a revoke is read back twice.
        self.breaches.check(AllEnds, called <= 3 * 2 * 2, || {
            format!("called {called} times in vain")
        });
    }

    /// What is at rest is what AWS holds, also when a call has landed late.
    pub(crate) fn check_holds(&mut self, key: &PermissionKey) {
        let resting = self
            .database
            .permissions
            .get(key)
            .filter(|permission| permission.current.is_none());
        let (Some(permission), holds) = (resting, self.aws.holds(key)) else {
            return;
        };
        let right = permission.applied.is_none_or(|applied| applied == holds) || self.unsteady;
        self.breaches.check(NothingLandsLast, right, || {
            format!("{permission:?}, and AWS holds {holds:?}")
        });
    }

    fn is_pending(&self, key: &PermissionKey) -> bool {
        self.database
            .permissions
            .get(key)
            .is_some_and(|permission| permission.current.is_some())
    }
}
