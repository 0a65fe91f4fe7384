//! One account in one Region: who may call AWS there, and when. Pure; time comes in.
//!
//! Its [`RateLimiter`] says how fast, its [`Circuit`] whether at all, its queue who is next. Work that waits here holds a lease, so
//! what cannot be begun well within its lease is turned away, and comes back later: it is not counted as lost, and no leases
//! are lengthened for nothing. For the same reason no more is claimed than can be begun soon ([`EndpointDispatcher::room`]).
//!
//! Changes in doubt begin with reading AWS back, and one read tells of all changes of an image. So all that wait take one
//! turn, and the read is all they pay for: a call that it shows to be needed waits for a turn of its own. There is room for
//! more of them too ([`EndpointDispatcher::room_to_share`]), or each of few would cost a read of an image that is shared with thousands.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    clock::MonotonicInstant,
    domain::{Classification, ImageId},
};

use super::{
    circuit::{Allowed, Circuit, CircuitSettings},
    queue::{FairQueue, QueuedItem},
    rate_limiter::{PaceSettings, RateLimiter},
};

/// How one account in one Region is called.
#[derive(Debug, Clone, Copy)]
pub struct PlaceSettings {
    /// How fast.
    pub pace: PaceSettings,
    /// Whether at all.
    pub circuit: CircuitSettings,
    /// At most so many changes are worked on at once.
    pub max_in_flight: usize,
    /// With so many changes worked on, waiting for their turn or for their next attempt, new ones are refused.
    pub max_backlog: usize,
    /// No more is claimed than can be begun in so long.
    pub claim_ahead: Duration,
}

/// What is turned away does not come back sooner.
const LEAST_DELAY: Duration = Duration::from_millis(100);

/// At most so many changes at once share the turns of others.
const MOST_SHARING: usize = 4096;

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dispatch<T> {
    /// Begin this.
    Begin(T, CallSlot),
    /// This cannot be begun in time.
    Reject(T, Rejection),
    /// Nothing before so long, or before something has changed.
    Wait(Duration),
    /// Nothing waits.
    Nothing,
}

/// The right to work on one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallSlot {
    pub(super) is_probe: bool,
    /// Another change of the image has the turn: what both read is paid for there.
    pub(super) shares: bool,
}

/// Why, and until when about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) delay: Duration,
    /// AWS does not answer; else it is only slow.
    pub(super) is_dead: bool,
}

/// How much more may be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClaimLimit {
    /// So many changes.
    Due(u32),
    /// So many changes that would not be called any more: they can be ended without AWS.
    BudgetSpent(u32),
    /// None, until something has changed.
    None,
}

#[derive(Debug)]
pub(super) struct EndpointDispatcher<T> {
    settings: PlaceSettings,
    pace: RateLimiter,
    circuit: Circuit,
    queue: FairQueue<T>,
    /// What shares the turn that was given last, and is begun next.
    sharers: VecDeque<T>,
    /// So many changes are worked on under a turn of their own, and under one of another.
    in_flight: usize,
    sharing: usize,
    /// When changes are due for their next attempt, and how many.
    deferred: BTreeMap<MonotonicInstant, usize>,
    deferred_in_all: usize,
    /// There may be work that nobody holds.
    look: bool,
}

impl<T> EndpointDispatcher<T> {
    pub(super) fn new(settings: PlaceSettings, now: MonotonicInstant) -> Self {
        Self {
            settings,
            pace: RateLimiter::new(settings.pace, now),
            circuit: Circuit::new(settings.circuit),
            queue: FairQueue::default(),
            sharers: VecDeque::new(),
            in_flight: 0,
            sharing: 0,
            deferred: BTreeMap::new(),
            deferred_in_all: 0,
            look: false,
        }
    }

    /// True while new changes may be accepted.
    pub(super) fn accepts(&self) -> bool {
        self.backlog() < self.settings.max_backlog
    }

    /// Changes that are worked on, or wait here for their turn or their next attempt.
    pub(super) fn backlog(&self) -> usize {
        let begun = self.in_flight + self.sharing + self.sharers.len();
        self.queue.len() + begun + self.deferred_in_all
    }

