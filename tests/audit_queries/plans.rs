//! A page of a million entries is found by an index, and few rows are read besides the page. The tests compare the counters of
//! Postgres, not its plans.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    domain::{AccountId, Action, Cause, EntryKind, KindName, PermissionKey, Timestamp},
    store::{
        Database,
        audit::{EntryFilter, Order, PageLimit, Share, entries, grants_at},
    },
};
use sqlx::PgPool;

use crate::store::Store;

const ENTRIES: u32 = 1_000_000;
const PAGE: u32 = 100;
/// The longest wait of these tests.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A filter and the cost that a page of it may have.
struct Case {
    name: &'static str,
    filter: EntryFilter,
    /// The maximum number of fetched entries.
    max_fetched: i64,
    /// The only index that may be used. `None` allows any index.
    index: Option<&'static str>,
}

impl Case {
    fn by(self, index: &'static str) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }
}

/// The index of the rare kinds.
const RARE_KINDS_INDEX: &str = "audit_entry_unusual";

fn case(name: &'static str, max_fetched: i64, set: impl FnOnce(&mut EntryFilter)) -> Case {
    let mut filter = EntryFilter::default();
    set(&mut filter);
    Case {
        name,
        filter,
        max_fetched,
        index: None,
    }
}

fn account(number: usize) -> AccountId {
    format!("{number:1>12}").parse().unwrap()
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

/// Maximum entries fetched for a single condition: the page, and one entry for each partition that is searched at once.
const MAX_FETCHED: i64 = PAGE as i64 + 30;

/// The same for rare values. The search widens its time span up to two times, and each span costs as much as the first.
const MAX_FETCHED_RARE: i64 = 3 * MAX_FETCHED;

fn single_conditions() -> Vec<Case> {
    let change = "00000000-0000-0000-0000-00000001e240"; // the change of entries 246912 and 246913
    vec![
        case("nothing", MAX_FETCHED, |_| {}),
        case("account", MAX_FETCHED, |f| f.accounts = vec![account(42)]),
        case("5 accounts", 5 * MAX_FETCHED, |f| {
            f.accounts = (0..5).map(account).collect()
        }),
        case("100 accounts", 100 * MAX_FETCHED, |f| {
            f.accounts = (0..100).map(account).collect()
        }),
        case("frequent Region", MAX_FETCHED, |f| {
            f.regions = vec!["eu-central-1".parse().unwrap()]
        }),
        case("rare Region", MAX_FETCHED_RARE, |f| {
            f.regions = vec!["ap-south-1".parse().unwrap()]
        }),
        case("2 Regions", 2 * MAX_FETCHED_RARE, |f| {
            f.regions = vec!["us-east-1".parse().unwrap(), "ap-south-1".parse().unwrap()];
        }),
        case("Region without entries", 0, |f| {
            f.regions = vec!["sa-east-1".parse().unwrap()]
        }),
        case("image", MAX_FETCHED, |f| {
            f.image = Some("wsi-000000777".parse().unwrap())
        }),
        case("shared account", MAX_FETCHED_RARE, |f| {
            f.shared_account = Some("222222222333".parse().unwrap())
        }),
        case("frequent principal", MAX_FETCHED, |f| {
            f.principals = vec!["pipeline".parse().unwrap()]
        }),
        case("rare principal", MAX_FETCHED_RARE, |f| {
            f.principals = vec!["user-7".parse().unwrap()]
        }),
        case("principal in old entries only", MAX_FETCHED_RARE, |f| {
            f.principals = vec!["retired".parse().unwrap()]
        }),
        case("3 principals", 3 * MAX_FETCHED_RARE, |f| {
            f.principals = ["pipeline", "user-7", "retired"]
                .map(|name| name.parse().unwrap())
                .to_vec();
        }),
        case("GRANT", 2 * MAX_FETCHED, |f| f.actions = vec![Action::Grant]),
        case("REVOKE", MAX_FETCHED_RARE, |f| f.actions = vec![Action::Revoke]),
        case("REQUESTED", 4 * MAX_FETCHED, |f| {
            f.kinds = vec![kind(EntryKind::ChangeRequested)]
        }),
        case("SUCCEEDED", 4 * MAX_FETCHED, |f| {
            f.kinds = vec![kind(EntryKind::ChangeSucceeded)]
        }),
        case("DENIED", MAX_FETCHED_RARE, |f| {
            f.kinds = vec![kind(EntryKind::ChangeDenied)]
        })
        .by(RARE_KINDS_INDEX),
        case("FAILED", MAX_FETCHED_RARE, |f| {
            f.kinds = vec![kind(EntryKind::ChangeFailed)]
        })
        .by(RARE_KINDS_INDEX),
        case("SUPERSEDED", MAX_FETCHED_RARE, |f| {
            f.kinds = vec![kind(EntryKind::ChangeSuperseded)]
        })
        .by(RARE_KINDS_INDEX),
        case("a kind that this build does not know", MAX_FETCHED_RARE, |f| {
            f.kinds = vec!["test.invented".parse().unwrap()]
        })
        .by(RARE_KINDS_INDEX),
        case("a kind without entries", 0, |f| {
            f.kinds = vec!["test.nowhere".parse().unwrap()]
        })
        .by(RARE_KINDS_INDEX),
        case("FAILED or DENIED", 2 * MAX_FETCHED_RARE, |f| {
            f.kinds = vec![kind(EntryKind::ChangeFailed), kind(EntryKind::ChangeDenied)]
        })
        .by(RARE_KINDS_INDEX),
        case(
            "FAILED or a kind that this build does not know",
            2 * MAX_FETCHED_RARE,
            |f| f.kinds = vec![kind(EntryKind::ChangeFailed), "test.invented".parse().unwrap()],
        )
        .by(RARE_KINDS_INDEX),
        case("cause", MAX_FETCHED, |f| f.causes = vec![Cause::Caller]),
        case("change", 2, |f| f.change = Some(change.parse().unwrap())),
        case("request", 2, |f| f.request = Some(change.parse().unwrap())),
        case("AWS request", 1, |f| f.aws_request = Some("aws-333333".into())),
        case("a month", MAX_FETCHED, |f| {
            (f.from, f.to) = (time("2026-03-01T00:00:00Z"), time("2026-04-01T00:00:00Z"))
        }),
        case("a time range without entries", 0, |f| {
            f.to = time("2020-01-01T00:00:00Z")
        }),
        case("rare text", 3000, |f| f.text = Some("IMAGE 77 for".into())),
        case("frequent text", 20 * MAX_FETCHED, |f| f.text = Some("emergency".into())),
        case("text in old entries only", 10_000, |f| {
            f.text = Some("forgotten".into())
        }),
        case("text of a ticket", 3000, |f| f.text = Some("ops-7777".into())),
        case("text without entries", 2000, |f| f.text = Some("zebra".into())),
    ]
}

fn combinations() -> Vec<Case> {
    let failed = vec![
        kind(EntryKind::ChangeFailed),
        kind(EntryKind::ChangeDenied),
        kind(EntryKind::ChangeSuperseded),
    ];
    let month = (time("2026-03-10T00:00:00Z"), time("2026-03-20T00:00:00Z"));
    vec![
        case("account, Region, principal", 3000, |f| {
            f.accounts = vec![account(42)];
            f.regions = vec!["ap-south-1".parse().unwrap()];
            f.principals = vec!["pipeline".parse().unwrap()];
        }),
        case("account, principal in old entries only", 3000, |f| {
            f.accounts = vec![account(42)];
            f.principals = vec!["retired".parse().unwrap()];
        }),
        case("5 accounts, kinds of failures", 9000, |f| {
            f.accounts = (0..5).map(account).collect();
            f.kinds = failed.clone();
        }),
        case("account, kinds of failures, a time range", 2000, |f| {
            f.accounts = vec![account(42)];
            f.kinds = failed.clone();
            (f.from, f.to) = month;
        }),
        case("frequent principal, Region, REVOKE, SUCCEEDED", 5000, |f| {
            f.principals = vec!["pipeline".parse().unwrap()];
            f.regions = vec!["eu-central-1".parse().unwrap()];
            f.actions = vec![Action::Revoke];
            f.kinds = vec![kind(EntryKind::ChangeSucceeded)];
        }),
        case("account, rare text", 3000, |f| {
            f.accounts = vec![account(42)];
            f.text = Some("image 77 for".into());
        }),
        case("5 accounts, frequent text", 20_000, |f| {
            f.accounts = (0..5).map(account).collect();
            f.text = Some("emergency".into());
        }),
        case("shared account, 2 Regions", 1000, |f| {
            f.shared_account = Some("222222222333".parse().unwrap());
            f.regions = vec!["us-east-1".parse().unwrap(), "ap-south-1".parse().unwrap()];
        }),
        case("image, principal in old entries only", 200, |f| {
            f.image = Some("wsi-000000777".parse().unwrap());
            f.principals = vec!["retired".parse().unwrap()];
        }),
        case("REQUESTED by a principal", 1000, |f| {
            f.kinds = vec![kind(EntryKind::ChangeRequested)];
            f.principals = vec!["user-7".parse().unwrap()];
        }),
        case("20 accounts, 2 Regions, a time range", 20_000, |f| {
            f.accounts = (0..20).map(account).collect();
            f.regions = vec!["us-east-1".parse().unwrap(), "ap-south-1".parse().unwrap()];
            (f.from, f.to) = month;
        }),
    ]
}

#[tokio::test]
async fn every_filter_on_a_million_entries_reads_little_besides_its_page() {
    let store = Store::new().await;
    load(&store).await;
    let mut violations = Vec::new();
    for case in single_conditions().into_iter().chain(combinations()) {
        let Case {
            name,
            filter,
            max_fetched,
            index,
        } = case;
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let before = counters(&store.pool).await;
            let by_index_before = counters_of(&store.pool, index).await;
            let found = page(&store, &filter, order).await;
            let after = counters(&store.pool).await;
            let by_index = counters_of(&store.pool, index).await;
            let took = duration(&store, &filter, order).await;
            let (scans, scanned, read) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
            println!(
                "{name:<50} {order:?}: {:8.2} ms, {found:>3} found, {read:>6} fetched",
                took.as_secs_f64() * 1000.0
            );
            if scans > 0 || scanned > 0 {
                violations.push(format!(
                    "{name}, {order:?}: {scans} sequential scans of partitions, {scanned} entries"
                ));
            }
            if read > max_fetched {
                violations.push(format!(
                    "{name}, {order:?}: {read} entries fetched, more than {max_fetched}"
                ));
            }
            let (uses, read_by_it) = (by_index.0 - by_index_before.0, by_index.1 - by_index_before.1);
            if index.is_some() && (uses == 0 || read_by_it != read) {
                violations.push(format!(
                    "{name}, {order:?}: {index:?} was used {uses} times for {read_by_it} of {read} entries"
                ));
            }
        }
    }
    for (name, limit, max_fetched) in [
        ("100 shares of 100 images", 100, 100 * PER_IMAGE),
        ("a share", 1, PER_IMAGE),
    ] {
        let shares = some_shares(&store, limit).await;
        let before = counters(&store.pool).await;
        let database = store.connect(1);
        let now = Clock::system().now();
        let granted = grants_at(&database, now, &shares).await.unwrap();
        close(&store, database).await;
        let after = counters(&store.pool).await;
        let (scans, scanned, read) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        println!("the grants of {name}: {} found, {read} fetched", granted.len());
        assert!(granted.len() >= shares.len());
        if scans > 0 || scanned > 0 || read > max_fetched {
            violations.push(format!(
                "the grants of {name}: {scans} sequential scans, {scanned} entries, and {read} fetched, more than {max_fetched}"
            ));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// More than the entries of an image: the grants of shares are found among the entries of their images.
const PER_IMAGE: i64 = 80;

/// Shares that began with different entries of the first months.
async fn some_shares(store: &Store, limit: i64) -> Vec<Share> {
    let sql = "SELECT account_id, region, image_id, shared_account_id, recorded_at, log_index FROM audit_entry
        WHERE kind = 'change.succeeded' AND action = 'GRANT' AND recorded_at < '2026-02-01Z' AND shared_account_id <> account_id
        ORDER BY recorded_at LIMIT $1";
    let rows: Vec<(String, String, String, String, time::OffsetDateTime, i64)> =
        sqlx::query_as(sql).bind(limit).fetch_all(&store.pool).await.unwrap();
    let shares = rows
        .into_iter()
        .map(|(account, region, image, shared_account, start, index)| Share {
            key: PermissionKey {
                account: account.parse().unwrap(),
                region: region.parse().unwrap(),
                image: image.parse().unwrap(),
                shared_account: shared_account.parse().unwrap(),
            },
            start_time: Timestamp::new(start),
            start_index: index.unsigned_abs(),
            end: None,
        });
    shares.collect()
}

/// Reads a page on its own connection. Postgres reports the statistics of a connection at the latest when it ends.
async fn page(store: &Store, filter: &EntryFilter, order: Order) -> usize {
    let database = store.connect(1);
    let found = entries(
        &database,
        filter,
        order,
        None,
        PageLimit::entries(PAGE),
        Clock::system().now(),
        |_| (),
    )
    .await
    .unwrap()
    .entries
    .len();
    close(store, database).await;
    found
}

pub(crate) async fn close(store: &Store, database: Database) {
    database.close().await;
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'sharewarden'";
    let ended = async {
        while sqlx::query_scalar::<_, i64>(others)
            .fetch_one(&store.pool)
            .await
            .unwrap()
            > 0
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ended)
        .await
        .expect("the connections end in time");
}

/// The best of five durations of a page on an open connection. It is printed only, and no test asserts it.
async fn duration(store: &Store, filter: &EntryFilter, order: Order) -> Duration {
    let database = store.connect(1);
    let clock = Clock::system();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = clock.monotonic_now();
        entries(
            &database,
            filter,
            order,
            None,
            PageLimit::entries(PAGE),
            Clock::system().now(),
            |_| (),
        )
        .await
        .unwrap();
        best = best.min(clock.monotonic_now().since(begun));
    }
    close(store, database).await;
    best
}

/// The number of sequential scans of non-empty partitions, of entries read by sequential scans, and of entries fetched through
/// indexes.
async fn counters(pool: &PgPool) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT (sum(seq_scan) FILTER (WHERE pg_relation_size(relid) > 0))::bigint, sum(seq_tup_read)::bigint,
             sum(coalesce(idx_tup_fetch, 0))::bigint
         FROM pg_stat_user_tables WHERE relname LIKE 'audit_entry%'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// The number of scans of the partitions' indexes that belong to `index`, and of entries fetched through them.
async fn counters_of(pool: &PgPool, index: Option<&str>) -> (i64, i64) {
    sqlx::query_as(
        "SELECT coalesce(sum(idx_scan), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
         FROM pg_stat_user_indexes JOIN pg_inherits ON inhrelid = indexrelid WHERE inhparent = to_regclass($1)",
    )
    .bind(index)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Loads a year of entries. Some principals and reasons occur only in its first days.
async fn load(store: &Store) {
    store
        .execute("SELECT create_audit_partitions('2025-12-01T00:00:00Z', 14)")
        .await;
    // Two halves in parallel use more than one core.
    let halves = [(0, ENTRIES / 2 - 1), (ENTRIES / 2, ENTRIES - 1)];
    tokio::join!(
        store.execute(entries_between(halves[0].0, halves[0].1)),
        store.execute(entries_between(halves[1].0, halves[1].1))
    );
    store
        .execute(
            "INSERT INTO ledger SELECT account_id, 0, '', sha256(''), max(recorded_at) FROM audit_entry GROUP BY 1",
        )
        .await;
    store.execute("VACUUM ANALYZE audit_entry").await;
}

fn entries_between(first: u32, last: u32) -> String {
    format!(
        "INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
             reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, is_ranked, leaf_hash,
             entry)
         SELECT lpad(account::text, 12, '1'), g, timestamptz '2025-12-01' + g * (interval '355 days' / {ENTRIES}),
             kind, CASE WHEN h % 7 = 0 THEN 'REVOKE' ELSE 'GRANT' END, 'CALLER',
             CASE WHEN kind <> 'change.denied' THEN id END, id,
             CASE WHEN h % 10 < 6 THEN 'pipeline' WHEN old AND h % 2 = 0 THEN 'retired' ELSE 'user-' || h % 211 END,
             (ARRAY['release of the', 'rollout for', 'emergency fix of', 'test with', 'yearly renewal of'])[1 + h % 5]
                 || ' image ' || h % 9973 || ' for team ' || h % 53
                 || CASE WHEN old AND h % 3 = 0 THEN ', forgotten' ELSE '' END,
             CASE WHEN h % 3 = 0 THEN 'OPS-' || h % 50021 END,
             CASE h % 8 WHEN 0 THEN 'ap-south-1' WHEN 1 THEN 'us-east-1' WHEN 2 THEN 'us-east-1' WHEN 3 THEN 'eu-west-1'
                 ELSE 'eu-central-1' END,
             'wsi-' || lpad((h % 20011)::text, 9, '0'), lpad((h % 503)::text, 12, '2'),
             CASE WHEN kind <> 'change.denied' THEN 1 END,
             CASE WHEN kind IN ('change.succeeded', 'change.failed') THEN 'aws-' || g END,
             CASE WHEN kind = 'change.failed' THEN 'IMAGE_NOT_FOUND' END,
             kind IN ('change.requested', 'change.denied'),
             sha256(g::text::bytea), repeat('x', 500) || g
         FROM (
             SELECT g, h, lpad(to_hex(g / 2), 32, '0')::uuid AS id, h / 7 % 100 AS account, g < {ENTRIES} / 50 AS old,
                 CASE WHEN h % 101 < 3 THEN 'change.denied' WHEN g % 2 = 0 THEN 'change.requested' WHEN h % 101 < 6 THEN 'change.failed'
                     WHEN h % 101 = 6 THEN 'change.superseded' WHEN h % 101 = 7 THEN 'test.invented' ELSE 'change.succeeded'
                     END AS kind
             FROM (
                 SELECT g, hashint8(g / 2)::bigint + 2147483648 AS h FROM generate_series({first}, {last}) AS g
             ) AS hashed
         ) AS made"
    )
}

fn kind(kind: EntryKind) -> KindName {
    kind.name().parse().unwrap()
}
