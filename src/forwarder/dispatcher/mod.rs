//! Decides which change may call AWS next for one endpoint: one account in one Region. Pure: the caller passes the time in.
//!
//! The [`RateLimiter`] sets how fast calls start, the [`Circuit`] whether any may start, and the queue which change is next.
//!
//! Queued work holds a lease. Work that cannot start well before its lease ends is rejected, given back, and claimed again later.
//! So a wait is not counted as a lost attempt, and no lease is renewed only to wait. For the same reason recovery claims no more
//! than can start soon ([`EndpointDispatcher::claim_limit`]).
//!
//! A change in doubt starts with a read of AWS, and one read answers for all changes of an image. All queued changes in doubt of
//! an image therefore share one slot, and pay the rate limiter for the read only. If the read shows that a change must be called,
//! the change goes back to the queue for a slot of its own. Recovery may claim more of them
//! ([`EndpointDispatcher::shared_claim_limit`]). Otherwise an image with thousands of recipients would be read once per few
//! changes.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    clock::MonotonicInstant,
    config::ForwarderConfig,
    domain::{Classification, ImageId},
};

use super::{
    circuit::{Allowed, Circuit},
    queue::{FairQueue, QueuedItem},
    rate_limiter::RateLimiter,
};

/// The shortest delay before rejected work is claimed again.
const MIN_DELAY: Duration = Duration::from_millis(100);

/// Maximum changes that use a shared slot at once.
const MAX_SHARING: usize = 4096;

/// One of this number of calls a second may be a read that is not for a change.
const SPARE_PART: u32 = 10;

/// How long such a read waits while changes do.
const SPARE_DELAY: Duration = Duration::from_millis(250);

/// What the caller must do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dispatch<T> {
    /// Start this item.
    Begin(T, CallSlot),
    /// Give this item back: it cannot start in time.
    Reject(T, Rejection),
    /// Ask again after this time, or when something has changed.
    Wait(Duration),
    /// The queue is empty.
    Nothing,
}

/// The right to work on one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallSlot {
    pub(super) is_probe: bool,
    /// The change shares the slot of another change of its image. The other one pays for the read.
    pub(super) is_shared: bool,
}

/// Why work is given back, and for about how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) delay: Duration,
    /// True if AWS does not answer; false if the endpoint is only slow.
    pub(super) is_unreachable: bool,
}

/// How many changes recovery may claim now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClaimLimit {
    /// This many changes that are due.
    Due(u32),
    /// This many changes whose retry budget is spent. They can end without a call to AWS.
    BudgetSpent(u32),
    /// None until something changes.
    None,
}

#[derive(Debug)]
pub(super) struct EndpointDispatcher<T> {
    settings: ForwarderConfig,
    rate_limiter: RateLimiter,
    /// Of reads that are not for a change.
    spare: RateLimiter,
    circuit: Circuit,
    queue: FairQueue<T>,
    /// Items that share the slot granted last. They start next.
    sharers: VecDeque<T>,
    /// Changes in progress with a slot of their own.
    in_flight: usize,
    /// Changes in progress with a shared slot.
    sharing: usize,
    /// Scheduled retries: how many are due at each time.
    retries: BTreeMap<MonotonicInstant, usize>,
    retries_total: usize,
    /// The database may hold work without a lease.
    scan_requested: bool,
}

impl<T> EndpointDispatcher<T> {
    pub(super) fn new(settings: ForwarderConfig, now: MonotonicInstant) -> Self {
        Self {
            settings,
            rate_limiter: RateLimiter::new(&settings, now),
            spare: RateLimiter::new(&spare_settings(settings), now),
            circuit: Circuit::new(settings),
            queue: FairQueue::default(),
            sharers: VecDeque::new(),
            in_flight: 0,
            sharing: 0,
            retries: BTreeMap::new(),
            retries_total: 0,
            scan_requested: false,
        }
    }

    /// True while new changes may be accepted.
    pub(super) fn accepts_changes(&self) -> bool {
        self.backlog() < self.settings.max_backlog
    }

    /// Changes in progress, queued, or waiting for a retry.
    pub(super) fn backlog(&self) -> usize {
        let begun = self.in_flight + self.sharing + self.sharers.len();
        self.queue.len() + begun + self.retries_total
    }

    pub(super) fn is_circuit_open(&self) -> bool {
        self.circuit.is_open()
    }

    /// Queues an item, or rejects it if its turn would come after its `begin_by`.
    pub(super) fn enqueue(
        &mut self,
        now: MonotonicInstant,
        image: ImageId,
        item: QueuedItem<T>,
    ) -> Option<(T, Rejection)> {
        let wait = self.time_for(self.queue.turns_ahead(&image, item.reads));
        if now.plus(wait) > item.begin_by {
            return Some((item.item, self.too_slow(wait)));
        }
        self.queue.push(image, item);
        None
    }

