//! The ledger in Postgres is gapless, hashed and append-only.

use sharewarden::ledger::{Frontier, merkle::leaf_hash};
use sharewarden_testkit::stack::*;
use sqlx::Row;

#[tokio::test]
async fn the_root_covers_every_entry_and_the_index_has_no_gap() {
    let stack = Stack::start().await;
    let mut calls = Vec::new();
    for number in 0..24 {
        let mut request = grant();
        request.shared_account_id = format!("5000000000{number:02}");
        request.account_id = if number % 3 == 0 {
            OTHER_ACCOUNT.into()
        } else {
            ACCOUNT.into()
        };
        calls.push(spawn_grant(stack.client().await, request));
    }
    for call in calls {
        // The policy refuses grants in the other account. The root also covers `change.denied` entries.
        let _ = call.await.unwrap();
    }
    for account in [ACCOUNT, OTHER_ACCOUNT] {
        assert_ledger_is_consistent(&stack, account).await;
    }
    assert_eq!(stack.ledger(OTHER_ACCOUNT).await.len(), 8);
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 32);
    stack.end().await;
}

async fn assert_ledger_is_consistent(stack: &Stack, account: &str) {
    let rows =
        sqlx::query("SELECT log_index, leaf_hash, entry FROM audit_entry WHERE account_id = $1 ORDER BY log_index")
            .bind(account)
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    let mut frontier = Frontier::default();
    for (index, row) in rows.iter().enumerate() {
        let entry: String = row.get("entry");
        assert_eq!(row.get::<i64, _>("log_index"), index as i64);
        assert_eq!(row.get::<Vec<u8>, _>("leaf_hash"), leaf_hash(entry.as_bytes()));
        let value: serde_json::Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(value["log_index"], index);
        assert_eq!(
            serde_json_canonicalizer::to_string(&value).unwrap(),
            entry,
            "the text is canonical"
        );
        frontier.append(leaf_hash(entry.as_bytes()));
    }
    let (size, root): (i64, Vec<u8>) = sqlx::query_as("SELECT size, root FROM ledger WHERE account_id = $1")
        .bind(account)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!((size as usize, root), (rows.len(), frontier.root().to_vec()));
}

#[tokio::test]
async fn history_cannot_be_rewritten_even_by_the_owner() {
    let stack = Stack::start().await;
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    for statement in [
        "UPDATE audit_entry SET principal = 'nobody'",
        "DELETE FROM audit_entry WHERE log_index = 0",
        "TRUNCATE audit_entry",
    ] {
        let refused = sqlx::query(statement)
            .execute(&stack.pool)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 2);
    stack.end().await;
}

#[tokio::test]
async fn inconsistent_rows_are_refused_by_the_schema() {
    let stack = Stack::start().await;
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    // Unique indexes belong to the partition of a month.
    let month: String = sqlx::query_scalar("SELECT DISTINCT tableoid::regclass::text FROM audit_entry")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    // Each statement, and the table and the constraint that must refuse it, as Postgres prints it.
    for (statement, code, table, rule) in [
        (
            "UPDATE share_permission SET in_doubt = true",
            CHECK,
            "share_permission",
            "(current_change_id IS NOT NULL) OR (NOT in_doubt)",
        ),
        (
            "UPDATE share_permission SET lease_owner = gen_random_uuid()",
            CHECK,
            "share_permission",
            "(lease_owner IS NULL) = (lease_expires_at IS NULL)",
        ),
        (
            "UPDATE share_permission SET next_change_id = (SELECT change_id FROM change)",
            CHECK,
            "share_permission",
            "(next_change_id IS NULL) OR (current_change_id IS NOT NULL)",
        ),
        (
            "UPDATE share_permission SET current_change_id = gen_random_uuid(), next_attempt_at = now()",
            FOREIGN_KEY,
            "share_permission",
            "(account_id, current_change_id) REFERENCES change(account_id, change_id)",
        ),
        (
            "UPDATE share_permission SET shared_account_id = account_id",
            CHECK,
            "share_permission",
            "shared_account_id <> account_id",
        ),
        (
            "UPDATE change SET state = 'PENDING'",
            CHECK,
            "change",
            "(state = 'PENDING'::text) = (ended_at IS NULL)",
        ),
        (
            "UPDATE change SET state = 'FAILED'",
            CHECK,
            "change",
            "(state = 'FAILED'::text) = (failure_reason IS NOT NULL)",
        ),
        ("UPDATE change SET reason = ''", CHECK, "change", "length(reason) >= 1"),
        (SAME_REQUEST_ID, UNIQUE, "request", "(account_id, request_id)"),
        (
            "UPDATE ledger SET size = size + 1",
            CHECK,
            "ledger",
            "bit_count((size)::bit(64))",
        ),
        (
            "INSERT INTO ledger VALUES ('12345', 0, '', sha256(''), now())",
            CHECK,
            "ledger",
            "(length(account_id) = 12) AND (account_id !~ '[^0-9]'::text)",
        ),
        (
            SECOND_END,
            UNIQUE,
            month.as_str(),
            "(change_id, once, account_id) WHERE (change_id IS NOT NULL)",
        ),
        (
            ONCE_WITHOUT_CHANGE,
            UNIQUE,
            month.as_str(),
            "(account_id, once) WHERE ((change_id IS NULL) AND (once IS NOT NULL))",
        ),
    ] {
        let error = sqlx::query(statement).execute(&stack.pool).await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(
            (error.code().as_deref(), error.table()),
            (Some(code), Some(table)),
            "{statement}: {error}"
        );
        let definition = definition(&stack, error.constraint().unwrap()).await;
        assert!(definition.contains(rule), "{statement}: {definition}");
    }
    stack.end().await;
}

