//! How fast we may call one account in one Region: a token bucket whose rate follows what AWS lets through. Pure.
//!
//! AWS documents no limit for these operations, and limits differ by account. So nobody guesses: calls begin at full speed, and
//! only throttling slows them. Then the rate is half of what was really called; it grows back by equal steps up to where AWS
//! throttled, in [`RECOVERY`], and beyond that it doubles in each such time, since the limit is evidently not there any more.
//!
//! Reads count like changes, page by page: AWS may count them together, and a read that is throttled helps nobody. Those who
//! read an image at the same time share its pages, and pay for them once.

use std::time::Duration;

use crate::clock::MonotonicInstant;

/// From half of the limit back to it, and from there on each doubling.
const RECOVERY: Duration = Duration::from_secs(10);

/// How fast.
#[derive(Debug, Clone, Copy)]
pub struct PaceSettings {
    /// Never more than so many calls a second.
    pub most: f64,
    /// Never less than so many, however much is throttled.
    pub least: f64,
    /// So many calls may begin at once after a rest.
    pub burst: f64,
}

/// The bucket.
#[derive(Debug)]
pub(super) struct RateLimiter {
    settings: PaceSettings,
    /// Calls a second.
    rate: f64,
    /// Where AWS throttled last; nothing, at full speed.
    limit: Option<f64>,
    /// The throttling of a call that was begun before this is old news.
    slowed_at: Option<MonotonicInstant>,
    /// Calls that may begin now. Negative after calls that could not wait.
    tokens: f64,
    /// The calls of the last second, about.
    recent: f64,
    /// When the two above were reckoned.
    at: MonotonicInstant,
}

impl RateLimiter {
    pub(super) fn new(settings: PaceSettings, now: MonotonicInstant) -> Self {
        Self {
            settings,
            rate: settings.most,
            limit: None,
            slowed_at: None,
            tokens: settings.burst,
            recent: 0.0,
            at: now,
        }
    }

    /// Calls a second, at present.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// How long until a call may begin; zero: now.
    pub(super) fn wait(&mut self, now: MonotonicInstant) -> Duration {
        self.reckon(now);
        let missing = 1.0 - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up, or a sleeper wakes just too early.
        Duration::from_secs_f64(missing / self.rate) + Duration::from_micros(1)
    }

    /// A call begins: one that may, or one that cannot wait.
    pub(super) fn spend(&mut self, now: MonotonicInstant) {
        self.reckon(now);
        self.tokens -= 1.0;
        self.recent += 1.0;
    }

    /// What was paid for as so many calls has come to so many.
    pub(super) fn came_to(&mut self, paid: u32, calls: u32) {
        let more = f64::from(calls) - f64::from(paid);
        self.tokens = (self.tokens - more).min(self.capacity());
        self.recent = (self.recent + more).max(0.0);
    }

    /// AWS throttled a call that was begun at this time. True when that slowed us down.
    pub(super) fn throttled(&mut self, begun: MonotonicInstant, now: MonotonicInstant) -> bool {
        self.reckon(now);
        if self.slowed_at.is_some_and(|slowed_at| begun < slowed_at) {
            return false;
        }
        let limit = self.rate.min(self.recent).max(self.settings.least);
        let before = self.rate;
        self.limit = Some(limit);
        self.rate = (limit / 2.0).max(self.settings.least);
        self.tokens = self.tokens.min(0.0);
        self.slowed_at = Some(now);
        self.rate < before
    }

    fn reckon(&mut self, now: MonotonicInstant) {
        let passed = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        // What was begun a second ago weighs a third (1/e), two seconds ago a seventh.
        self.recent *= (-passed).exp();
        self.tokens = (self.tokens + self.rate * passed).min(self.capacity());
        self.grow(passed);
    }

    /// While AWS throttles, a rest is good for no more than a second's calls.
    fn capacity(&self) -> f64 {
        match self.limit {
            None => self.settings.burst,
            Some(_) => self.settings.burst.min(self.rate.max(1.0)),
        }
    }

    fn grow(&mut self, passed: f64) {
        let Some(limit) = self.limit else { return };
        let step = limit / 2.0 / RECOVERY.as_secs_f64();
        let below = ((limit - self.rate) / step).clamp(0.0, passed);
        let doublings = ((passed - below) / RECOVERY.as_secs_f64()).min(64.0);
        self.rate = (self.rate + below * step) * doublings.exp2();
        if self.rate >= self.settings.most {
            (self.rate, self.limit) = (self.settings.most, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, domain::Timestamp};

    const SETTINGS: PaceSettings = PaceSettings {
        most: 1000.0,
        least: 1.0,
        burst: 100.0,
    };

    fn start() -> MonotonicInstant {
        Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now()
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Calls as fast as may be until `end`, against an AWS that lets `limit` a second through; tells how many it let through and
    /// how many not.
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
                pace.throttled(now, now);
            }
        }
        (answered, throttled)
    }

    #[test]
    fn a_burst_begins_at_once_and_the_rest_at_the_rate() {
        let mut pace = RateLimiter::new(SETTINGS, start());
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
    fn throttling_halves_what_was_called_and_old_throttling_is_not_heard_twice() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        (0..80).for_each(|_| pace.spend(start()));
        let later = start().plus(seconds(0.001));
        assert!(pace.throttled(start(), later));
        assert!((39.0..41.0).contains(&pace.rate()), "{}", pace.rate());
        assert!(!pace.throttled(start(), later), "begun before");
        assert!(pace.wait(later) > Duration::ZERO, "the bucket is empty");
        for round in 1..20 {
            let now = later.plus(seconds(f64::from(round) * 0.001));
            pace.throttled(now, now);
        }
        assert_eq!(pace.rate(), 1.0, "never less than the least");
    }

    #[test]
    fn it_grows_by_equal_steps_to_where_it_was_throttled_and_faster_beyond() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        (0..80).for_each(|_| pace.spend(start()));
        pace.throttled(start(), start());
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
    fn it_finds_the_limit_of_an_upstream_and_stays_near_it() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        let end = start().plus(seconds(20.0));
        against(&mut pace, start(), end, 20.0);
        let (answered, throttled) = against(&mut pace, end, end.plus(seconds(100.0)), 20.0);
        assert!(answered > 1200, "{answered} of 2000");
        assert!(throttled < answered / 10, "{throttled} throttled, {answered} answered");
    }

    #[test]
    fn it_is_as_fast_as_before_when_the_limit_is_gone() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        let end = start().plus(seconds(30.0));
        against(&mut pace, start(), end, 5.0);
        assert!(pace.rate() < 20.0, "{}", pace.rate());
        pace.wait(end.plus(seconds(120.0)));
        assert_eq!(pace.rate(), 1000.0);
    }

    #[test]
    fn a_read_is_paid_for_by_its_pages_and_one_that_others_made_costs_nothing() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        (0..100).for_each(|_| pace.spend(start()));
        pace.came_to(1, 0);
        assert_eq!(pace.wait(start()), Duration::ZERO);
        pace.came_to(1, 51);
        assert!(pace.wait(start()) > seconds(0.049));
    }

    #[test]
    fn what_could_not_wait_is_paid_back() {
        let mut pace = RateLimiter::new(SETTINGS, start());
        (0..150).for_each(|_| pace.spend(start()));
        assert!(pace.wait(start()) > seconds(0.05));
    }
}
