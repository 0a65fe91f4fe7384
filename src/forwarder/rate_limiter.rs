//! An adaptive rate limiter for one account in one Region: a token bucket whose rate follows what AWS accepts. Pure.
//!
//! AWS documents no limit for these operations, and limits differ by account. So calls start at full speed, and only throttling
//! slows them. Throttling sets the rate to half of the calls really made. The rate then grows back linearly to the rate at which
//! AWS throttled, within [`RECOVERY`]. Beyond it the rate doubles in each such period, because AWS evidently raised its limit.
//!
//! Reads count like changes, one token per page, because AWS may count both against one limit. Changes that read an image at the
//! same time share its pages, and pay for them once.

use std::time::Duration;

use crate::{clock::MonotonicInstant, config::ForwarderConfig};

/// The time to grow from half of the limit to the limit, and then for each doubling.
const RECOVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct RateLimiter {
    /// Maximum calls per second.
    max_rate: f64,
    /// Minimum calls per second, even while AWS throttles.
    min_rate: f64,
    /// Maximum calls that may start at once after an idle time.
    burst: f64,
    /// Calls per second.
    rate: f64,
    /// The rate at which AWS throttled last, in calls per second. None at full speed.
    limit: Option<f64>,
    /// When the rate was reduced last. Throttling of a call that began earlier is ignored.
    reduced_at: Option<MonotonicInstant>,
    /// Calls that may start now. Negative after calls that did not wait.
    tokens: f64,
    /// About the number of calls in the last second.
    recent: f64,
    /// When `tokens` and `recent` were last updated.
    updated_at: MonotonicInstant,
}

impl RateLimiter {
    pub(super) fn new(settings: &ForwarderConfig, now: MonotonicInstant) -> Self {
        let (max_rate, burst) = (settings.calls_per_second.into(), settings.burst.into());
        Self {
            max_rate,
            min_rate: settings.min_calls_per_second.into(),
            burst,
            rate: max_rate,
            limit: None,
            reduced_at: None,
            tokens: burst,
            recent: 0.0,
            updated_at: now,
        }
    }

    /// The present rate, in calls per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// The time until a call may start. Zero if it may start now.
    pub(super) fn wait(&mut self, now: MonotonicInstant) -> Duration {
        self.update(now);
        let missing = 1.0 - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up, so that a sleeper does not wake just too early.
        Duration::from_secs_f64(missing / self.rate) + Duration::from_micros(1)
    }

    /// The time until a call may start that leaves half of the calls that could start at once. Zero if it may start now.
    pub(super) fn wait_for_spare(&mut self, now: MonotonicInstant) -> Duration {
        self.update(now);
        let missing = (self.capacity() / 2.0).max(1.0) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(missing / self.rate) + Duration::from_micros(1)
    }

    /// Takes a token for a call that starts, even if there is none: such a call could not wait.
    pub(super) fn spend(&mut self, now: MonotonicInstant) {
        self.update(now);
        self.tokens -= 1.0;
        self.recent += 1.0;
    }

    /// Corrects a charge of `paid` calls to `calls`.
    pub(super) fn correct_charge(&mut self, paid: u32, calls: u32) {
        let more = f64::from(calls) - f64::from(paid);
        self.tokens = (self.tokens - more).min(self.capacity());
        self.recent = (self.recent + more).max(0.0);
    }

    /// Records that AWS throttled a call that began at `begun`. Returns true if this reduced the rate.
    pub(super) fn record_throttling(&mut self, begun: MonotonicInstant, now: MonotonicInstant) -> bool {
        self.update(now);
        if self.reduced_at.is_some_and(|reduced_at| begun < reduced_at) {
            return false;
        }
        let limit = self.rate.min(self.recent).max(self.min_rate);
        let before = self.rate;
        self.limit = Some(limit);
        self.rate = (limit / 2.0).max(self.min_rate);
        self.tokens = self.tokens.min(0.0);
        self.reduced_at = Some(now);
        self.rate < before
    }

    fn update(&mut self, now: MonotonicInstant) {
        let passed = now.since(self.updated_at).as_secs_f64();
        self.updated_at = self.updated_at.max(now);
        // An exponential average: a call one second ago weighs 1/e, two seconds ago 1/e².
        self.recent *= (-passed).exp();
        self.tokens = (self.tokens + self.rate * passed).min(self.capacity());
        self.grow(passed);
    }

    /// While AWS throttles, an idle time saves the calls of at most one second.
    fn capacity(&self) -> f64 {
        match self.limit {
            None => self.burst,
            Some(_) => self.burst.min(self.rate.max(1.0)),
        }
    }

