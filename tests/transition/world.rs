//! Replicas that share one account, and a history of what they do, read from random words.
//!
//! A forwarder behaves as DESIGN section 4 has it: it calls AWS only under a lease that has not run out, reads back first
//! when in doubt, and says "failed" only of a call without effect. Everything around it may go wrong: commits fail or lose
//! their answer, replicas crash, settlements come late.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sharewarden::domain::{
    Access, Action, ChangeState, Intent, PermissionKey, Timestamp,
    transition::{Account, Answer, Command, Context, Outcome, Settlement, Work},
};

use crate::{
    database::Database,
    names::{self, account, intent, key, refused, start},
    promises::{
        Breaches,
        Promise::{NewestWins, OneLeaseAtATime, OneRequestOneEnd, RestIsTrue},
    },
    watch::Watch,
};

pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// A random number, read digit by digit.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        let digit = self.0 % sides;
        self.0 /= sides;
        digit
    }

    fn pick(&mut self, len: usize) -> usize {
        self.roll(len as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// Work that a replica was handed and has not given back.
struct Held {
    work: Work,
    expires_at: Timestamp,
    /// Whether the call had an effect, once it was made.
    effect: Option<bool>,
}

#[derive(Default)]
struct Replica {
    number: u64,
    queue: Vec<Command>,
    /// A batch whose commit never answered: it is applied again before any other.
    unanswered: Option<Vec<Command>>,
    held: Vec<Held>,
}

/// The newest work handed out for a permission.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) replica: u64,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) expires_at: Timestamp,
    pub(crate) over: bool,
}

/// What becomes of a commit.
#[derive(Clone, Copy, PartialEq)]
enum Commit {
    Answered,
    AnswerLost,
    Failed,
}

pub(crate) struct World {
    pub(crate) breaches: Breaches,
    database: Database,
    replicas: Vec<Replica>,
    clock: Duration,
    /// The database's clock may also go back.
    unsteady: bool,
    aws: HashMap<PermissionKey, Access>,
    calls: HashMap<PermissionKey, Call>,
    ids: u64,
    steps: u64,
}

impl World {
    /// Lives through a history and drains what it leaves.
    pub(crate) fn after(history: &[u64], unsteady: bool) -> Self {
        let mut world = Self {
            breaches: Breaches::default(),
            database: Database::new(account(), start()),
            replicas: (0..3)
                .map(|number| Replica {
                    number,
                    ..Replica::default()
                })
                .collect(),
            clock: Duration::ZERO,
            unsteady,
            aws: HashMap::new(),
            calls: HashMap::new(),
            ids: 3,
            steps: 0,
        };
        for word in history {
            world.step(Dice(*word));
        }
        world.drain();
        world
    }

    fn step(&mut self, mut dice: Dice) {
        self.steps += 1;
        let at = dice.pick(self.replicas.len());
        match dice.roll(64) {
            0..20 => self.open(at, &mut dice),
            20..34 => self.settle(at, &mut dice),
            34..37 => self.call(at, &mut dice),
            37..40 => self.renew(at, &mut dice),
            40..46 => self.replicas[at].queue.push(Command::Claim(key(dice.roll(4)))),
            46..48 => self.deny(at, &mut dice),
            48..52 => self.clock += Duration::from_millis(1 + dice.roll(12_000)),
            52..63 => {
                let commit = match dice.roll(8) {
                    0 => Commit::AnswerLost,
                    1 => Commit::Failed,
                    _ => Commit::Answered,
                };
                self.commit(at, commit, &mut dice);
            }
            _ => self.crash(at),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Few request ids at a time, mostly with the same content each: replays, races and re-use.
    fn intent(&mut self, dice: &mut Dice) -> Arc<Intent> {
        let request = self.steps / 8 + dice.roll(4);
        let content = if dice.roll(4) == 0 { dice.roll(64) } else { request * 7 };
        let action = if content % 2 == 0 {
            Action::Grant
        } else {
            Action::Revoke
        };
        intent(self.fresh(), request, key(content % 3), action, content % 5 / 3)
    }

    fn open(&mut self, at: usize, dice: &mut Dice) {
        let intent = self.intent(dice);
        self.replicas[at].queue.push(Command::Open(intent));
    }

    fn deny(&mut self, at: usize, dice: &mut Dice) {
        let intent = self.intent(dice);
        self.replicas[at].queue.push(Command::Deny(intent, "no".into()));
    }

    /// A call to AWS, made only while the lease lasts.
    fn call(&mut self, at: usize, dice: &mut Dice) {
        let now = self.now();
        let held = &mut self.replicas[at].held;
        if held.is_empty() {
            return;
        }
        let index = dice.pick(held.len());
        let Held {
            work,
            expires_at,
            effect,
        } = &mut held[index];
        if effect.is_some() || *expires_at <= now {
            return;
        }
        let wanted: Access = work.change.intent.action.into();
        let holds = self
            .aws
            .entry(work.change.intent.key.clone())
            .or_insert(Access::NotShared);
        let in_effect = (work.in_doubt && *holds == wanted) || dice.coin();
        if in_effect {
            *holds = wanted;
        }
        *effect = Some(in_effect);
    }

    fn renew(&mut self, at: usize, dice: &mut Dice) {
        let held = &mut self.replicas[at].held;
        if held.is_empty() {
            return;
        }
        let index = dice.pick(held.len());
        if held[index].effect.is_none() {
            let Held { work, .. } = held.swap_remove(index);
            let key = work.change.intent.key.clone();
            self.let_go(&key, work.epoch);
            self.replicas[at].queue.push(Command::Renew(key, work.epoch));
        }
    }

    fn settle(&mut self, at: usize, dice: &mut Dice) {
        self.call(at, &mut Dice(dice.0));
        let held = &mut self.replicas[at].held;
        if held.is_empty() {
            return;
        }
        let index = dice.pick(held.len());
        let Held { work, effect, .. } = held.swap_remove(index);
        let observed = self.aws.get(&work.change.intent.key).copied();
        let delay = Duration::from_millis(dice.roll(5_000));
        let outcome = match (effect, dice.roll(4)) {
            (Some(true), 0) => Outcome::Retry { delay, in_doubt: true },
            (Some(true), _) => Outcome::Succeeded,
            (Some(false), 0) => Outcome::Retry {
                delay,
                in_doubt: dice.coin(),
            },
            (Some(false), 1) => Outcome::Failed {
                failure: refused(),
                observed,
            },
            (Some(false), _) => Outcome::Failed {
                failure: refused(),
                observed: None,
            },
            (None, _) => Outcome::Retry {
                delay,
                in_doubt: work.in_doubt,
            },
        };
        self.give_back(at, work, outcome);
    }

    fn give_back(&mut self, at: usize, work: Work, outcome: Outcome) {
        let key = work.change.intent.key.clone();
        self.let_go(&key, work.epoch);
        self.replicas[at].queue.push(Command::Settle(Settlement {
            key,
            epoch: work.epoch,
            change_id: work.change.id(),
            attempts: Vec::new(),
            outcome,
        }));
    }

    /// The holder makes no more calls under this epoch.
    fn let_go(&mut self, key: &PermissionKey, epoch: u64) {
        if let Some(call) = self.calls.get_mut(key).filter(|call| call.epoch == epoch) {
            call.over = true;
        }
    }

    /// Everything in memory is gone; what is on its way to AWS is not called back.
    fn crash(&mut self, at: usize) {
        let number = self.fresh();
        self.replicas[at] = Replica {
            number,
            ..Replica::default()
        };
    }

    fn commit(&mut self, at: usize, commit: Commit, dice: &mut Dice) {
        let replica = &mut self.replicas[at];
        let batch = match replica.unanswered.take() {
            Some(batch) => batch,
            None => std::mem::take(&mut replica.queue),
        };
        let back = Duration::from_secs(if self.unsteady { dice.roll(20) } else { 0 });
        let context = Context {
            now: start() + self.clock.saturating_sub(back),
            replica: names::replica(replica.number),
            lease_for: LEASE,
        };
        let mut account = self.database.load(&batch);
        let mut watch = Watch::new(&self.database, &self.calls);
        let mut renewed = Vec::new();
        for command in &batch {
            if let Answer::Renewed(work) = watch.apply(&mut account, command, &context, &mut self.breaches) {
                renewed.push(*work);
            }
        }
        if commit != Commit::Failed {
            self.database.save(&account, &mut self.breaches);
            self.check_rest(&account);
        }
        match commit {
            Commit::Answered => {
                for work in account.take_work().into_iter().chain(renewed) {
                    self.hand_out(at, work);
                }
            }
            Commit::AnswerLost => self.replicas[at].unanswered = Some(batch),
            Commit::Failed if dice.coin() => self.replicas[at].unanswered = Some(batch),
            Commit::Failed => {}
        }
    }

    /// A replica starts to work on what the commit gave it.
    fn hand_out(&mut self, at: usize, work: Work) {
        let (number, now) = (self.replicas[at].number, self.now());
        let key = work.change.intent.key.clone();
        let expires_at = now + work.lease_for;
        if !self.unsteady {
            let stored = &self.database.permissions[&key];
            let right = stored.lease.is_some_and(|lease| {
                lease.owner == names::replica(number)
                    && lease.epoch == work.epoch
                    && lease.expires_at > now
                    && expires_at <= lease.expires_at
            });
            self.breaches
                .check(OneLeaseAtATime, right, || format!("{work:?} under {stored:?} at {now}"));
            self.breaches
                .check(NewestWins, stored.current == Some(work.change.id()), || {
                    format!("{work:?} is not what {stored:?} is at")
                });
        }
        if let Some(before) = self.calls.get(&key) {
            let apart = before.epoch < work.epoch && (before.over || before.expires_at <= now);
            self.breaches.check(OneLeaseAtATime, apart || self.unsteady, || {
                format!("at {now} replica {number} got {work:?} beside {before:?}")
            });
            self.breaches
                .check(NewestWins, before.generation <= work.change.generation, || {
                    format!("{work:?} after {before:?}")
                });
        }
        let call = Call {
            replica: number,
            epoch: work.epoch,
            generation: work.change.generation,
            expires_at,
            over: false,
        };
        self.calls.insert(key, call);
        self.replicas[at].held.push(Held {
            work,
            expires_at,
            effect: None,
        });
    }

    /// Where nothing is under way, what is said to be applied is what AWS holds, and what was asked for last.
    fn check_rest(&mut self, account: &Account) {
        for key in &account.effects().permissions {
            let permission = &self.database.permissions[key];
            if permission.current.is_some() {
                continue;
            }
            let holds = self.aws.get(key).copied().unwrap_or(Access::NotShared);
            let right = permission.applied.is_none_or(|applied| applied == holds);
            self.breaches
                .check(RestIsTrue, right, || format!("{permission:?}, and AWS holds {holds:?}"));
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
    fn drain(&mut self) {
        for at in 0..self.replicas.len() {
            self.crash(at);
        }
        let waiting: Vec<_> = (0..4).map(key).filter(|key| self.is_pending(key)).collect();
        for _ in 0..3 {
            self.clock += LEASE * 2;
            let claims = (0..4).map(key).map(Command::Claim);
            self.replicas[0].queue.extend(claims);
            self.commit(0, Commit::Answered, &mut Dice(0));
            for Held { work, .. } in std::mem::take(&mut self.replicas[0].held) {
                let intent = &work.change.intent;
                self.aws.insert(intent.key.clone(), intent.action.into());
                self.give_back(0, work, Outcome::Succeeded);
            }
            self.commit(0, Commit::Answered, &mut Dice(0));
        }
        let pending = self.database.changes.values().find(|change| !change.has_ended());
        self.breaches.check(OneRequestOneEnd, pending.is_none(), || {
            format!("never ended: {pending:?}")
        });
        for key in &waiting {
            let permission = &self.database.permissions[key];
            let newest = self.database.newest(key).expect("it was pending");
            let won = newest.state == ChangeState::Succeeded && permission.applied == Some(newest.intent.action.into());
            self.breaches
                .check(NewestWins, won, || format!("{newest:?} lost: {permission:?}"));
        }
    }

    fn is_pending(&self, key: &PermissionKey) -> bool {
        self.database
            .permissions
            .get(key)
            .is_some_and(|permission| permission.current.is_some())
    }

    fn now(&self) -> Timestamp {
        start() + self.clock
    }
}
