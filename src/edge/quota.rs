//! The quota of each principal: maximum concurrent calls, and maximum calls a second. One principal cannot block the others.
//!
//! Memory is bounded. A principal without open calls has no count of calls. At most 10,000 principals have a rate limiter of
//! their own; all others share one.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::Principal,
};

use super::shares::{HeldShare, Shares};

/// Maximum principals with a bucket of their own. A full bucket is removed, so these are the principals of the last second.
const MAX_PRINCIPALS: usize = 10_000;

/// The retry delay for a principal with too many concurrent calls. It is a guess: nobody knows when a call ends.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(1);

/// Keyed by principal. `None` is the shared bucket of all principals beyond [`MAX_PRINCIPALS`].
type Rates =
    RateLimiter<Option<Principal>, HashMapStateStore<Option<Principal>>, LimiterClock, NoOpMiddleware<Duration>>;

/// The quotas of all principals. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Quotas(Arc<QuotaState>);

struct QuotaState {
    calls: Shares<Principal>,
    rates: Rates,
    /// When full buckets were last removed.
    cleaned: Mutex<MonotonicInstant>,
    clock: Clock,
}

/// One concurrent call of a principal. Dropping it ends the call.
pub(crate) type Slot = HeldShare<Principal>;

/// The principal has no quota left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// When to try again.
    pub(crate) retry_after: Duration,
}

impl Quotas {
    pub(crate) fn new(max_calls: usize, calls_per_second: u32, clock: &Clock) -> Self {
        // The configuration rules forbid 0.
        let calls_per_second = NonZeroU32::new(calls_per_second).unwrap_or(NonZeroU32::MIN);
        let since = LimiterClock(clock.clone(), clock.monotonic_now());
        Self(Arc::new(QuotaState {
            calls: Shares::new(usize::MAX, max_calls),
            rates: RateLimiter::hashmap_with_clock(Quota::per_second(calls_per_second), since),
            cleaned: Mutex::new(clock.monotonic_now()),
            clock: clock.clone(),
        }))
    }

    /// Takes a slot for one call of this principal.
    pub(crate) fn take(&self, principal: &Principal) -> Result<Slot, Exhausted> {
        let slot = self.0.calls.take(principal).ok_or(Exhausted {
            retry_after: RETRY_AFTER_FULL,
        })?;
        let key = self.has_own_bucket().then(|| principal.clone());
        let rates = &self.0.rates;
        match rates.check_key(&key) {
            Ok(()) => Ok(slot),
            Err(not_yet) => Err(Exhausted {
                retry_after: not_yet.wait_time_from(rates.clock().now()),
            }),
        }
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

    fn quotas(max_calls: usize, rate: u32) -> (Quotas, Clock) {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        (Quotas::new(max_calls, rate, &clock), clock)
    }

    fn principal(name: &str) -> Principal {
        name.parse().unwrap()
    }

    #[test]
    fn a_principal_is_limited_to_its_rate_and_does_not_limit_others() {
        let (quotas, clock) = quotas(100, 10);
        let (greedy, modest) = (principal("greedy"), principal("modest"));
        for _ in 0..10 {
            quotas.take(&greedy).ok().unwrap();
        }
        let Err(Exhausted { retry_after }) = quotas.take(&greedy) else {
            panic!("an eleventh call");
        };
        assert!(retry_after <= Duration::from_millis(100), "{retry_after:?}");
        quotas.take(&modest).ok().unwrap();
        clock.advance(Duration::from_millis(100));
        quotas.take(&greedy).ok().unwrap();
        assert!(quotas.take(&greedy).is_err());
    }

    #[test]
    fn a_principal_has_a_maximum_of_concurrent_calls_and_an_ended_call_frees_a_slot() {
        let (quotas, _clock) = quotas(2, 1000);
        let greedy = principal("greedy");
        let first = quotas.take(&greedy).ok().unwrap();
        let _second = quotas.take(&greedy).ok().unwrap();
        assert!(quotas.take(&greedy).is_err());
        let _other = quotas.take(&principal("modest")).ok().unwrap();
        drop(first);
        let _third = quotas.take(&greedy).ok().unwrap();
    }

    #[test]
    fn the_number_of_remembered_principals_is_bounded() {
        let (quotas, clock) = quotas(10, 10);
        for round in 0..3 {
            for number in 0..MAX_PRINCIPALS + 5 {
                // Principals beyond the maximum share one bucket, so some of these calls are refused.
                let _ = quotas.take(&principal(&format!("{round}-{number}")));
            }
            assert!(quotas.0.rates.len() <= MAX_PRINCIPALS + 1);
            clock.advance(Duration::from_secs(2));
        }
        assert_eq!(quotas.0.calls.holders(), 0);
        quotas.take(&principal("late")).ok().unwrap();
        assert!(quotas.0.rates.len() < 10, "old principals are removed");
    }
}