/// The checks compare lengths and search for forbidden characters. Together they must be equal to the patterns of the ids.
#[tokio::test]
async fn the_schema_accepts_only_names_that_match_the_patterns() {
    let stack = Stack::start().await;
    let request = as_tester(grant());
    stack.client().await.grant_share_permission(request).await.unwrap();
    let digits = |count: usize| "0123456789".chars().cycle().take(count).collect::<String>();
    let names =
        |start: &str, count: usize| format!("{start}{}", "a0z9".chars().cycle().take(count).collect::<String>());
    for (column, valid, invalid) in [
        (
            "shared_account_id",
            vec!["000000000001".to_owned(), digits(12)],
            vec![
                digits(11),
                digits(13),
                "00000000000a".into(),
                "٣00000000001".into(),
                format!("{}\n", digits(11)),
            ],
        ),
        (
            "region",
            vec!["-".to_owned(), "eu-central-1".into(), names("", 31)],
            vec![
                String::new(),
                names("", 32),
                "EU-central-1".into(),
                "eu_central".into(),
                "eu-central-1\n".into(),
            ],
        ),
        (
            "image_id",
            vec![names("wsi-", 9), names("wsi-", 63)],
            vec![
                names("wsi-", 8),
                names("wsi-", 64),
                names("xsi-", 9),
                names(" wsi-", 9),
                "wsi-12345678A".into(),
                "wsi-1234-5678".into(),
                "wsi-12345678\n".into(),
                String::new(),
            ],
        ),
        (
            "trace_id",
            vec!["0123456789abcdef0123456789abcdef".to_owned()],
            vec![
                "0123456789abcdef0123456789abcde".into(),
                "0123456789abcdef0123456789abcdeg".into(),
                String::new(),
            ],
        ),
    ] {
        let update = format!("UPDATE change SET {column} = $1");
        for (values, accepted) in [(valid, true), (invalid, false)] {
            for value in values {
                let update = sqlx::query(sqlx::AssertSqlSafe(update.as_str())).bind(&value);
                let result = update.execute(&stack.pool).await.map_err(|error| {
                    let code = error.as_database_error().and_then(|error| error.code());
                    code.map(|code| code.into_owned())
                });
                let expected = if accepted { Ok(1) } else { Err(Some(CHECK.to_owned())) };
                assert_eq!(
                    result.map(|done| done.rows_affected()),
                    expected,
                    "{column} = {value:?}"
                );
            }
        }
    }
    stack.end().await;
}

/// The definition of a constraint or a unique index.
async fn definition(stack: &Stack, name: &str) -> String {
    sqlx::query_scalar(
        "SELECT coalesce((SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1),
             (SELECT pg_get_indexdef(oid) FROM pg_class WHERE relname = $1))",
    )
    .bind(name)
    .fetch_one(&stack.pool)
    .await
    .unwrap()
}

const CHECK: &str = "23514";
const FOREIGN_KEY: &str = "23503";
const UNIQUE: &str = "23505";

/// A second terminal entry of a change.
const SECOND_END: &str = "INSERT INTO audit_entry
    SELECT account_id, 2, recorded_at, 'change.superseded', action, cause, change_id, request_id, principal, reason,
        ticket, region, image_id, shared_account_id, generation, NULL, NULL, false, NULL, once, leaf_hash, entry
    FROM audit_entry WHERE log_index = 1";

/// Two entries of an account with the same `once` value and without a change.
const ONCE_WITHOUT_CHANGE: &str = "INSERT INTO audit_entry
    SELECT account_id, place, recorded_at, 'test.invented', NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, 'invented', leaf_hash, entry
    FROM audit_entry, generate_series(7, 8) AS place WHERE log_index = 1";

const SAME_REQUEST_ID: &str = "INSERT INTO request SELECT * FROM request";
