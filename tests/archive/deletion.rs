//! A month is deleted: nobody can read its reasons any more, and every proof still holds.

use std::process::Command;

use sharewarden::{archive::Options, store::archive::Detached};

use crate::{
    history::{archive, audit, months_ago, options, service, sizes},
    stack::{ACCOUNT, Stack, as_tester, grant, reason},
};

/// Runs the document's statements on a month, as an owner does.
fn delete(stack: &Stack, month: &str) -> Result<(), String> {
    let psql = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", stack.database.url(), "-v"])
        .args([&format!("month={month}"), "-f", "docs/delete_month.sql"])
        .output()
        .unwrap();
    match psql.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(psql.stderr).unwrap()),
    }
}

/// The tables that contain a text, and the number of rows.
async fn found(stack: &Stack, text: &str) -> Vec<(String, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(&stack.pool)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table} AS line WHERE strpos(line::text, $1) > 0");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(text)
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        if count > 0 {
            found.push((table, count));
        }
    }
    found
}

/// A change of that month, with what a person wrote into it.
async fn change_of(stack: &Stack, month: &str) -> String {
    let request = uuid::Uuid::new_v4().to_string();
    let at = format!("{month}-15T12:00:00Z");
    let sql = format!(
        "WITH made AS (
             INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause, principal,
                 reason, ticket, generation, state, attempts, created_at, ended_at)
             VALUES ('{ACCOUNT}', gen_random_uuid(), '{request}', 'eu-central-1', 'wsi-basewin11', '210987654321', 'GRANT',
                 'CALLER', 'Erika-Mustermann', 'her illness', 'PERSON-7', 1, 'SUCCEEDED', '[]', '{at}', '{at}')
             RETURNING account_id, request_id, change_id, principal
         ), permission AS (
             INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
                 lease_epoch, in_doubt, created_at, updated_at)
             VALUES ('{ACCOUNT}', 'eu-central-1', 'wsi-basewin11', '210987654321', 'SHARED', 'SHARED', 1, 1, false, '{at}', '{at}')
         ), ranking AS (
             INSERT INTO audit_ranking VALUES ('{ACCOUNT}', 'DAY', '{month}-15T00:00:00Z', 'PRINCIPAL', 'Erika-Mustermann', 1),
                 ('{ACCOUNT}', 'MONTH', '{month}-01T00:00:00Z', 'PRINCIPAL', 'Erika-Mustermann', 1)
         ), total AS (
             INSERT INTO audit_ranking_total VALUES ('MONTH', '{month}-01T00:00:00Z', 'PRINCIPAL', 'Erika-Mustermann', 1)
         )
         INSERT INTO request SELECT *, sha256('what was asked') FROM made"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&stack.pool)
        .await
        .unwrap();
    request
}

#[tokio::test]
async fn a_deleted_month_leaves_no_reason_ticket_or_principal_and_every_proof_holds() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let (gone, month) = (months_ago(3), months_ago(3).to_string());
    let request = change_of(&stack, &month).await;
    assert_eq!(found(&stack, "Erika-Mustermann").await.len(), 5);

    let refused = delete(&stack, &month).unwrap_err();
    assert!(refused.contains("is not archived"), "{refused}");
    let refused = delete(&stack, "2026-1").unwrap_err();
    assert!(refused.contains("must be YYYY-MM"), "{refused}");
    assert_eq!(
        found(&stack, "Erika-Mustermann").await.len(),
        5,
        "a refusal changes nothing"
    );

    let kept = Options {
        then: Detached::Kept,
        ..options(months_ago(2), folder.path())
    };
    archive(&stack, &kept).await.unwrap();
    let table = format!("audit_entry_{}", month.replace('-', "_"));
    assert!(
        found(&stack, "reason").await.iter().any(|(name, _)| *name == table),
        "detached"
    );
    for _ in 0..2 {
        delete(&stack, &month).unwrap();
    }
    for text in ["Erika-Mustermann", "her illness", "PERSON-7"] {
        assert_eq!(found(&stack, text).await, [], "{text}");
    }
    assert!(
        !found(&stack, "reason").await.iter().any(|(name, _)| *name == table),
        "{gone:?}"
    );

    // The request id still acts once only.
    let mut client = stack.client().await;
    let again = sharewarden::proto::v1::GrantSharePermissionRequest {
        request_id: request,
        ..grant()
    };
    let refused = client.grant_share_permission(as_tester(again)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");

    // What is left leads to the same checkpoints.
    for (account_id, size) in sizes(&stack).await.into_iter().take(3) {
        let proof = sharewarden::proto::v1::GetConsistencyProofRequest {
            account_id,
            first_tree_size: 1,
            second_tree_size: size,
        };
        audit(&stack)
            .await
            .get_consistency_proof(as_tester(proof))
            .await
            .unwrap();
    }
    stack.end().await;
}
