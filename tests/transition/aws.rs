//! AWS, as far as the histories need it: what it holds, and calls that nobody saw the end of and that land later, though
//! not later than the window says.

use std::{collections::HashMap, time::Duration};

use sharewarden::domain::{Access, ChangeId, PermissionKey, Timestamp};

/// A call whose end nobody saw lands so long after its end at the latest.
pub(crate) const WINDOW: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Aws {
    holds: HashMap<PermissionKey, Effect>,
    late: Vec<Late>,
}

/// What a call brought about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) access: Access,
    /// The change that called last.
    pub(crate) by: ChangeId,
    /// It is on record that AWS holds this.
    pub(crate) recorded: bool,
}

/// A call on its way.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    pub(crate) key: PermissionKey,
    pub(crate) access: Access,
    by: ChangeId,
    epoch: u64,
    /// When it lands, so long after its caller has let go of it.
    after: Duration,
    lands_at: Timestamp,
}

impl Aws {
    pub(crate) fn holds(&self, key: &PermissionKey) -> Access {
        self.effect(key).map_or(Access::NotShared, |effect| effect.access)
    }

    /// What the last call brought about, if there was one.
    pub(crate) fn effect(&self, key: &PermissionKey) -> Option<Effect> {
        self.holds.get(key).copied()
    }

    /// A call for a change takes effect.
    pub(crate) fn set(&mut self, key: &PermissionKey, access: Access, by: ChangeId) {
        let before = self.effect(key).filter(|before| before.access == access);
        let effect = Effect {
            access,
            by,
            recorded: before.is_some_and(|before| before.recorded),
        };
        self.holds.insert(key.clone(), effect);
    }

    /// It is on record now what AWS holds, if it holds this.
    pub(crate) fn is_on_record(&mut self, key: &PermissionKey, applied: Option<Access>) {
        if let Some(effect) = self.holds.get_mut(key) {
            effect.recorded |= applied == Some(effect.access);
        }
    }

    /// A call under a lease takes effect later. Until its caller lets go of it, it may hang to the lease's end.
    pub(crate) fn set_later(
        &mut self,
        key: &PermissionKey,
        access: Access,
        by: ChangeId,
        epoch: u64,
        lease_ends: Timestamp,
        after: Duration,
    ) {
        self.late.push(Late {
            key: key.clone(),
            access,
            by,
            epoch,
            after,
            lands_at: lease_ends + after,
        });
    }

    /// The caller has given up the call that was made under this lease, if there was one.
    pub(crate) fn give_up(&mut self, key: &PermissionKey, epoch: u64, now: Timestamp) {
        let given_up = self
            .late
            .iter_mut()
            .filter(|late| late.key == *key && late.epoch == epoch);
        for late in given_up {
            late.lands_at = late.lands_at.min(now + late.after);
        }
    }

    /// A call for this that will take effect.
    pub(crate) fn on_its_way(&self, key: &PermissionKey, access: Access) -> Option<&Late> {
        self.late.iter().find(|late| late.key == *key && late.access == access)
    }

    /// A call against this that will take effect.
    pub(crate) fn against(&self, key: &PermissionKey, access: Access) -> Option<&Late> {
        self.late.iter().find(|late| late.key == *key && late.access != access)
    }

    /// Lets land what is due, one after the other.
    pub(crate) fn land(&mut self, now: Timestamp) -> Vec<PermissionKey> {
        self.late.sort_by_key(|late| late.lands_at);
        let due = self.late.partition_point(|late| late.lands_at <= now);
        let landed: Vec<_> = self.late.drain(..due).collect();
        for late in &landed {
            self.set(&late.key, late.access, late.by);
        }
        landed.into_iter().map(|late| late.key).collect()
    }
}
