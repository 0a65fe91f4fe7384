//! Counts and rankings, compared with the model.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use sharewarden::{
    domain::{AccountId, Timestamp},
    store::{
        audit::{Count, CountQuery, Dimension, Interval, Ranking, counts, ranking},
        summaries,
    },
};
use time::{Duration as Span, OffsetDateTime};

use crate::{
    model::{self, Row, account, some},
    store::Store,
};

const DIMENSIONS: [Dimension; 4] = [
    Dimension::Account,
    Dimension::Region,
    Dimension::Action,
    Dimension::Kind,
];
const INTERVALS: [Interval; 5] = [
    Interval::Whole,
    Interval::Hour,
    Interval::Day,
    Interval::Week,
    Interval::Month,
];
const RANKINGS: [Ranking; 3] = [Ranking::Principal, Ranking::Image, Ranking::SharedAccount];

/// A store with entries that are not in the summaries yet.
async fn store_with(random: &mut Rng, entries: usize) -> (Store, Vec<Row>) {
    let store = Store::new().await;
    let rows = model::history(random, entries);
    store.insert(&rows).await;
    (store, rows)
}

fn bucket_start(interval: Interval, from: Timestamp, time: Timestamp) -> Timestamp {
    let time = time.to_offset_date_time();
    let day = time.replace_time(time::Time::MIDNIGHT);
    let start = match interval {
        Interval::Whole => return from,
        Interval::Hour => day + Span::hours(time.hour().into()),
        Interval::Day => day,
        Interval::Week => day - Span::days(time.weekday().number_days_from_monday().into()),
        Interval::Month => day.replace_day(1).unwrap(),
    };
    Timestamp::new(start).max(from)
}

type Key = (
    Timestamp,
    Option<AccountId>,
    Option<String>,
    Option<&'static str>,
    Option<&'static str>,
);

fn model_counts(rows: &[Row], query: &CountQuery, limit: u32) -> Vec<Count> {
    fn any<T: PartialEq>(values: &[T], value: Option<&T>) -> bool {
        values.is_empty() || value.is_some_and(|value| values.contains(value))
    }
    let by = |dimension| query.group_by.contains(&dimension);
    let mut sums: BTreeMap<Key, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| {
        (query.from..query.to).contains(&row.recorded_at)
            && any(&query.accounts, Some(&row.account))
            && any(&query.regions, row.region.as_ref())
            && any(&query.actions, row.action.as_ref())
            && any(&query.kinds, Some(&row.kind_name()))
    }) {
        let key = (
            bucket_start(query.interval, query.from, row.recorded_at),
            by(Dimension::Account).then_some(row.account),
            row.region
                .as_ref()
                .filter(|_| by(Dimension::Region))
                .map(ToString::to_string),
            row.action
                .filter(|_| by(Dimension::Action))
                .map(|action| action.as_str()),
            by(Dimension::Kind).then_some(row.kind),
        );
        *sums.entry(key).or_default() += 1;
    }
    let counts = sums
        .into_iter()
        .map(|((start_time, account, region, action, kind), count)| Count {
            start_time,
            account,
            region: region.map(|region| region.parse().unwrap()),
            action: action.map(str::to_owned),
            kind: kind.map(str::to_owned),
            count,
        });
    counts.take(limit as usize).collect()
}

/// A time near entries of the history, cut to an hour or to midnight.
fn some_time(random: &mut Rng, midnight: bool) -> Timestamp {
    let time: OffsetDateTime = model::time(random.u32(0..8), random.u64(0..1000)).to_offset_date_time();
    match random.u8(0..4) {
        0 => model::time(random.u32(0..8), 0),
        1 | 2 if !midnight => Timestamp::new(time.truncate_to_hour()),
        _ => Timestamp::new(time.truncate_to_day()),
    }
}

