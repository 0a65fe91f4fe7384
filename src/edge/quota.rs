//! The quota of each principal: maximum concurrent calls and open streams, maximum calls a second, and a share of the memory for
//! answers. One principal cannot block the others.
//!
//! Memory is bounded. A principal without open calls and unsent answers has no [`Usage`]. At most 10,000 principals have a rate
//! limiter of their own; all others share one.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};
use tokio::sync::Semaphore;

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::Principal,
};

use super::answers::{self, Answers, CallMemory};

/// Maximum principals with a bucket of their own. A full bucket is removed, so these are the principals of the last second.
const MAX_PRINCIPALS: usize = 10_000;

/// The retry delay for a principal with too many concurrent calls. It is a guess: nobody knows when a call ends.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(1);

/// Keyed by principal. `None` is the shared bucket of all principals beyond [`MAX_PRINCIPALS`].
type Rates =
    RateLimiter<Option<Principal>, HashMapStateStore<Option<Principal>>, LimiterClock, NoOpMiddleware<Duration>>;

/// The maximums of one principal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuotaSettings {
    /// Concurrent calls and open streams.
    pub(crate) calls: usize,
    /// Open streams.
    pub(crate) streams: usize,
    /// Calls a second.
    pub(crate) calls_per_second: u32,
    /// Bytes of answers that are being made or not taken.
    pub(crate) unsent_bytes: usize,
}

/// The quotas of all principals. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Quotas(Arc<QuotaState>);

struct QuotaState {
    settings: QuotaSettings,
    usages: Mutex<HashMap<Principal, Weak<Usage>>>,
    rates: Rates,
    /// When full buckets were last removed.
    cleaned: Mutex<MonotonicInstant>,
    clock: Clock,
}

/// What one principal uses at the moment.
pub(super) struct Usage {
    quotas: Quotas,
    principal: Principal,
    calls: AtomicUsize,
    streams: AtomicUsize,
    memory: Arc<Semaphore>,
}

/// One concurrent call of a principal. Dropping it ends the call.
pub(crate) struct Slot {
    usage: Arc<Usage>,
    is_stream: bool,
}

/// The principal has no quota left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// When to try again.
    pub(crate) retry_after: Duration,
}

impl Quotas {
    pub(crate) fn new(settings: QuotaSettings, clock: &Clock) -> Self {
        // The configuration rules forbid 0.
        let calls_per_second = NonZeroU32::new(settings.calls_per_second).unwrap_or(NonZeroU32::MIN);
        let since = LimiterClock(clock.clone(), clock.monotonic_now());
        Self(Arc::new(QuotaState {
            settings,
            usages: Mutex::default(),
            rates: RateLimiter::hashmap_with_clock(Quota::per_second(calls_per_second), since),
            cleaned: Mutex::new(clock.monotonic_now()),
            clock: clock.clone(),
        }))
    }

    /// Takes a slot for one call of this principal.
    pub(crate) fn take(&self, principal: &Principal, is_stream: bool) -> Result<Slot, Exhausted> {
        let slot = self.usage(principal).start_call(is_stream)?;
        let key = self.has_own_bucket().then(|| principal.clone());
        let rates = &self.0.rates;
        match rates.check_key(&key) {
            Ok(()) => Ok(slot),
            Err(not_yet) => Err(Exhausted {
                retry_after: not_yet.wait_time_from(rates.clock().now()),
            }),
        }
    }

    fn usage(&self, principal: &Principal) -> Arc<Usage> {
        let mut usages = self.0.usages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = usages.get(principal).and_then(Weak::upgrade) {
            return usage;
        }
        let usage = Arc::new(Usage {
            quotas: self.clone(),
            principal: principal.clone(),
            calls: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            memory: answers::semaphore(self.0.settings.unsent_bytes),
        });
        usages.insert(principal.clone(), Arc::downgrade(&usage));
        usage
    }

    /// True if one more principal may have its own bucket. Removes full buckets, at most once a second.
    fn has_own_bucket(&self) -> bool {
        let rates = &self.0.rates;
        if rates.len() < MAX_PRINCIPALS {
            return true;
        }
        let now = self.0.clock.monotonic_now();
        let mut cleaned = self.0.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(*cleaned) >= Duration::from_secs(1) {
            *cleaned = now;
            rates.retain_recent();
            rates.shrink_to_fit();
        }
        rates.len() < MAX_PRINCIPALS
    }
}