    /// The next thing to do. Call it again until it returns [`Dispatch::Wait`] or [`Dispatch::Nothing`].
    pub(super) fn next(&mut self, now: MonotonicInstant) -> Dispatch<T> {
        if let Some(item) = self.sharers.pop_front() {
            self.sharing += 1;
            let (is_probe, is_shared) = (false, true);
            return Dispatch::Begin(item, CallSlot { is_probe, is_shared });
        }
        let Some(late_at) = self.queue.late_at() else {
            return Dispatch::Nothing;
        };
        let is_probe = match self.circuit.allowed(now) {
            Allowed::All => false,
            Allowed::Probe => true,
            Allowed::Nothing(delay) => return self.reject_unreachable(delay),
        };
        if late_at <= now {
            return self.reject_late(now);
        }
        let until_late = late_at.since(now);
        if self.in_flight >= self.settings.max_in_flight {
            return Dispatch::Wait(until_late);
        }
        let wait = self.rate_limiter.wait(now);
        if !wait.is_zero() {
            return Dispatch::Wait(wait.min(until_late));
        }
        let max_sharers = if is_probe {
            0
        } else {
            MAX_SHARING.saturating_sub(self.sharing)
        };
        let Some((item, sharers)) = self.queue.pop(max_sharers) else {
            return Dispatch::Nothing;
        };
        self.sharers = sharers;
        self.rate_limiter.spend(now);
        self.in_flight += 1;
        if is_probe {
            self.circuit.begin_probe();
        }
        let is_shared = false;
        Dispatch::Begin(item, CallSlot { is_probe, is_shared })
    }

    fn reject_unreachable(&mut self, delay: Duration) -> Dispatch<T> {
        let rejection = Rejection {
            delay: delay.max(MIN_DELAY),
            is_unreachable: true,
        };
        match self.queue.pop(0) {
            Some((item, _)) => Dispatch::Reject(item, rejection),
            None => Dispatch::Nothing,
        }
    }

    fn reject_late(&mut self, now: MonotonicInstant) -> Dispatch<T> {
        let rejection = self.too_slow(self.time_for(self.queue.len()));
        match self.queue.pop_late(now) {
            Some(item) => Dispatch::Reject(item, rejection),
            None => Dispatch::Nothing,
        }
    }

    /// A rejection for the time that the turns ahead take. At most `claim_ahead`, because the rate may rise before then.
    fn too_slow(&self, wait: Duration) -> Rejection {
        Rejection {
            delay: wait.min(self.settings.claim_ahead()).max(MIN_DELAY),
            is_unreachable: false,
        }
    }

    fn time_for(&self, turns: usize) -> Duration {
        let seconds = turns as f64 / self.rate_limiter.rate();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Permits one more call for a change in progress, and charges the rate limiter. The call does not wait: its lease is
    /// running.
    ///
    /// # Errors
    /// A [`Rejection`] if the circuit is open, or if the slot is shared: too many changes may share it.
    pub(super) fn permit_call(&mut self, slot: CallSlot, now: MonotonicInstant) -> Result<(), Rejection> {
        if slot.is_shared {
            return Err(self.too_slow(Duration::ZERO));
        }
        if self.circuit.allows_call(slot.is_probe) {
            self.rate_limiter.spend(now);
            return Ok(());
        }
        let delay = match self.circuit.allowed(now) {
            Allowed::Nothing(delay) => delay.max(MIN_DELAY),
            Allowed::All | Allowed::Probe => MIN_DELAY,
        };
        Err(Rejection {
            delay,
            is_unreachable: true,
        })
    }

    /// Permits a read that is not for a change, and charges both rate limiters. Changes go first: while one waits for a call, or
    /// AWS does not answer, no such read is permitted.
    ///
    /// # Errors
    /// The time after which to ask again.
    pub(super) fn permit_spare_call(&mut self, now: MonotonicInstant) -> Result<(), Duration> {
        let do_changes_wait = self.queue.len() > 0 || !self.sharers.is_empty();
        if do_changes_wait || self.circuit.is_open() {
            return Err(SPARE_DELAY);
        }
        let wait = self.rate_limiter.wait_for_spare(now).max(self.spare.wait(now));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.rate_limiter.spend(now);
        self.spare.spend(now);
        Ok(())
    }

    /// Records the end of a read that is not for a change. Throttling slows only such reads: changes learn of it by their own
    /// calls.
    pub(super) fn record_spare_call(
        &mut self,
        begun: MonotonicInstant,
        now: MonotonicInstant,
        classification: Classification,
    ) {
        if classification == Classification::Throttled {
            self.spare.record_throttling(begun, now);
        }
    }

    /// Records the end of a call that began at `begun`. Returns a message for the log if the endpoint's state changed. A shared
    /// slot records nothing: the change that owns the slot records the read.
    pub(super) fn record_call(
        &mut self,
        slot: CallSlot,
        begun: MonotonicInstant,
        now: MonotonicInstant,
        classification: Classification,
    ) -> Option<&'static str> {
        if slot.is_shared {
            return None;
        }
        match classification {
            Classification::NotSent | Classification::Unknown => {
                let opened = self.circuit.record_no_answer(slot.is_probe, now);
                return opened.map(|_| "AWS does not answer; the circuit is open, and calls pause for a cool-down");
            }
            Classification::Accepted | Classification::Refused | Classification::Throttled => {}
        }
        let slowed = classification == Classification::Throttled && self.rate_limiter.record_throttling(begun, now);
        if self.circuit.record_answer() {
            self.scan_requested = true;
            return Some("AWS answers again; the circuit is closed");
        }
        slowed.then_some("AWS throttles calls; the call rate was reduced")
    }

