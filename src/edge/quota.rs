//! The quota of each principal: maximum concurrent calls, and maximum calls a second. One principal does not keep others out.
//!
//! Memory is bounded too. There are no more principals with calls under way than there are calls. Of those with recent calls a
//! bounded number is told apart; all others have one quota together.

use std::{
    collections::{HashMap, hash_map::Entry},
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

/// How many principals are told apart. A full bucket is forgotten, so these are the principals of the last second.
const MAX_PRINCIPALS: usize = 10_000;

/// When a principal with too many calls under way should try again. Nobody knows when one of them ends; this is about right.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(1);

/// Keyed by principal; None is for all principals beyond [`MAX_PRINCIPALS`].
type Rates =
    RateLimiter<Option<Principal>, HashMapStateStore<Option<Principal>>, LimiterClock, NoOpMiddleware<Duration>>;

/// The quotas of all principals. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Quotas(Arc<QuotaState>);

struct QuotaState {
    max_calls: usize,
    calls: Mutex<HashMap<Principal, usize>>,
    rates: Rates,
    /// When full buckets were forgotten last.
    cleaned: Mutex<MonotonicInstant>,
    clock: Clock,
}

/// One call of a principal is under way, until this is dropped.
pub(crate) struct Slot {
    quotas: Quotas,
    principal: Principal,
}

/// The quota of this principal is used up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// How long to wait.
    pub(crate) retry_after: Duration,
}

impl Quotas {
    pub(crate) fn new(max_calls: usize, calls_per_second: u32, clock: &Clock) -> Self {
        // A rule of the configuration forbids 0.
        let calls_per_second = NonZeroU32::new(calls_per_second).unwrap_or(NonZeroU32::MIN);
        let since = LimiterClock(clock.clone(), clock.monotonic_now());
        Self(Arc::new(QuotaState {
            max_calls,
            calls: Mutex::default(),
            rates: RateLimiter::hashmap_with_clock(Quota::per_second(calls_per_second), since),
            cleaned: Mutex::new(clock.monotonic_now()),
            clock: clock.clone(),
        }))
    }

    /// A slot for one more call of this principal.
    pub(crate) fn take(&self, principal: &Principal) -> Result<Slot, Exhausted> {
        let slot = self.start_call(principal)?;
        let key = self.has_own_bucket().then(|| principal.clone());
        let rates = &self.0.rates;
        match rates.check_key(&key) {
            Ok(()) => Ok(slot),
            Err(not_yet) => Err(Exhausted {
                retry_after: not_yet.wait_time_from(rates.clock().now()),
            }),
        }
    }

    fn start_call(&self, principal: &Principal) -> Result<Slot, Exhausted> {
        let mut calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = calls.entry(principal.clone()).or_default();
        if *under_way >= self.0.max_calls {
            return Err(Exhausted {
                retry_after: RETRY_AFTER_FULL,
            });
        }
        *under_way += 1;
        Ok(Slot {
            quotas: self.clone(),
            principal: principal.clone(),
        })
    }

    /// Is there room for one more principal? What is as good as new is forgotten, once a second at most.
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

impl Drop for Slot {
    fn drop(&mut self) {
        let mut calls = self.quotas.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut under_way) = calls.entry(self.principal.clone()) {
            *under_way.get_mut() -= 1;
            if *under_way.get() == 0 {
                under_way.remove();
            }
        }
    }
}

/// The one clock, as the limiter wants it.
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
    fn one_principal_is_held_to_its_rate_and_another_is_not() {
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
    fn one_principal_has_so_many_calls_at_once_and_a_call_that_ends_makes_room() {
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
    fn however_many_principals_come_their_number_is_bounded() {
        let (quotas, clock) = quotas(10, 10);
        for round in 0..3 {
            for number in 0..MAX_PRINCIPALS + 5 {
                // Those that cannot be told apart share one allowance: some of them are refused.
                let _ = quotas.take(&principal(&format!("{round}-{number}")));
            }
            assert!(quotas.0.rates.len() <= MAX_PRINCIPALS + 1);
            clock.advance(Duration::from_secs(2));
        }
        assert!(quotas.0.calls.lock().unwrap().is_empty());
        quotas.take(&principal("late")).ok().unwrap();
        assert!(quotas.0.rates.len() < 10, "the past is forgotten");
    }
}
