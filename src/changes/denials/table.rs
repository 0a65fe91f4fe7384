//! The budgets and the counts. Memory is bounded: at most [`MAX_PRINCIPALS`] principals are known by name, each with counts in at
//! most [`MAX_ACCOUNTS`] accounts. Everything beyond is counted by account only, for all other principals together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock::MonotonicInstant,
    config::DenialsConfig,
    domain::{AccountId, DenialsBody, Principal, Timestamp},
};

/// Maximum principals with a budget and counts of their own. One is removed at the first summary after its budget is full again.
const MAX_PRINCIPALS: usize = 1000;

/// Maximum accounts for which one principal has named counts. Each further account gets one shared count without a name.
const MAX_ACCOUNTS: usize = 16;

/// All budgets and counts.
#[derive(Debug)]
pub(super) struct Table {
    /// The time in which a budget regains one refusal.
    refill_every: Duration,
    /// The time in which an empty budget becomes full.
    fills_in: Duration,
    named: HashMap<Principal, Tally>,
    /// The budget and the counts of all principals without their own.
    others: Tally,
}

/// A budget and its counts.
#[derive(Debug)]
struct Tally {
    /// When the budget is full again.
    full_at: MonotonicInstant,
    counts: BTreeMap<AccountId, DenialCount>,
}

#[derive(Debug)]
struct DenialCount {
    count: u64,
    denied_by: String,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Table {
    pub(super) fn new(settings: &DenialsConfig, now: MonotonicInstant) -> Self {
        Self {
            refill_every: settings.refill_every,
            fills_in: settings.refill_every.saturating_mul(settings.burst),
            named: HashMap::new(),
            others: Tally::full(now),
        }
    }

    /// Takes one refusal from the principal's budget. False if the budget is spent.
    pub(super) fn take(&mut self, principal: &Principal, now: MonotonicInstant) -> bool {
        if !self.named.contains_key(principal) && self.named.len() < MAX_PRINCIPALS {
            self.named.insert(principal.clone(), Tally::full(now));
        }
        let tally = self.named.get_mut(principal).unwrap_or(&mut self.others);
        let full_at = tally.full_at.max(now).plus(self.refill_every);
        let is_left = full_at.since(now) <= self.fills_in;
        if is_left {
            tally.full_at = full_at;
        }
        is_left
    }

    /// Gives back one refusal that was not recorded.
    pub(super) fn give_back(&mut self, principal: &Principal) {
        let tally = self.named.get_mut(principal).unwrap_or(&mut self.others);
        tally.full_at = tally.full_at.minus(self.refill_every);
    }

    /// Counts a refusal of the principal, whose budget is spent.
    pub(super) fn count(&mut self, principal: &Principal, account: AccountId, rule: &str, at: Timestamp) {
        let named = self.named.get_mut(principal);
        let named = named.filter(|own| own.counts.len() < MAX_ACCOUNTS || own.counts.contains_key(&account));
        let counts = &mut named.unwrap_or(&mut self.others).counts;
        let count = counts.entry(account).or_insert_with(|| DenialCount {
            count: 0,
            denied_by: String::new(),
            first_at: at,
            last_at: at,
        });
        count.count += 1;
        rule.clone_into(&mut count.denied_by);
        // Calls run side by side, and the clock can be set.
        count.first_at = count.first_at.min(at);
        count.last_at = count.last_at.max(at);
    }

    /// Removes all counts, and the principals whose budget is full.
    pub(super) fn drain(&mut self, now: MonotonicInstant) -> Vec<(AccountId, Arc<DenialsBody>)> {
        let mut drained = Vec::new();
        for (principal, tally) in &mut self.named {
            tally.drain(Some(principal), &mut drained);
        }
        self.others.drain(None, &mut drained);
        self.named.retain(|_, tally| tally.full_at > now);
        drained
    }
}

impl Tally {
    fn full(now: MonotonicInstant) -> Self {
        Self {
            full_at: now,
            counts: BTreeMap::new(),
        }
    }