    /// True while the endpoint is not known to answer.
    pub(super) fn is_left_alone(&self) -> bool {
        self.circuit.is_open()
    }

    /// Takes work in, or turns it away at once: when its image's turn will come too late.
    pub(super) fn put(
        &mut self,
        now: MonotonicInstant,
        image: ImageId,
        waiting: QueuedItem<T>,
    ) -> Option<(T, Rejection)> {
        let waits = self.turns_take(self.queue.turns_ahead(&image, waiting.reads));
        if now.plus(waits) > waiting.begin_by {
            return Some((waiting.item, self.too_slow(waits)));
        }
        self.queue.push(image, waiting);
        None
    }

    /// Whose turn it is now. Ask until nothing can be done.
    pub(super) fn next(&mut self, now: MonotonicInstant) -> Dispatch<T> {
        if let Some(item) = self.sharers.pop_front() {
            self.sharing += 1;
            let (is_probe, shares) = (false, true);
            return Dispatch::Begin(item, CallSlot { is_probe, shares });
        }
        let Some(late_at) = self.queue.late_at() else {
            return Dispatch::Nothing;
        };
        let is_probe = match self.circuit.allowed(now) {
            Allowed::All => false,
            Allowed::Probe => true,
            Allowed::Nothing(delay) => return self.turn_away(delay, true),
        };
        if late_at <= now {
            return self.turn_away_late(now);
        }
        let until_late = late_at.since(now);
        if self.in_flight >= self.settings.max_in_flight {
            return Dispatch::Wait(until_late);
        }
        let wait = self.pace.wait(now);
        if !wait.is_zero() {
            return Dispatch::Wait(wait.min(until_late));
        }
        let most = if is_probe {
            0
        } else {
            MOST_SHARING.saturating_sub(self.sharing)
        };
        let Some((item, sharers)) = self.queue.pop(most) else {
            return Dispatch::Nothing;
        };
        self.sharers = sharers;
        self.pace.spend(now);
        self.in_flight += 1;
        if is_probe {
            self.circuit.probe();
        }
        let shares = false;
        Dispatch::Begin(item, CallSlot { is_probe, shares })
    }

    fn turn_away(&mut self, delay: Duration, is_dead: bool) -> Dispatch<T> {
        let delay = delay.max(LEAST_DELAY);
        match self.queue.pop(0) {
            Some((item, _)) => Dispatch::Reject(item, Rejection { delay, is_dead }),
            None => Dispatch::Nothing,
        }
    }

    fn turn_away_late(&mut self, now: MonotonicInstant) -> Dispatch<T> {
        let away = self.too_slow(self.turns_take(self.queue.len()));
        match self.queue.pop_late(now) {
            Some(item) => Dispatch::Reject(item, away),
            None => Dispatch::Nothing,
        }
    }

    /// Turned away for so long as the turns before take; but the pace may be another soon, so it is looked again before long.
    fn too_slow(&self, turns_take: Duration) -> Rejection {
        Rejection {
            delay: turns_take.min(self.settings.claim_ahead).max(LEAST_DELAY),
            is_dead: false,
        }
    }

