//! The cost of a page of changes: ended changes do not slow down queries for pending ones.

use sharewarden::{
    domain::ChangeState,
    store::{
        audit::Order,
        changes::{ChangeFilter, changes},
    },
};

use crate::{plans::close, store::Store};

const PAGE: u32 = 50;

/// Loads 100,000 changes of 20 accounts. 200 of them are pending, and one of these is in doubt.
async fn load(store: &Store) {
    store
        .execute(
            "INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, generation, state, attempts, created_at, ended_at)
             SELECT lpad((n % 20)::text, 12, '1'), md5(n::text)::uuid, md5(n::text)::uuid, 'eu-central-1', 'wsi-basewin11',
                 to_char(n, 'FM000000000000'), 'GRANT', 'CALLER', 'somebody', 'a test', 1,
                 CASE WHEN pending THEN 'PENDING' ELSE 'SUCCEEDED' END, '[]', time, CASE WHEN NOT pending THEN time END
             FROM (SELECT n, n % 500 = 0 AS pending, timestamptz '2026-01-01' + n * interval '1 second' AS time
                   FROM generate_series(1, 100000) AS n) AS made;
             INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, generation,
                 current_change_id, lease_epoch, in_doubt, next_attempt_at, created_at, updated_at)
             SELECT account_id, region, image_id, shared_account_id, 'SHARED', 1, change_id, 1,
                 created_at = timestamptz '2026-01-01' + interval '500 seconds', now(), created_at, created_at
             FROM change WHERE state = 'PENDING';
             INSERT INTO ledger SELECT account_id, 0, '', sha256(''), max(created_at) FROM change GROUP BY 1",
        )
        .await;
    store.execute("VACUUM ANALYZE change, share_permission, ledger").await;
}

/// The number of sequential scans, and of rows fetched through indexes.
async fn counters(store: &Store) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(seq_scan)::bigint, sum(coalesce(idx_tup_fetch, 0))::bigint
         FROM pg_stat_user_tables WHERE relname = 'change'",
    )
    .fetch_one(&store.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_page_of_changes_fetches_few_rows_besides_its_own() {
    let store = Store::new().await;
    load(&store).await;
    let none = ChangeFilter::default;
    let account = |number: usize| format!("{number:1>12}").parse().unwrap();
    let pending = || ChangeFilter {
        states: vec![ChangeState::Pending],
        ..none()
    };
    let in_doubt = ChangeFilter {
        in_doubt: true,
        ..none()
    };
    let cases = [
        ("everything", none(), PAGE as usize, 20 * i64::from(PAGE)),
        (
            "two accounts",
            ChangeFilter {
                accounts: vec![account(1), account(2)],
                ..none()
            },
            PAGE as usize,
            2 * i64::from(PAGE),
        ),
        ("pending", pending(), PAGE as usize, i64::from(PAGE)),
        (
            "pending of an account without any",
            ChangeFilter {
                accounts: vec![account(1)],
                ..pending()
            },
            0,
            200,
        ),
        ("in doubt", in_doubt, 1, 200),
    ];
    let mut violations = Vec::new();
    for (name, filter, found, max_fetched) in cases {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let before = counters(&store).await;
            // Postgres reports the statistics of a connection at the latest when it ends.
            let database = store.connect(1);
            let page = changes(&database, &filter, order, None, PAGE, |_| true).await.unwrap();
            close(&store, database).await;
            let after = counters(&store).await;
            let (scans, fetched) = (after.0 - before.0, after.1 - before.1);
            println!("{name:<40} {order:?}: {} found, {fetched} fetched", page.len());
            assert_eq!(page.len(), found, "{name}");
            if scans > 0 || fetched > max_fetched {
                violations.push(format!(
                    "{name}, {order:?}: {scans} sequential scans, {fetched} rows fetched"
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
