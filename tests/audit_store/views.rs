//! The views of the schema `reporting`, as `docs/sql-views.md` documents them.

use std::{collections::BTreeMap, time::Duration};

use sharewarden::proto::v1::GrantSharePermissionRequest;
use sharewarden_simulator::{Effect, Fault};
use sharewarden_testkit::stack::*;
use sqlx::{PgPool, Row};

const DOCUMENT: &str = include_str!("../../docs/sql-views.md");

#[tokio::test]
async fn the_views_have_the_documented_columns_in_order() {
    let stack = Stack::start().await;
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT relname::text, attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
         JOIN pg_class ON attrelid = pg_class.oid
         WHERE relnamespace = 'reporting'::regnamespace AND attnum > 0 ORDER BY relname, attnum",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    let mut views: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (view, column, kind) in rows {
        views.entry(view).or_default().push((column, kind));
    }
    assert_eq!(views, documented());
    let undescribed: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'reporting'::regnamespace AND obj_description(oid, 'pg_class') IS NULL",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    assert_eq!(undescribed, [""; 0], "each view has a comment");
    stack.end().await;
}

/// The views of the document, with the names and types of their columns. Each view is a heading with a table.
fn documented() -> BTreeMap<String, Vec<(String, String)>> {
    let mut views: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut view = String::new();
    for line in DOCUMENT.lines() {
        if let Some(name) = line.strip_prefix("## reporting.") {
            view = name.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let (column, rest) = row.split_once("` | ").unwrap();
            let (kind, _) = rest.split_once(" | ").unwrap();
            views
                .entry(view.clone())
                .or_default()
                .push((column.to_owned(), kind.to_owned()));
        }
    }
    views
}

#[tokio::test]
async fn the_documented_examples_run_and_the_views_are_correct() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let to = |recipient: &str| {
        let mut request = grant();
        request.shared_account_id = recipient.into();
        request.ticket = "CHG-1".into();
        request
    };
    client.grant_share_permission(as_tester(to(RECIPIENT))).await.unwrap();
    client
        .grant_share_permission(as_tester(GrantSharePermissionRequest {
            ttl: Some(Duration::from_hours(1).into()),
            ..to(OTHER_RECIPIENT)
        }))
        .await
        .unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let mut denied = grant();
    denied.account_id = OTHER_ACCOUNT.into();
    client.grant_share_permission(as_tester(denied)).await.unwrap_err();
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.simulator.inject(Fault::new(throttle).operation(UPDATE)).unwrap();
    let pending = spawn_grant(stack.client().await, to("500000000001"));
    stack.wait_for_calls(UPDATE, 4).await;

    let mut found = Vec::new();
    for example in examples() {
        found.push(json(&stack.pool, &example).await);
    }
    assert_eq!(found.len(), 10, "one example for each view");
    let pool = &stack.pool;
    let entries =
        "SELECT kind, action, shared_account_id, ticket FROM reporting.entries ORDER BY account_id, log_index";
    assert_eq!(
        json(pool, entries).await,
        serde_json::json!([
            {"kind": "change.requested", "action": "GRANT", "shared_account_id": RECIPIENT, "ticket": "CHG-1"},
            {"kind": "change.succeeded", "action": "GRANT", "shared_account_id": RECIPIENT, "ticket": "CHG-1"},
            {"kind": "change.requested", "action": "GRANT", "shared_account_id": OTHER_RECIPIENT, "ticket": "CHG-1"},
            {"kind": "change.succeeded", "action": "GRANT", "shared_account_id": OTHER_RECIPIENT, "ticket": "CHG-1"},
            {"kind": "change.requested", "action": "REVOKE", "shared_account_id": RECIPIENT, "ticket": null},
            {"kind": "change.succeeded", "action": "REVOKE", "shared_account_id": RECIPIENT, "ticket": null},
            {"kind": "change.requested", "action": "GRANT", "shared_account_id": "500000000001", "ticket": "CHG-1"},
            {"kind": "change.denied", "action": "GRANT", "shared_account_id": RECIPIENT, "ticket": null},
        ])
    );
    let shares = "SELECT account_id, image_id, shared_account_id, shared_since_log_index FROM reporting.current_shares";
    assert_eq!(
        json(pool, shares).await,
        serde_json::json!([{
            "account_id": ACCOUNT, "image_id": IMAGE, "shared_account_id": OTHER_RECIPIENT, "shared_since_log_index": 3,
        }])
    );
    let expiring =
        "SELECT shared_account_id, principal, ticket, expire_time > now() AS is_later FROM reporting.expiring_shares";
    assert_eq!(
        json(pool, expiring).await,
        serde_json::json!([
            {"shared_account_id": OTHER_RECIPIENT, "principal": "tester@example.com", "ticket": "CHG-1", "is_later": true},
        ])
    );
    // Summed over days, because the test can run at midnight.
    let totals = "SELECT account_id, action, kind, sum(entries)::bigint AS entries FROM reporting.daily_totals
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    assert_eq!(
        json(pool, totals).await,
        serde_json::json!([
            {"account_id": ACCOUNT, "action": "GRANT", "kind": "change.requested", "entries": 3},
            {"account_id": ACCOUNT, "action": "GRANT", "kind": "change.succeeded", "entries": 2},
            {"account_id": ACCOUNT, "action": "REVOKE", "kind": "change.requested", "entries": 1},
            {"account_id": ACCOUNT, "action": "REVOKE", "kind": "change.succeeded", "entries": 1},
            {"account_id": OTHER_ACCOUNT, "action": "GRANT", "kind": "change.denied", "entries": 1},
        ])
    );
    let waiting = "SELECT shared_account_id, action, principal FROM reporting.pending_changes";
    assert_eq!(
        json(pool, waiting).await,
        serde_json::json!([
            {"shared_account_id": "500000000001", "action": "GRANT", "principal": "tester@example.com"},
        ])
    );
    assert_eq!(
        json(pool, "SELECT * FROM reporting.archived_history").await,
        serde_json::json!([])
    );

    stack.release();
    pending.await.unwrap().unwrap();
    assert_eq!(json(pool, waiting).await, serde_json::json!([]), "the change has ended");
    stack.end().await;
}

/// The document's queries.
fn examples() -> Vec<String> {
    let blocks = DOCUMENT.split("```sql\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// The rows of a query as JSON.
async fn json(pool: &PgPool, query: &str) -> serde_json::Value {
    let query = query.trim().trim_end_matches(';');
    let sql = format!("SELECT coalesce(jsonb_agg(to_jsonb(found)), '[]') FROM ({query}) AS found");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await;
    row.unwrap_or_else(|error| panic!("{query}: {error}")).get(0)
}