    fn drain(&mut self, principal: Option<&Principal>, drained: &mut Vec<(AccountId, Arc<DenialsBody>)>) {
        let counts = std::mem::take(&mut self.counts).into_iter();
        drained.extend(counts.map(|(account, count)| {
            let body = DenialsBody {
                count: count.count,
                denied_by: count.denied_by,
                first_at: count.first_at,
                last_at: count.last_at,
                principal: principal.cloned(),
            };
            (account, Arc::new(body))
        }));
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;

    use super::*;

    fn table(burst: u32) -> (Table, Clock) {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let settings = DenialsConfig {
            burst,
            refill_every: Duration::from_secs(10),
            ..DenialsConfig::default()
        };
        (Table::new(&settings, clock.monotonic_now()), clock)
    }

    fn principal(name: impl ToString) -> Principal {
        name.to_string().parse().unwrap()
    }

    fn account(number: usize) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    /// Takes from the budget, and counts if it is spent. True if the budget was not spent.
    fn refuse(table: &mut Table, clock: &Clock, principal: &Principal, number: usize) -> bool {
        let is_left = table.take(principal, clock.monotonic_now());
        if !is_left {
            table.count(principal, account(number), "a rule", clock.now());
        }
        is_left
    }

    #[test]
    fn a_budget_is_spent_after_its_burst_and_regains_one_refusal_per_interval() {
        let (mut table, clock) = table(3);
        let (greedy, modest) = (principal("greedy"), principal("modest"));
        let mut take = |principal: &Principal, clock: &Clock| table.take(principal, clock.monotonic_now());
        assert_eq!([(); 4].map(|()| take(&greedy, &clock)), [true, true, true, false]);
        assert!(take(&modest, &clock));
        clock.advance(Duration::from_millis(9_999));
        assert!(!take(&greedy, &clock));
        clock.advance(Duration::from_millis(1));
        assert_eq!([(); 2].map(|()| take(&greedy, &clock)), [true, false]);
        clock.advance(Duration::from_secs(3600));
        assert_eq!([(); 4].map(|()| take(&greedy, &clock)), [true, true, true, false]);
    }

    #[test]
    fn refusals_over_the_budget_are_counted_by_principal_and_account_and_drained_once() {
        let (mut table, clock) = table(1);
        let (one, other) = (principal("one"), principal("other"));
        assert!(refuse(&mut table, &clock, &one, 1) && refuse(&mut table, &clock, &other, 1));
        let start = clock.now();
        for _ in 0..5 {
            assert!(!refuse(&mut table, &clock, &one, 1));
            clock.advance(Duration::from_secs(1));
        }
        assert!(!refuse(&mut table, &clock, &one, 2));
        assert!(!refuse(&mut table, &clock, &other, 1));
        let mut counts: Vec<_> = table
            .drain(clock.monotonic_now())
            .into_iter()
            .map(|(account, body)| {
                (
                    body.principal.clone().unwrap(),
                    account,
                    body.count,
                    body.first_at,
                    body.last_at,
                )
            })
            .collect();
        counts.sort();
        let (last, now) = (start + Duration::from_secs(4), clock.now());
        assert_eq!(
            counts,
            [
                (one.clone(), account(1), 5, start, last),
                (one, account(2), 1, now, now),
                (other, account(1), 1, now, now)
            ]
        );
        assert!(table.drain(clock.monotonic_now()).is_empty());
    }

    #[test]
    fn the_accounts_of_a_principal_beyond_the_maximum_are_counted_without_its_name() {
        let (mut table, clock) = table(1);
        let (greedy, modest) = (principal("greedy"), principal("modest"));
        assert!(refuse(&mut table, &clock, &greedy, 0) && refuse(&mut table, &clock, &modest, 0));
        for number in 0..MAX_ACCOUNTS + 3 {
            assert!(!refuse(&mut table, &clock, &greedy, number));
            assert!(!refuse(&mut table, &clock, &greedy, number));
        }
        assert!(!refuse(&mut table, &clock, &modest, MAX_ACCOUNTS + 1));
        let counts = table.drain(clock.monotonic_now());
        let count = |principal: Option<&Principal>| {
            let counts = counts.iter().filter(|(_, body)| body.principal.as_ref() == principal);
            counts.map(|(_, body)| body.count).collect::<Vec<_>>()
        };
        assert_eq!(count(Some(&greedy)), [2; MAX_ACCOUNTS]);
        assert_eq!(count(Some(&modest)), [1]);
        assert_eq!(count(None), [2; 3]);
    }

    #[test]
    fn principals_beyond_the_maximum_share_a_budget_and_leave_room_when_theirs_is_full() {
        let (mut table, clock) = table(2);
        for number in 0..MAX_PRINCIPALS {
            assert!(refuse(&mut table, &clock, &principal(number), 1));
        }
        let late = ["a", "b", "c", "d"].map(|name| refuse(&mut table, &clock, &principal(name), 1));
        assert_eq!(late, [true, true, false, false]);
        assert!(
            refuse(&mut table, &clock, &principal(0), 1),
            "a known principal keeps its own budget"
        );
        assert_eq!(table.named.len(), MAX_PRINCIPALS);
        let counts = table.drain(clock.monotonic_now());
        let [(_, body)] = &counts[..] else {
            panic!("{counts:?}");
        };
        assert_eq!((body.count, &body.principal), (2, &None));
        clock.advance(Duration::from_secs(10));
        assert!(table.drain(clock.monotonic_now()).is_empty());
        assert_eq!(table.named.len(), 1, "only one has not regained all");
        assert!(refuse(&mut table, &clock, &principal("c"), 1));
    }
}
