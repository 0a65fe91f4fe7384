//! The promises that a history must keep, and the first breach of each.

use std::collections::BTreeMap;

/// One promise. `main.rs` has a test for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    OneRequestOneEnd,
    GaplessLedger,
    OneChangePerRequestId,
    SameWishJoins,
    ReuseIsRefused,
    OneLeaseAtATime,
    NewestWins,
    LostLeaseIsSilent,
    Constraints,
    EffectsAreExact,
    RestIsTrue,
    NewestTakesEffectLast,
    FailedIsKnown,
    AllEnds,
    RefusedIsNotCalled,
    DoubtIsReadFirst,
    RefusedEndsDenied,
    LedgerTellsState,
    EndsAreKept,
    OnlyItsEndEndsAShare,
    NoFalseFinding,
    OnlyUnrecordedSharesAreRevoked,
    DriftIsFound,
}

/// The first breach of each promise.
#[derive(Debug, Default)]
pub(crate) struct Breaches(BTreeMap<Promise, String>);

impl Breaches {
    /// Records a breach, unless `holds` is true.
    pub(crate) fn check(&mut self, promise: Promise, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.entry(promise).or_insert_with(what);
        }
    }

    pub(crate) fn of(&self, promise: Promise) -> Option<&str> {
        self.0.get(&promise).map(String::as_str)
    }
}