    /// Corrects the charge for a read to the number of calls it made: one per page, or 0 if another change made them.
    pub(super) fn correct_charge(&mut self, slot: CallSlot, calls: u32) {
        self.rate_limiter.correct_charge(u32::from(!slot.is_shared), calls);
    }

    /// Ends the work on a change.
    pub(super) fn release(&mut self, slot: CallSlot, now: MonotonicInstant) {
        if slot.is_shared {
            self.sharing -= 1;
        } else {
            self.in_flight -= 1;
        }
        if slot.is_probe {
            self.circuit.end_probe(now);
        }
    }

    /// Remembers that a change is due for a retry after `delay`. At most `max_backlog` are remembered: a scan finds the others.
    pub(super) fn schedule_retry(&mut self, now: MonotonicInstant, delay: Duration) {
        if self.retries_total < self.settings.max_backlog {
            // The database's clock may run slower than ours, and a scan that is too early finds nothing.
            let delay = delay + delay / 500 + Duration::from_millis(1);
            *self.retries.entry(now.plus(delay)).or_default() += 1;
            self.retries_total += 1;
        }
    }

    /// Notes that the database may hold work without a lease.
    pub(super) fn request_scan(&mut self) {
        self.scan_requested = true;
    }

    pub(super) fn is_scan_requested(&self) -> bool {
        self.scan_requested
    }

    /// Ok if a scan is due now. Otherwise the time to the next scheduled retry, if there is one.
    pub(super) fn check_scan_due(&mut self, now: MonotonicInstant) -> Result<(), Option<Duration>> {
        while let Some(due) = self.retries.first_entry().filter(|due| *due.key() <= now) {
            self.retries_total -= due.remove();
            self.scan_requested = true;
        }
        if self.scan_requested {
            return Ok(());
        }
        Err(self.retries.first_key_value().map(|(due, _)| due.since(now)))
    }

    /// How many changes may be claimed now. Unless it is [`ClaimLimit::None`], the request for a scan counts as served.
    pub(super) fn claim_limit(&mut self, now: MonotonicInstant) -> ClaimLimit {
        let ahead = self.rate_limiter.rate() * self.settings.claim_ahead().as_secs_f64();
        let max = (ahead as usize).clamp(1, 2 * self.settings.max_in_flight.max(1));
        let free = max.saturating_sub(self.queue.len());
        let limit = match self.circuit.allowed(now) {
            Allowed::All if 4 * free >= max => ClaimLimit::Due(count(free)),
            Allowed::Probe if self.queue.len() == 0 => ClaimLimit::Due(1),
            Allowed::All | Allowed::Probe => return ClaimLimit::None,
            Allowed::Nothing(_) if free > 0 => ClaimLimit::BudgetSpent(count(free)),
            Allowed::Nothing(_) => return ClaimLimit::None,
        };
        self.scan_requested = false;
        limit
    }

    /// How many more changes may be claimed that start with a read which other changes make anyway.
    pub(super) fn shared_claim_limit(&self) -> u32 {
        count(MAX_SHARING.saturating_sub(self.sharing + self.sharers.len() + self.queue.len()))
    }

    /// Removes and returns everything that has not started.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut all = Vec::from(std::mem::take(&mut self.sharers));
        all.extend(std::iter::from_fn(|| Some(self.queue.pop(0)?.0)));
        all
    }
}

/// A tenth of the calls, and none saved up.
fn spare_settings(settings: ForwarderConfig) -> ForwarderConfig {
    ForwarderConfig {
        calls_per_second: (settings.calls_per_second / SPARE_PART).max(1),
        min_calls_per_second: 1,
        burst: 1,
        ..settings
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