    fn grow(&mut self, passed: f64) {
        let Some(limit) = self.limit else { return };
        let step = limit / 2.0 / RECOVERY.as_secs_f64();
        let below = ((limit - self.rate) / step).clamp(0.0, passed);
        let doublings = ((passed - below) / RECOVERY.as_secs_f64()).min(64.0);
        self.rate = (self.rate + below * step) * doublings.exp2();
        if self.rate >= self.max_rate {
            (self.rate, self.limit) = (self.max_rate, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, domain::Timestamp};

    fn pace() -> RateLimiter {
        let settings = ForwarderConfig {
            calls_per_second: 1000,
            burst: 100,
            ..ForwarderConfig::default()
        };
        RateLimiter::new(&settings, start())
    }

    fn start() -> MonotonicInstant {
        Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now()
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Calls as fast as permitted until `end` an upstream that accepts `limit` calls per second. Returns how many calls it
    /// accepted, and how many it throttled.
    fn against(pace: &mut RateLimiter, mut now: MonotonicInstant, end: MonotonicInstant, limit: f64) -> (u32, u32) {
        let (mut answered, mut throttled, mut theirs) = (0, 0, limit);
        while now < end {
            let wait = pace.wait(now);
            now = now.plus(wait);
            theirs = (theirs + limit * wait.as_secs_f64()).min(limit);
            pace.spend(now);
            if theirs >= 1.0 {
                theirs -= 1.0;
                answered += 1;
            } else {
                throttled += 1;
                pace.record_throttling(now, now);
            }
        }
        (answered, throttled)
    }

    #[test]
    fn a_burst_starts_at_once_and_further_calls_at_the_rate() {
        let mut pace = pace();
        for _ in 0..100 {
            assert_eq!(pace.wait(start()), Duration::ZERO);
            pace.spend(start());
        }
        let wait = pace.wait(start());
        assert!(wait > Duration::ZERO && wait <= seconds(0.0011), "{wait:?}");
        assert_eq!(pace.wait(start().plus(wait)), Duration::ZERO);
        assert_eq!(pace.rate(), 1000.0);
    }

    #[test]
    fn throttling_halves_the_real_call_rate_and_counts_once_for_calls_of_the_same_time() {
        let mut pace = pace();
        (0..80).for_each(|_| pace.spend(start()));
        let later = start().plus(seconds(0.001));
        assert!(pace.record_throttling(start(), later));
        assert!((39.0..41.0).contains(&pace.rate()), "{}", pace.rate());
        assert!(
            !pace.record_throttling(start(), later),
            "the call began before the reduction"
        );
        assert!(pace.wait(later) > Duration::ZERO, "the bucket is empty");
        for round in 1..20 {
            let now = later.plus(seconds(f64::from(round) * 0.001));
            pace.record_throttling(now, now);
        }
        assert_eq!(pace.rate(), 1.0, "not below the minimum");
    }

    #[test]
    fn the_rate_grows_linearly_to_the_limit_and_doubles_beyond_it() {
        let mut pace = pace();
        (0..80).for_each(|_| pace.spend(start()));
        pace.record_throttling(start(), start());
        let mut rate = |at: f64| {
            pace.wait(start().plus(seconds(at)));
            pace.rate().round()
        };
        assert_eq!([rate(0.0), rate(5.0), rate(10.0)], [40.0, 60.0, 80.0]);
        assert_eq!([rate(20.0), rate(30.0)], [160.0, 320.0]);
        assert_eq!(rate(60.0), 1000.0);
        assert_eq!(pace.limit, None, "at full speed again");
    }

    #[test]
    fn the_rate_stays_near_the_limit_of_an_upstream() {
        let mut pace = pace();
        let end = start().plus(seconds(20.0));
        against(&mut pace, start(), end, 20.0);
        let (answered, throttled) = against(&mut pace, end, end.plus(seconds(100.0)), 20.0);
        assert!(answered > 1200, "{answered} of 2000");
        assert!(throttled < answered / 10, "{throttled} throttled, {answered} answered");
    }

    #[test]
    fn the_rate_returns_to_full_speed_when_the_limit_is_gone() {
        let mut pace = pace();
        let end = start().plus(seconds(30.0));
        against(&mut pace, start(), end, 5.0);
        assert!(pace.rate() < 20.0, "{}", pace.rate());
        pace.wait(end.plus(seconds(120.0)));
        assert_eq!(pace.rate(), 1000.0);
    }

    #[test]
    fn a_read_costs_its_pages_and_a_shared_read_costs_nothing() {
        let mut pace = pace();
        (0..100).for_each(|_| pace.spend(start()));
        pace.correct_charge(1, 0);
        assert_eq!(pace.wait(start()), Duration::ZERO);
        pace.correct_charge(1, 51);
        assert!(pace.wait(start()) > seconds(0.049));
    }

    #[test]
    fn later_calls_wait_for_the_tokens_of_calls_that_did_not_wait() {
        let mut pace = pace();
        (0..150).for_each(|_| pace.spend(start()));
        assert!(pace.wait(start()) > seconds(0.05));
    }
}
