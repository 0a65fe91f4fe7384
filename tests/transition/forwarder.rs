//! What a replica's forwarder does with its work, as DESIGN section 4 has it: it calls AWS only under a lease that has not
//! run out, reads back first when in doubt, and says "failed" only of a call without effect.

use std::time::Duration;

use sharewarden::domain::{
    Access, PermissionKey,
    transition::{Command, Outcome, Settlement, Work},
};

use crate::{
    names::refused,
    world::{Dice, Held, World},
};

impl World {
    /// A call to AWS, made only while the lease lasts.
    pub(crate) fn call(&mut self, at: usize, dice: &mut Dice) {
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

    pub(crate) fn renew(&mut self, at: usize, dice: &mut Dice) {
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

    pub(crate) fn settle(&mut self, at: usize, dice: &mut Dice) {
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

    pub(crate) fn give_back(&mut self, at: usize, work: Work, outcome: Outcome) {
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
}
