//! The list of active faults, and which of them hits a call.

use serde::Serialize;

use crate::{
    calls::ApiCall,
    fault::{Effect, Fault, Filter},
};

/// The active faults in the order of their injection.
#[derive(Debug, Default)]
pub(super) struct ActiveFaults {
    active: Vec<ActiveFault>,
    added: u64,
}

/// A fault that was injected and not removed, with the number of calls that met it.
#[derive(Clone, Debug, Serialize)]
pub struct ActiveFault {
    /// The id, as in the call log.
    pub id: u64,
    /// The fault as injected.
    pub fault: Fault,
    /// The number of calls that matched its filter.
    pub matched: u64,
    /// The number of calls that it hit.
    pub hits: u64,
    #[serde(skip)]
    random: fastrand::Rng,
}

impl ActiveFaults {
    pub(super) fn add(&mut self, fault: Fault) -> u64 {
        self.added += 1;
        let random = fastrand::Rng::with_seed(fault.seed);
        self.active.push(ActiveFault {
            id: self.added,
            fault,
            matched: 0,
            hits: 0,
            random,
        });
        self.added
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.active.clear();
    }

    pub(super) fn list(&self) -> Vec<ActiveFault> {
        self.active.clone()
    }

    /// The first fault that hits the call.
    pub(super) fn choose(&mut self, call: &ApiCall) -> Option<(u64, Effect)> {
        let hit = self.active.iter_mut().find_map(|active| {
            let hit = active.hits(call);
            hit.then(|| (active.id, active.fault.effect.clone()))
        });
        self.active
            .retain(|active| active.fault.calls.is_none_or(|calls| active.hits < calls));
        hit
    }
}

impl ActiveFault {
    fn hits(&mut self, call: &ApiCall) -> bool {
        if !matches(&self.fault.filter, call) || !is_for(&self.fault.effect, call) {
            return false;
        }
        self.matched += 1;
        if self.matched <= self.fault.skip || self.fault.calls == Some(self.hits) {
            return false;
        }
        let hit = self.fault.share.is_none_or(|share| self.random.f64() < share);
        self.hits += u64::from(hit);
        hit
    }
}

fn matches(filter: &Filter, call: &ApiCall) -> bool {
    let same = |wanted: &Option<String>, found: Option<&String>| wanted.is_none() || wanted.as_ref() == found;
    same(&filter.operation, Some(&call.operation))
        && same(&filter.account, call.account.as_ref())
        && same(&filter.region, call.region.as_ref())
        && same(&filter.image, call.image.as_ref())
        && same(&filter.shared_account, call.shared_account.as_ref())
}

fn is_for(effect: &Effect, call: &ApiCall) -> bool {
    !matches!(effect, Effect::StaleRead { .. }) || call.operation.starts_with("Describe")
}