    fn turns_take(&self, turns: usize) -> Duration {
        let seconds = turns as f64 / self.pace.rate();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// May a change that was begun make one more call? If so, it is made: it cannot wait, and is paid for later. Of those who
    /// shared a turn there may be too many for that.
    pub(super) fn go_on(&mut self, turn: CallSlot, now: MonotonicInstant) -> Result<(), Rejection> {
        if turn.shares {
            return Err(self.too_slow(Duration::ZERO));
        }
        if self.circuit.lets_go_on(turn.is_probe) {
            self.pace.spend(now);
            return Ok(());
        }
        let delay = match self.circuit.allowed(now) {
            Allowed::Nothing(delay) => delay.max(LEAST_DELAY),
            Allowed::All | Allowed::Probe => LEAST_DELAY,
        };
        Err(Rejection { delay, is_dead: true })
    }

    /// A call that was begun at this time has ended so. Tells what is worth a line in the log. What several read together is
    /// told by the one whose turn it is.
    pub(super) fn called(
        &mut self,
        turn: CallSlot,
        begun: MonotonicInstant,
        now: MonotonicInstant,
        how: Classification,
    ) -> Option<&'static str> {
        if turn.shares {
            return None;
        }
        match how {
            Classification::NotSent | Classification::Unknown => {
                let opened = self.circuit.unanswered(turn.is_probe, now);
                return opened.map(|_| "AWS does not answer; it is left alone for a while");
            }
            Classification::Accepted | Classification::Refused | Classification::Throttled => {}
        }
        let slowed = how == Classification::Throttled && self.pace.throttled(begun, now);
        if self.circuit.answered() {
            self.look = true;
            return Some("AWS answers again");
        }
        slowed.then_some("AWS throttles; it is called less often")
    }

    /// What was begun as one call has come to so many; none, where another made them.
    pub(super) fn came_to(&mut self, turn: CallSlot, calls: u32) {
        self.pace.came_to(u32::from(!turn.shares), calls);
    }

    /// The work on a change is over.
    pub(super) fn ended(&mut self, turn: CallSlot, now: MonotonicInstant) {
        if turn.shares {
            self.sharing -= 1;
        } else {
            self.in_flight -= 1;
        }
        if turn.is_probe {
            self.circuit.probed(now);
        }
    }

    /// A change is due for its next attempt after a delay. Not all of many are remembered: who looks finds them too.
    pub(super) fn defer(&mut self, now: MonotonicInstant, delay: Duration) {
        if self.deferred_in_all < self.settings.max_backlog {
            // The database's clock may be a little slower than ours: who looks too early finds nothing.
            let delay = delay + delay / 500 + Duration::from_millis(1);
            *self.deferred.entry(now.plus(delay)).or_default() += 1;
            self.deferred_in_all += 1;
        }
    }

    /// There may be work that nobody holds.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn wants_look(&self) -> bool {
        self.look
    }

    /// Ok when it is to be looked for work now; else, when the next of it is due.
    pub(super) fn is_to_look(&mut self, now: MonotonicInstant) -> Result<(), Option<Duration>> {
        while let Some(due) = self.deferred.first_entry().filter(|due| *due.key() <= now) {
            self.deferred_in_all -= due.remove();
            self.look = true;
        }
        if self.look {
            return Ok(());
        }
        Err(self.deferred.first_key_value().map(|(due, _)| due.since(now)))
    }

    /// How much of it may be claimed now. Some: then the look is begun.
    pub(super) fn room(&mut self, now: MonotonicInstant) -> ClaimLimit {
        let ahead = self.pace.rate() * self.settings.claim_ahead.as_secs_f64();
        let most = (ahead as usize).clamp(1, 2 * self.settings.max_in_flight.max(1));
        let free = most.saturating_sub(self.queue.len());
        let room = match self.circuit.allowed(now) {
            Allowed::All if 4 * free >= most => ClaimLimit::Due(count(free)),
            Allowed::Probe if self.queue.len() == 0 => ClaimLimit::Due(1),
            Allowed::All | Allowed::Probe => return ClaimLimit::None,
            Allowed::Nothing(_) if free > 0 => ClaimLimit::BudgetSpent(count(free)),
            Allowed::Nothing(_) => return ClaimLimit::None,
        };
        self.look = false;
        room
    }

    /// So many more may be claimed that begin with a read which others make anyway.
    pub(super) fn room_to_share(&self) -> u32 {
        count(MOST_SHARING.saturating_sub(self.sharing + self.sharers.len() + self.queue.len()))
    }

    /// Takes all that waits.
    pub(super) fn empty(&mut self) -> Vec<T> {
        let mut all = Vec::from(std::mem::take(&mut self.sharers));
        all.extend(std::iter::from_fn(|| Some(self.queue.pop(0)?.0)));
        all
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