impl Usage {
    fn start_call(self: Arc<Self>, is_stream: bool) -> Result<Slot, Exhausted> {
        let QuotaSettings { calls, streams, .. } = self.quotas.0.settings;
        let add = |count: &AtomicUsize, most: usize| {
            let one_more = |count| (count < most).then_some(count + 1);
            count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .map_err(|_| Exhausted {
                    retry_after: RETRY_AFTER_FULL,
                })
        };
        add(&self.calls, calls)?;
        let mut slot = Slot {
            usage: self,
            is_stream: false,
        };
        if is_stream {
            add(&slot.usage.streams, streams)?;
            slot.is_stream = true;
        }
        Ok(slot)
    }

    /// The share of the memory for answers.
    pub(super) fn memory(&self) -> Arc<Semaphore> {
        self.memory.clone()
    }
}

/// The count of another principal is not part of an error.
impl std::fmt::Debug for Usage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Usage").finish_non_exhaustive()
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        let mut usages = self.quotas.0.usages.lock().unwrap_or_else(PoisonError::into_inner);
        // A call that came in between has a new one.
        if usages
            .get(&self.principal)
            .is_some_and(|usage| usage.strong_count() == 0)
        {
            usages.remove(&self.principal);
        }
    }
}

impl Slot {
    /// The memory for the answer to this call.
    pub(super) fn memory(&self, answers: &Answers) -> Arc<CallMemory> {
        CallMemory::new(answers, Some(self.usage.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.calls.fetch_sub(1, Ordering::Relaxed);
        if self.is_stream {
            self.usage.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The service's clock, in the form that `governor` needs.
#[derive(Debug, Clone)]
struct LimiterClock(Clock, MonotonicInstant);

impl GovernorClock for LimiterClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic_now().since(self.1)
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::Timestamp;

    use super::*;

    fn quotas(calls: usize, calls_per_second: u32) -> (Quotas, Clock) {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let settings = QuotaSettings {
            calls,
            streams: 2,
            calls_per_second,
            unsent_bytes: 1024,
        };
        (Quotas::new(settings, &clock), clock)
    }

    fn principal(name: &str) -> Principal {
        name.parse().unwrap()
    }

    #[test]
    fn a_principal_is_limited_to_its_rate_and_does_not_limit_others() {
        let (quotas, clock) = quotas(100, 10);
        let (greedy, modest) = (principal("greedy"), principal("modest"));
        for _ in 0..10 {
            quotas.take(&greedy, false).ok().unwrap();
        }
        let Err(Exhausted { retry_after }) = quotas.take(&greedy, false) else {
            panic!("an eleventh call");
        };
        assert!(retry_after <= Duration::from_millis(100), "{retry_after:?}");
        quotas.take(&modest, false).ok().unwrap();
        clock.advance(Duration::from_millis(100));
        quotas.take(&greedy, false).ok().unwrap();
        assert!(quotas.take(&greedy, false).is_err());
    }

    #[test]
    fn a_principal_has_a_maximum_of_concurrent_calls_and_an_ended_call_frees_a_slot() {
        let (quotas, _clock) = quotas(2, 1000);
        let greedy = principal("greedy");
        let first = quotas.take(&greedy, false).ok().unwrap();
        let _second = quotas.take(&greedy, false).ok().unwrap();
        assert!(quotas.take(&greedy, false).is_err());
        let _other = quotas.take(&principal("modest"), false).ok().unwrap();
        drop(first);
        let _third = quotas.take(&greedy, false).ok().unwrap();
    }

    #[test]
    fn a_principal_has_a_maximum_of_open_streams_and_its_other_calls_go_on() {
        let (quotas, _clock) = quotas(10, 1000);
        let greedy = principal("greedy");
        let first = quotas.take(&greedy, true).ok().unwrap();
        let _second = quotas.take(&greedy, true).ok().unwrap();
        assert!(quotas.take(&greedy, true).is_err());
        let _call = quotas.take(&greedy, false).ok().unwrap();
        let _other = quotas.take(&principal("modest"), true).ok().unwrap();
        drop(first);
        let _third = quotas.take(&greedy, true).ok().unwrap();
    }

    #[test]
    fn the_number_of_remembered_principals_is_bounded() {
        let (quotas, clock) = quotas(10, 10);
        for round in 0..3 {
            for number in 0..MAX_PRINCIPALS + 5 {
                // Principals beyond the maximum share one bucket, so some of these calls are refused.
                let _ = quotas.take(&principal(&format!("{round}-{number}")), false);
            }
            assert!(quotas.0.rates.len() <= MAX_PRINCIPALS + 1);
            clock.advance(Duration::from_secs(2));
        }
        assert!(quotas.0.usages.lock().unwrap().is_empty());
        quotas.take(&principal("late"), false).ok().unwrap();
        assert!(quotas.0.rates.len() < 10, "old principals are removed");
    }
}
