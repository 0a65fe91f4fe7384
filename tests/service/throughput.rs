//! Group commit: concurrent changes of an account share a transaction, and its cost does not grow with the account.

use sharewarden_testkit::stack::*;

/// 20,000 accounts with one change each, and one with 300. Such statistics can make the planner search by account alone.
const ONE_LARGE_ACCOUNT: &str =
    "INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action,
        cause, principal, reason, generation, state, attempts, created_at, ended_at)
    SELECT account_id, gen_random_uuid(), gen_random_uuid(), 'eu-central-1', 'wsi-123456789', '999999999999', 'GRANT',
        'CALLER', 'ann', 'a test', 1, 'SUCCEEDED', '[]', now(), now()
    FROM (SELECT lpad(number::text, 12, '0') FROM generate_series(1, 20000) AS number
          UNION ALL SELECT '111122223333' FROM generate_series(1, 300)) AS accounts (account_id);
    INSERT INTO request SELECT account_id, request_id, change_id, principal, sha256('') FROM change;
    ANALYZE change, request";

#[tokio::test]
async fn a_grant_in_a_large_account_does_not_scan_its_changes() {
    let stack = Stack::start().await;
    sqlx::raw_sql(ONE_LARGE_ACCOUNT).execute(&stack.pool).await.unwrap();
    for number in 0..5 {
        let mut request = grant();
        request.shared_account_id = format!("50000000000{number}");
        spawn_grant(stack.client().await, request).await.unwrap().unwrap();
    }
    // Lookups of request ids use the primary key of `request`, and lookups of changes use theirs.
    let by_request = "SELECT count(*) FROM pg_stat_user_indexes WHERE indexrelname = 'request_pkey' AND idx_scan >= 5";
    until(&stack.pool, by_request, 1).await;
    let scanned = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE indexrelname IN ('change_time', 'request_pkey')";
    let scanned: i64 = sqlx::query_scalar(scanned).fetch_one(&stack.pool).await.unwrap();
    assert!(scanned < 300, "{scanned} rows of the account were scanned");
    stack.end().await;
}

#[tokio::test]
async fn concurrent_grants_on_one_account_share_their_commits() {
    let stack = Stack::start().await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(stack.client().await);
    }
    let calls: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, client)| {
            let mut request = grant();
            request.shared_account_id = format!("5000000000{number:02}");
            spawn_grant(client, request)
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // Each grant has two commands. Without group commit they would be 128 transactions.
    let commits = commits(&stack).await;
    assert!(commits <= 32, "{commits} transactions");
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 128);
    stack.end().await;
}

/// The transactions that wrote the ledger: rows of one transaction have the same `xmin`.
async fn commits(stack: &Stack) -> i64 {
    let count = "SELECT count(DISTINCT xmin::text) FROM audit_entry";
    sqlx::query_scalar(count).fetch_one(&stack.pool).await.unwrap()
}
