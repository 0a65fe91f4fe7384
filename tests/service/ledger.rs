//! The ledger, as Postgres holds it: gapless, hashed, append-only.

use sharewarden::ledger::{Frontier, merkle::leaf_hash};
use sqlx::Row;

use crate::stack::*;

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
        // The other account refuses them: DENIED entries are covered too.
        let _ = call.await.unwrap();
    }
    for account in [ACCOUNT, OTHER_ACCOUNT] {
        assert_ledger_is_whole(&stack, account).await;
    }
    assert_eq!(stack.ledger(OTHER_ACCOUNT).await.len(), 8);
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 32);
    stack.end().await;
}

async fn assert_ledger_is_whole(stack: &Stack, account: &str) {
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
async fn rows_that_cannot_be_are_refused_by_the_schema() {
    let stack = Stack::start().await;
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    for statement in [
        "UPDATE share_permission SET in_doubt = true",
        "UPDATE share_permission SET lease_owner = gen_random_uuid()",
        "UPDATE share_permission SET next_change_id = (SELECT change_id FROM change)",
        "UPDATE share_permission SET current_change_id = gen_random_uuid()",
        "UPDATE share_permission SET shared_account_id = account_id",
        "UPDATE change SET state = 'PENDING'",
        "UPDATE change SET state = 'FAILED'",
        "UPDATE change SET reason = ''",
        "UPDATE ledger SET size = size + 1",
        "INSERT INTO ledger VALUES ('12345', 0, '', sha256(''), now())",
    ] {
        assert!(
            sqlx::query(statement).execute(&stack.pool).await.is_err(),
            "{statement}"
        );
    }
    stack.end().await;
}
