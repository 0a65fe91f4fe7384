//! What a history must keep, and the first thing seen that breaks each.

use std::collections::BTreeMap;

/// One promise; each is looked at by the test that is named after it.
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
    NothingLandsLast,
    FailedIsKnown,
    AllEnds,
}

/// The first breach of each promise.
#[derive(Debug, Default)]
pub(crate) struct Breaches(BTreeMap<Promise, String>);

impl Breaches {
    /// Remembers a breach, unless `holds`.
    pub(crate) fn check(&mut self, promise: Promise, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.entry(promise).or_insert_with(what);
        }
    }

    pub(crate) fn of(&self, promise: Promise) -> Option<&str> {
        self.0.get(&promise).map(String::as_str)
    }
}
