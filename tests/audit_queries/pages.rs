//! Pages of entries: contents, order and concurrent readers.

use fastrand::Rng;
use sharewarden::clock::Clock;
use sharewarden::store::audit::{EntryFilter, EntryPosition, Order, PageLimit, StoredEntry, entries, entry, range};

use crate::{
    model::{self, Row, matches, some_order, sorted},
    store::Store,
};

/// A history in several partitions. Entries of months without a partition are in the default one.
async fn store_with_history(random: &mut Rng, entries: usize) -> (Store, Vec<Row>) {
    let store = Store::new().await;
    for month in ["2026-01", "2026-02", "2026-04"] {
        store.partition(month).await;
    }
    let rows = model::history(random, entries);
    store.insert(&rows).await;
    (store, rows)
}

async fn all_pages(store: &Store, filter: &EntryFilter, order: Order, limit: u32) -> Vec<StoredEntry<'static>> {
    let mut found: Vec<StoredEntry<'static>> = Vec::new();
    loop {
        let after = found.last().map(StoredEntry::position);
        let page = entries(
            &store.database,
            filter,
            order,
            after.as_ref(),
            PageLimit::entries(limit),
            Clock::system().now(),
            |entry| entry.into_owned(),
        )
        .await
        .unwrap()
        .entries;
        let full = page.len() == limit as usize;
        assert!(page.len() <= limit as usize);
        found.extend(page);
        if !full {
            return found;
        }
    }
}

#[tokio::test]
async fn random_filter_combinations_match_the_model() {
    let mut random = Rng::with_seed(3);
    let (store, rows) = store_with_history(&mut random, 700).await;
    for round in 0..400 {
        let filter = model::filter(&mut random, &rows);
        let order = some_order(&mut random);
        let expected = sorted(rows.iter().filter(|row| matches(&filter, row)), order);
        let limit = random.u32(1..(expected.len() as u32 / 3).max(3));
        let found = all_pages(&store, &filter, order, limit).await;
        assert_eq!(found, expected, "round {round}: {filter:?} {order:?}, {limit} a page");
    }
}

/// One filter for each field, with a value that one of these rows has.
fn single_filters(rows: &[&Row]) -> Vec<EntryFilter> {
    fn value<T>(rows: &[&Row], of: impl Fn(&Row) -> Option<T>) -> T {
        rows.iter()
            .find_map(|row| of(row))
            .expect("one of the rows has a value")
    }
    let none = EntryFilter::default;
    let first = rows[0];
    vec![
        EntryFilter {
            accounts: vec![first.account],
            ..none()
        },
        EntryFilter {
            regions: vec![value(rows, |row| row.region.clone())],
            ..none()
        },
        EntryFilter {
            image: Some(value(rows, |row| row.image.clone())),
            ..none()
        },
        EntryFilter {
            shared_account: Some(value(rows, |row| row.shared_account)),
            ..none()
        },
        EntryFilter {
            principals: vec![value(rows, |row| row.principal.clone())],
            ..none()
        },
        EntryFilter {
            actions: vec![value(rows, |row| row.action)],
            ..none()
        },
        EntryFilter {
            kinds: vec![first.kind_name()],
            ..none()
        },
        EntryFilter {
            causes: vec![value(rows, |row| row.cause)],
            ..none()
        },
        EntryFilter {
            change: Some(value(rows, |row| row.change)),
            ..none()
        },
        EntryFilter {
            request: Some(value(rows, |row| row.request)),
            ..none()
        },
        EntryFilter {
            aws_request: Some(value(rows, |row| row.aws_request.clone())),
            ..none()
        },
        EntryFilter {
            from: Some(first.recorded_at),
            ..none()
        },
        EntryFilter {
            to: Some(first.recorded_at),
            ..none()
        },
        EntryFilter {
            text: Some(value(rows, |row| row.reason.clone())),
            ..none()
        },
        EntryFilter {
            text: Some(value(rows, |row| row.ticket.clone())),
            ..none()
        },
        EntryFilter {
            text: Some("ROLLout".into()),
            ..none()
        },
        none(),
    ]
}

