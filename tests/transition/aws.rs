//! A model of AWS for the histories: what AWS holds, and late calls. A late call is an unresolved call that takes effect
//! later, but at most [`WINDOW`] after its end.

use std::{collections::HashMap, time::Duration};

use sharewarden::domain::{Access, ChangeId, PermissionKey, Timestamp};

/// The longest time after its end in which a late call may take effect.
pub(crate) const WINDOW: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Aws {
    holds: HashMap<PermissionKey, Effect>,
    late: Vec<LateCall>,
}

/// The effect of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) access: Access,
    /// The change of the newest call.
    pub(crate) by: ChangeId,
    /// True if a permission records that AWS holds this.
    pub(crate) recorded: bool,
}

/// A late call.
#[derive(Debug, Clone)]
pub(crate) struct LateCall {
    pub(crate) key: PermissionKey,
    pub(crate) access: Access,
    by: ChangeId,
    epoch: u64,
    /// The delay from the end of the call on the caller's side to its effect.
    delay: Duration,
    effective_at: Timestamp,
}

impl Aws {
    pub(crate) fn holds(&self, key: &PermissionKey) -> Access {
        self.effect(key).map_or(Access::NotShared, |effect| effect.access)
    }

    /// The effect of the newest call, if there was one.
    pub(crate) fn effect(&self, key: &PermissionKey) -> Option<Effect> {
        self.holds.get(key).copied()
    }

    /// Lets a call of a change take effect.
    pub(crate) fn set(&mut self, key: &PermissionKey, access: Access, by: ChangeId) {
        let before = self.effect(key).filter(|before| before.access == access);
        let effect = Effect {
            access,
            by,
            recorded: before.is_some_and(|before| before.recorded),
        };
        self.holds.insert(key.clone(), effect);
    }

    /// Notes that a permission records `applied`.
    pub(crate) fn note_recorded(&mut self, key: &PermissionKey, applied: Option<Access>) {
        if let Some(effect) = self.holds.get_mut(key) {
            effect.recorded |= applied == Some(effect.access);
        }
    }

    /// Adds a late call under a lease. The call may hang until the lease ends, unless its caller gives it up earlier.
    pub(crate) fn set_later(
        &mut self,
        key: &PermissionKey,
        access: Access,
        by: ChangeId,
        epoch: u64,
        lease_ends: Timestamp,
        delay: Duration,
    ) {
        self.late.push(LateCall {
            key: key.clone(),
            access,
            by,
            epoch,
            delay,
            effective_at: lease_ends + delay,
        });
    }

    /// Ends a late call under this lease on the caller's side.
    pub(crate) fn give_up(&mut self, key: &PermissionKey, epoch: u64, now: Timestamp) {
        let given_up = self
            .late
            .iter_mut()
            .filter(|late| late.key == *key && late.epoch == epoch);
        for late in given_up {
            late.effective_at = late.effective_at.min(now + late.delay);
        }
    }

    /// A late call that asks for `access`.
    pub(crate) fn late_for(&self, key: &PermissionKey, access: Access) -> Option<&LateCall> {
        self.late.iter().find(|late| late.key == *key && late.access == access)
    }

    /// A late call that asks for the opposite of `access`.
    pub(crate) fn late_against(&self, key: &PermissionKey, access: Access) -> Option<&LateCall> {
        self.late.iter().find(|late| late.key == *key && late.access != access)
    }

    /// Lets the due late calls take effect in order, and returns their permissions.
    pub(crate) fn apply_due(&mut self, now: Timestamp) -> Vec<PermissionKey> {
        self.late.sort_by_key(|late| late.effective_at);
        let due = self.late.partition_point(|late| late.effective_at <= now);
        let applied: Vec<_> = self.late.drain(..due).collect();
        for late in &applied {
            self.set(&late.key, late.access, late.by);
        }
        applied.into_iter().map(|late| late.key).collect()
    }
}
