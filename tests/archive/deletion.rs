//! Deletion of a month: its reasons, tickets and principals are gone, and every proof still verifies.

use std::process::Command;

use sharewarden::{
    archive::ArchivePlan,
    domain::{Intent, PermissionKey, RequestContent, example},
    grpc::PRINCIPAL,
    ledger::{Hash, check::verify_consistency},
    proto::v1::{
        GetConsistencyProofRequest, GetConsistencyProofResponse, GrantSharePermissionRequest,
        GrantSharePermissionResponse,
    },
    store::archive::Detached,
};
use sharewarden_testkit::stack::{ACCOUNT, IMAGE, RECIPIENT, REGION, Stack, as_tester, grant, reason};
use tonic::Status;

use crate::history::{archive, audit, months_ago, plan, service, sizes};

const PERSON: &str = "Erika-Mustermann";

/// Runs `docs/delete_month.sql` for a month, as the owner.
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

/// The tables that contain a text, with the number of rows.
async fn tables_with(stack: &Stack, text: &str) -> Vec<(String, i64)> {
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

/// Inserts a change of that month with personal data, and returns its request id.
async fn insert_change(stack: &Stack, month: &str) -> String {
    let request = uuid::Uuid::new_v4().to_string();
    let at = format!("{month}-15T12:00:00Z");
    let mut intent = Intent {
        key: PermissionKey {
            account: ACCOUNT.parse().unwrap(),
            region: REGION.parse().unwrap(),
            image: IMAGE.parse().unwrap(),
            shared_account: RECIPIENT.parse().unwrap(),
        },
        principal: PERSON.parse().unwrap(),
        ..example::intent()
    };
    intent.justification.reason = "her illness".parse().unwrap();
    intent.justification.ticket = Some("PERSON-7".parse().unwrap());
    let content = RequestContent::of(&intent);
    let sql = format!(
        "WITH made AS (
             INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause, principal,
                 reason, ticket, generation, state, attempts, created_at, ended_at)
             VALUES ('{ACCOUNT}', gen_random_uuid(), '{request}', '{REGION}', '{IMAGE}', '{RECIPIENT}', 'GRANT',
                 'CALLER', '{PERSON}', 'her illness', 'PERSON-7', 1, 'SUCCEEDED', '[]', '{at}', '{at}')
             RETURNING account_id, request_id, change_id, principal
         ), permission AS (
             INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
                 lease_epoch, in_doubt, created_at, updated_at)
             VALUES ('{ACCOUNT}', '{REGION}', '{IMAGE}', '{RECIPIENT}', 'SHARED', 'SHARED', 1, 1, false, '{at}', '{at}')
         ), ranking AS (
             INSERT INTO audit_ranking VALUES ('{ACCOUNT}', 'DAY', '{month}-15T00:00:00Z', 'PRINCIPAL', '{PERSON}', 1),
                 ('{ACCOUNT}', 'MONTH', '{month}-01T00:00:00Z', 'PRINCIPAL', '{PERSON}', 1)
         ), total AS (
             INSERT INTO audit_ranking_total VALUES ('MONTH', '{month}-01T00:00:00Z', 'PRINCIPAL', '{PERSON}', 1)
         )
         INSERT INTO request
         SELECT account_id, request_id, change_id, principal, decode('{content:?}', 'hex') FROM made"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&stack.pool)
        .await
        .unwrap();
    request
}

/// Sends the same request again, from the same principal.
async fn replay(stack: &Stack, request_id: &str) -> Result<GrantSharePermissionResponse, Status> {
    let mut request = as_tester(GrantSharePermissionRequest {
        request_id: request_id.into(),
        reason: "her illness".into(),
        ticket: "PERSON-7".into(),
        ..grant()
    });
    request.metadata_mut().insert(PRINCIPAL, PERSON.parse().unwrap());
    let response = stack.client().await.grant_share_permission(request).await?;
    Ok(response.into_inner())
}

/// Consistency proofs of the three longest ledgers, each from half of its size to its current size.
async fn proofs(stack: &Stack) -> Vec<GetConsistencyProofResponse> {
    let mut proofs = Vec::new();
    for (account_id, size) in sizes(stack).await.into_iter().take(3) {
        let request = GetConsistencyProofRequest {
            account_id,
            first_tree_size: size / 2,
            second_tree_size: size,
        };
        let proof = audit(stack).await.get_consistency_proof(as_tester(request)).await;
        proofs.push(proof.unwrap().into_inner());
    }
    assert_eq!(proofs.len(), 3);
    proofs
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

#[tokio::test]
async fn a_deleted_month_leaves_no_reason_ticket_or_principal_and_every_proof_verifies() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let (gone, month) = (months_ago(3), months_ago(3).to_string());
    let request = insert_change(&stack, &month).await;
    assert_eq!(tables_with(&stack, PERSON).await.len(), 5);
    assert!(
        replay(&stack, &request).await.unwrap().replayed,
        "before the deletion the request is a replay"
    );
    let kept_roots = proofs(&stack).await;

    let refused = delete(&stack, &month).unwrap_err();
    assert!(refused.contains("is not archived"), "{refused}");
    let refused = delete(&stack, "2026-1").unwrap_err();
    assert!(refused.contains("must be YYYY-MM"), "{refused}");
    assert_eq!(
        tables_with(&stack, PERSON).await.len(),
        5,
        "a refused deletion changes nothing"
    );

    let kept = ArchivePlan {
        then: Detached::Kept,
        ..plan(months_ago(2), folder.path())
    };
    archive(&stack, &kept).await.unwrap();
    let table = format!("audit_entry_{}", month.replace('-', "_"));
    assert!(
        tables_with(&stack, "reason")
            .await
            .iter()
            .any(|(name, _)| *name == table),
        "the month is detached"
    );
    for _ in 0..2 {
        delete(&stack, &month).unwrap();
    }
    for text in [PERSON, "her illness", "PERSON-7"] {
        assert_eq!(tables_with(&stack, text).await, [], "{text}");
    }
    assert!(
        !tables_with(&stack, "reason")
            .await
            .iter()
            .any(|(name, _)| *name == table),
        "{gone:?}"
    );

    // The request id cannot be used again.
    let refused = replay(&stack, &request).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");

    // The remaining hashes prove consistency between the roots from before the deletion.
    let after = proofs(&stack).await;
    for (kept, proof) in kept_roots.iter().zip(&after) {
        let (first, second) = (hash(&kept.first_root_hash), hash(&kept.second_root_hash));
        let hashes: Vec<_> = proof.hashes.iter().map(|bytes| hash(bytes)).collect();
        let (first_size, second_size) = (kept.first_tree_size, kept.second_tree_size);
        assert!(verify_consistency(first_size, second_size, &first, &second, &hashes));
    }
    stack.end().await;
}