#[tokio::test]
async fn counts_match_the_model() {
    let mut random = Rng::with_seed(10);
    let (store, rows) = store_with(&mut random, 800).await;
    for round in 0..300 {
        let (one, other) = (some_time(&mut random, false), some_time(&mut random, false));
        let known = random.choice(&rows).unwrap().clone();
        let seldom = |random: &mut Rng| random.u8(0..4) == 0;
        let query = CountQuery {
            from: one.min(other),
            to: one.max(other),
            interval: *random.choice(&INTERVALS).unwrap(),
            group_by: some(&mut random, 4, |at| DIMENSIONS[at]).into_iter().skip(1).collect(),
            accounts: if seldom(&mut random) {
                some(&mut random, 6, account)
            } else {
                vec![]
            },
            regions: if seldom(&mut random) {
                known.region.iter().chain(&known.region).cloned().collect()
            } else {
                vec![]
            },
            actions: if seldom(&mut random) {
                known.action.into_iter().collect()
            } else {
                vec![]
            },
            kinds: if seldom(&mut random) {
                vec![known.kind_name(), "change.failed".parse().unwrap()]
            } else {
                vec![]
            },
        };
        let limit = if seldom(&mut random) {
            random.u32(1..20)
        } else {
            100_000
        };
        // The rollups begin empty and contain all entries at the end.
        if round % 20 == 19 {
            summaries::add(&store.database, 60).await.unwrap();
        }
        let found = counts(&store.database, &query, limit).await.unwrap();
        assert_eq!(found, model_counts(&rows, &query, limit), "round {round}: {query:?}");
    }
    assert_eq!(
        summaries::add(&store.database, 1).await.unwrap(),
        Some(0),
        "all entries are counted"
    );
}

#[tokio::test]
async fn an_empty_time_range_has_no_counts() {
    let mut random = Rng::with_seed(11);
    let (store, rows) = store_with(&mut random, 20).await;
    let at = Timestamp::new(rows[0].recorded_at.to_offset_date_time().truncate_to_hour());
    for (from, to) in [(at, at), (at + Duration::from_secs(3600), at)] {
        let query = CountQuery {
            from,
            to,
            interval: Interval::Whole,
            group_by: vec![],
            accounts: vec![],
            regions: vec![],
            actions: vec![],
            kinds: vec![],
        };
        assert_eq!(counts(&store.database, &query, 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn rankings_match_the_model() {
    let mut random = Rng::with_seed(12);
    let (store, rows) = store_with(&mut random, 600).await;
    for round in 0..150 {
        let (one, other) = (some_time(&mut random, true), some_time(&mut random, true));
        let (from, to) = (one.min(other), one.max(other));
        let ranked = *random.choice(&RANKINGS).unwrap();
        let accounts = if random.bool() {
            some(&mut random, 6, account)
        } else {
            vec![]
        };
        let top = random.u32(1..8);
        // The rankings begin empty and contain all entries at the end.
        if round % 10 == 9 {
            summaries::add(&store.database, 50).await.unwrap();
        }
        let found = ranking(&store.database, ranked, from, to, &accounts, top)
            .await
            .unwrap();

        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| {
            (from..to).contains(&row.recorded_at)
                && (accounts.is_empty() || accounts.contains(&row.account))
                && row.is_ranked
        }) {
            let value = match ranked {
                Ranking::Principal => row.principal.as_ref().map(ToString::to_string),
                Ranking::Image => row.image.as_ref().map(ToString::to_string),
                Ranking::SharedAccount => row.shared_account.map(|account| account.to_string()),
            };
            if let Some(value) = value {
                *sums.entry(value).or_default() += 1;
            }
        }
        let mut expected: Vec<_> = sums.into_iter().collect();
        expected.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        expected.truncate(top as usize);
        assert_eq!(found, expected, "round {round}: {ranked:?} {from} {to} {accounts:?}");
    }
    assert_eq!(
        summaries::add(&store.database, 1).await.unwrap(),
        Some(0),
        "all entries are counted"
    );
}