#[tokio::test]
async fn each_single_filter_matches_the_model() {
    let mut random = Rng::with_seed(4);
    let (store, rows) = store_with_history(&mut random, 300).await;
    let mut shuffled: Vec<_> = rows.iter().collect();
    random.shuffle(&mut shuffled);
    let (unknown, known): (Vec<_>, Vec<_>) = shuffled.into_iter().partition(|row| row.is_unknown());
    for filter in single_filters(&known).into_iter().chain(single_filters(&unknown)) {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let expected = sorted(rows.iter().filter(|row| matches(&filter, row)), order);
            assert_eq!(all_pages(&store, &filter, order, 50).await, expected, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn paging_returns_each_initial_entry_once_while_entries_are_added() {
    let mut random = Rng::with_seed(5);
    let (store, mut rows) = store_with_history(&mut random, 300).await;
    let mut next_index = 1_000_000;
    for round in 0..40 {
        let filter = model::filter(&mut random, &rows);
        let order = some_order(&mut random);
        let before = sorted(rows.iter().filter(|row| matches(&filter, row)), order);
        let mut read: Vec<StoredEntry<'static>> = Vec::new();
        loop {
            let after = read.last().map(StoredEntry::position);
            let page = entries(
                &store.database,
                &filter,
                order,
                after.as_ref(),
                PageLimit::entries(20),
                Clock::system().now(),
                |entry| entry.into_owned(),
            )
            .await
            .unwrap()
            .entries;
            let added = some_new_rows(&mut random, &mut next_index);
            let (adding, _) = tokio::join!(
                async {
                    store.insert(&added).await;
                    added
                },
                // A second reader at the same time.
                entries(
                    &store.database,
                    &filter,
                    order,
                    after.as_ref(),
                    PageLimit::entries(20),
                    Clock::system().now(),
                    |entry| entry.into_owned(),
                )
            );
            rows.extend(adding);
            let full = page.len() == 20;
            read.extend(page);
            if !full {
                break;
            }
        }
        let old: Vec<_> = read.iter().filter(|entry| before.contains(entry)).cloned().collect();
        assert_eq!(old, before, "round {round}: {filter:?} {order:?}");
        assert!(read.is_sorted_by(|one, next| in_order(order, &one.position(), &next.position())));
    }
}

fn in_order(order: Order, one: &EntryPosition, next: &EntryPosition) -> bool {
    match order {
        Order::NewestFirst => one > next,
        Order::OldestFirst => one < next,
    }
}

fn some_new_rows(random: &mut Rng, next_index: &mut u64) -> Vec<Row> {
    (0..random.usize(0..6))
        .map(|_| {
            *next_index += 1;
            let (account, month, part) = (random.usize(0..5), random.u32(0..7), random.u64(0..1000));
            model::row(random, account, *next_index, model::time(month, part))
        })
        .collect()
}

#[tokio::test]
async fn a_permissions_history_has_exactly_its_entries() {
    let mut random = Rng::with_seed(6);
    let (store, rows) = store_with_history(&mut random, 700).await;
    let all: Vec<_> = rows.iter().filter_map(Row::key).collect();
    let mut keys: Vec<_> = (0..60).map(|_| random.choice(&all).unwrap().clone()).collect();
    // Few entries of unknown kinds have all columns of a key. All of these are added.
    let unknown = rows.iter().filter(|row| row.is_unknown());
    keys.extend(unknown.filter_map(Row::key));
    assert!(keys.len() > 60, "an entry of an unknown kind has a key");
    for key in keys {
        let order = some_order(&mut random);
        let expected = sorted(rows.iter().filter(|row| row.key().as_ref() == Some(&key)), order);
        let found = all_pages(&store, &EntryFilter::about(&key), order, 2).await;
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_ledger_is_read_by_index() {
    let mut random = Rng::with_seed(7);
    let (store, rows) = store_with_history(&mut random, 300).await;
    let account = model::account(2);
    let ledger: Vec<_> = rows
        .iter()
        .filter(|row| row.account == account)
        .map(Row::stored)
        .collect();
    for (start, end, limit) in [
        (0, u64::MAX, 1000),
        (3, 9, 100),
        (3, 9, 4),
        (5, 5, 10),
        (9, 3, 10),
        (u64::MAX, u64::MAX, 1),
    ] {
        let owned = |entry: StoredEntry<'_>| entry.into_owned();
        let found = range(&store.database, account, start, end, limit, usize::MAX, owned)
            .await
            .unwrap();
        let expected: Vec<_> = ledger
            .iter()
            .filter(|entry| (start..end).contains(&entry.log_index))
            .take(limit as usize)
            .cloned()
            .collect();
        assert_eq!(found, expected, "{start}..{end}, {limit}");
    }
    for expected in &ledger {
        let found = entry(&store.database, account, expected.log_index).await.unwrap();
        assert_eq!(found.as_ref(), Some(expected));
    }
    for index in [ledger.len() as u64, u64::MAX] {
        assert_eq!(entry(&store.database, account, index).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_empty_history_has_no_entries() {
    let store = Store::new().await;
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let found = entries(
            &store.database,
            &EntryFilter::default(),
            order,
            None,
            PageLimit::entries(10),
            Clock::system().now(),
            |entry| entry.into_owned(),
        )
        .await
        .unwrap()
        .entries;
        assert_eq!(found, []);
    }
}

/// The connection cache keeps each connection with the planner settings of its last query. Every query must get a connection, and
/// earlier settings must not change its result.
#[tokio::test]
async fn concurrent_queries_on_two_connections_return_correct_pages() {
    let mut random = Rng::with_seed(11);
    let (store, rows) = store_with_history(&mut random, 300).await;
    let small_pool = store.connect(2);
    let filters: Vec<_> = (0..120).map(|_| model::filter(&mut random, &rows)).collect();
    let read = |filter: &EntryFilter| {
        let (small_pool, filter) = (small_pool.clone(), filter.clone());
        tokio::spawn(async move {
            let now = Clock::system().now();
            let make = |entry: StoredEntry<'_>| entry.into_owned();
            let found = entries(
                &small_pool,
                &filter,
                Order::NewestFirst,
                None,
                PageLimit::entries(50),
                now,
                make,
            )
            .await;
            found.unwrap().entries
        })
    };
    let reading: Vec<_> = filters.iter().map(read).collect();
    for (filter, found) in filters.iter().zip(reading) {
        let mut expected = sorted(rows.iter().filter(|row| matches(filter, row)), Order::NewestFirst);
        expected.truncate(50);
        assert_eq!(found.await.unwrap(), expected, "{filter:?}");
    }
    small_pool.close().await;
}
