//! The list of faults in force, and the choice of the one that a call meets.

use serde::Serialize;

use super::calls::Call;
use super::fault::{Effect, Fault, Filter};

/// All faults, in the order they were added.
#[derive(Debug, Default)]
pub(super) struct Faults {
    scripted: Vec<Scripted>,
    added: u64,
}

/// A fault in force.
#[derive(Clone, Debug, Serialize)]
pub struct Scripted {
    /// Its number, for removing it, and in the call log.
    pub id: u64,
    /// What was asked for.
    pub fault: Fault,
    /// How many calls its filter has let through.
    pub matched: u64,
    /// How many calls it has hit.
    pub hits: u64,
    #[serde(skip)]
    dice: fastrand::Rng,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> u64 {
        self.added += 1;
        let dice = fastrand::Rng::with_seed(fault.seed);
        self.scripted.push(Scripted {
            id: self.added,
            fault,
            matched: 0,
            hits: 0,
            dice,
        });
        self.added
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        let before = self.scripted.len();
        self.scripted.retain(|scripted| scripted.id != id);
        self.scripted.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.scripted.clear();
    }

    pub(super) fn list(&self) -> Vec<Scripted> {
        self.scripted.clone()
    }

    /// The first fault that hits the call.
    pub(super) fn choose(&mut self, call: &Call) -> Option<(u64, Effect)> {
        let hit = self.scripted.iter_mut().find_map(|scripted| {
            let hit = scripted.hits(call);
            hit.then(|| (scripted.id, scripted.fault.effect.clone()))
        });
        self.scripted
            .retain(|scripted| scripted.fault.calls.is_none_or(|calls| scripted.hits < calls));
        hit
    }
}

impl Scripted {
    fn hits(&mut self, call: &Call) -> bool {
        if !matches(&self.fault.filter, call) || !is_for(&self.fault.effect, call) {
            return false;
        }
        self.matched += 1;
        if self.matched <= self.fault.skip || self.fault.calls == Some(self.hits) {
            return false;
        }
        let hit = self.fault.share.is_none_or(|share| self.dice.f64() < share);
        self.hits += u64::from(hit);
        hit
    }
}

fn matches(filter: &Filter, call: &Call) -> bool {
    let same = |wanted: &Option<String>, found: Option<&String>| wanted.is_none() || wanted.as_ref() == found;
    same(&filter.operation, Some(&call.operation))
        && same(&filter.account, call.account.as_ref())
        && same(&filter.region, call.region.as_ref())
        && same(&filter.image, call.image.as_ref())
        && same(&filter.shared_account, call.shared_account.as_ref())
}

fn is_for(effect: &Effect, call: &Call) -> bool {
    !matches!(effect, Effect::StaleRead { .. }) || call.operation.starts_with("Describe")
}
