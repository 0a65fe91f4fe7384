//! Changes by a superuser of the database are detected and reported.

use sharewarden::proto::v1::{
    ExportAuditEntriesRequest, GetAuditEntryRequest, GetInclusionProofRequest, watch_audit_entries_request::Start,
};
use sharewarden_testkit::{log::Log, stack::*};
use tonic::{Code, Status};
use tracing::level_filters::LevelFilter;

use crate::audit::*;

fn assert_tampered(status: &Status, log_index: &str) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::DataLoss, "LEDGER_TAMPERED"),
        "{status:?}"
    );
    assert_eq!(detail(status, "account_id"), ACCOUNT);
    assert_eq!(detail(status, "log_index"), log_index);
}

async fn watched_from_the_beginning(stack: &Stack) -> Status {
    let request = watch_from(&Positions::new(), Start::Beginning);
    let mut watcher = Watcher::start(stack.audit().await, request).await.unwrap();
    loop {
        if let Err(status) = watcher.next().await {
            return status;
        }
    }
}

#[tokio::test]
async fn a_changed_reason_ends_a_watch_and_is_exported_as_it_is() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack
        .tamper("UPDATE audit_entry SET entry = replace(entry, 'a test', 'a lie!') WHERE log_index = 2")
        .await;
    assert_tampered(&watched_from_the_beginning(&stack).await, "2");

    let request = ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        ..Default::default()
    };
    let exported = export(stack.audit().await, request).await.unwrap();
    assert!(
        exported.lines[2].contains("a lie!"),
        "the export contains the changed line for the verifier"
    );
    stack.end().await;
}

#[tokio::test]
async fn a_reason_column_that_differs_from_the_text_is_detected_by_watch_export_and_get() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack
        .tamper("UPDATE audit_entry SET reason = 'a lie!' WHERE log_index = 2")
        .await;
    assert_tampered(&watched_from_the_beginning(&stack).await, "2");
    let request = ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        ..Default::default()
    };
    assert_tampered(&export(stack.audit().await, request).await.err().unwrap(), "2");
    let request = GetAuditEntryRequest {
        account_id: ACCOUNT.into(),
        log_index: 2,
    };
    let status = stack.audit().await.get_audit_entry(as_tester(request)).await;
    assert_tampered(&status.unwrap_err(), "2");
    stack.end().await;
}

#[tokio::test]
async fn a_deleted_entry_ends_a_watch_and_an_export() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack.tamper("DELETE FROM audit_entry WHERE log_index = 3").await;
    assert_tampered(&watched_from_the_beginning(&stack).await, "3");
    let request = ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        end_index: 5,
        ..Default::default()
    };
    let status = export(stack.audit().await, request).await.err().unwrap();
    assert_eq!(reason(&status), "LEDGER_TAMPERED");
    stack.end().await;
}

#[tokio::test]
async fn entries_that_are_gone_at_the_end_of_a_ledger_end_a_watch_and_an_export() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    for (gone, first) in [("log_index >= 4", "4"), ("true", "0")] {
        stack.tamper(&format!("DELETE FROM audit_entry WHERE {gone}")).await;
        assert_tampered(&watched_from_the_beginning(&stack).await, first);
        let request = ExportAuditEntriesRequest {
            account_id: ACCOUNT.into(),
            ..Default::default()
        };
        let status = export(stack.audit().await, request).await.err().unwrap();
        assert_eq!(reason(&status), "LEDGER_TAMPERED");
    }
    stack.end().await;
}

#[tokio::test]
async fn a_notification_about_missing_entries_is_ignored() {
    let stack = Stack::start().await;
    stack.grant_many(0, 1).await;
    let replica = stack.second_server("").await;
    let request = watch_from(&Positions::new(), Start::Now);
    let mut watcher = Watcher::start(stack.audit().await, request).await.unwrap();
    stack.grant_many(1, 1).await;
    watcher.until(ACCOUNT, 4).await;
    // Any role that can connect may send notifications. Those of the replica come after these.
    for payload in [format!("{ACCOUNT}:999999"), "999999999999:5".to_owned()] {
        sqlx::query("SELECT pg_notify('sharewarden_ledger_grown', $1)")
            .bind(payload)
            .execute(&stack.pool)
            .await
            .unwrap();
    }
    let mut client = replica.client().await;
    for number in 2..5 {
        client
            .grant_share_permission(as_tester(nth_grant(number)))
            .await
            .unwrap();
        watcher.until(ACCOUNT, 2 * (number as u64 + 1)).await;
    }
    drop(client);
    replica.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn a_ledger_shorter_than_its_checkpoint_is_reported_as_tampered() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    let head: (i64, Vec<u8>, Vec<u8>) = head(&stack).await;
    stack.grant_many(3, 1).await;
    stack.checkpoint_of(ACCOUNT, 8).await;
    stack.tamper("DELETE FROM audit_entry WHERE log_index >= 6").await;
    set_head(&stack, head).await;

    let status = stack
        .audit()
        .await
        .get_checkpoint(as_tester(latest(ACCOUNT)))
        .await
        .unwrap_err();
    assert_tampered(&status, "6");
    let request = GetInclusionProofRequest {
        account_id: ACCOUNT.into(),
        log_index: 1,
        tree_size: 0,
    };
    let status = stack
        .audit()
        .await
        .get_inclusion_proof(as_tester(request))
        .await
        .unwrap_err();
    assert_tampered(&status, "6");
    stack.end().await;
}

#[tokio::test]
async fn a_ledger_rewritten_with_new_hashes_is_not_signed() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    // A skilled attacker changes the text, the hash and the head.
    stack
        .tamper(
            "UPDATE audit_entry SET entry = replace(entry, 'a test', 'a lie!'),
                 leaf_hash = sha256('\\x00'::bytea || convert_to(replace(entry, 'a test', 'a lie!'), 'UTF8'))
             WHERE log_index = 4",
        )
        .await;
    let lines = stack.lines(ACCOUNT).await;
    let mut frontier = sharewarden::ledger::Frontier::default();
    for line in &lines {
        frontier.append(sharewarden::ledger::merkle::leaf_hash(line.as_bytes()));
    }
    set_head(&stack, (6, frontier.to_bytes(), frontier.root().to_vec())).await;
    stack.grant_many(3, 1).await;

    // This ledger grew before the other one, so a round that signs the other one has also checked this one.
    let _ = stack.client().await.grant_share_permission(as_tester(denied())).await;
    stack.checkpoint_of(OTHER_ACCOUNT, 1).await;
    let sizes: Vec<i64> =
        sqlx::query_scalar("SELECT size FROM ledger_checkpoint WHERE account_id = '111122223333' AND size > 6")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    assert_eq!(sizes, [0; 0], "no later checkpoint is signed");
    let request = GetInclusionProofRequest {
        account_id: ACCOUNT.into(),
        log_index: 4,
        tree_size: 6,
    };
    let status = stack
        .audit()
        .await
        .get_inclusion_proof(as_tester(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "LEDGER_TAMPERED");
    stack.end().await;
}

#[tokio::test]
async fn nothing_is_added_to_a_ledger_whose_head_has_a_wrong_right_edge() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    let (size, frontier, root) = head(&stack).await;
    let mut wrong = frontier.clone();
    wrong[31] ^= 1;
    set_head(&stack, (size, wrong, root.clone())).await;

    let mut client = stack.client().await;
    let status = client.grant_share_permission(as_tester(nth_grant(3))).await;
    assert_tampered(&status.unwrap_err(), "5");
    // Another ledger grows.
    let denied = client.grant_share_permission(as_tester(denied())).await.unwrap_err();
    assert_eq!(reason(&denied), "POLICY_DENIED");
    assert_eq!(
        (stack.lines(ACCOUNT).await.len(), stack.lines(OTHER_ACCOUNT).await.len()),
        (6, 1)
    );

    // With the right edge back, the ledger grows and is signed.
    set_head(&stack, (size, frontier, root)).await;
    stack.grant_many(3, 1).await;
    stack.checkpoint_of(ACCOUNT, 8).await;
    stack.end().await;
}

#[tokio::test]
async fn the_first_tampered_entry_of_a_growing_ledger_is_searched_for_once() {
    let mut log = Log::of_this_thread(LevelFilter::ERROR);
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack
        .tamper("UPDATE audit_entry SET leaf_hash = sha256('another') WHERE log_index = 4")
        .await;
    stack.grant_many(3, 1).await;
    log.wait_for("log_index=4 size=8 signed_size=6").await;
    // A second search would find this entry.
    stack
        .tamper("UPDATE audit_entry SET leaf_hash = sha256('another') WHERE log_index = 2")
        .await;
    stack.grant_many(4, 1).await;
    log.wait_for("log_index=4 size=10 signed_size=6").await;
    assert!(!log.text().contains("log_index=2"), "{}", log.text());
    stack.end().await;
}

#[tokio::test]
async fn an_archived_and_tampered_ledger_does_not_stop_the_signing_of_others() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack
        .tamper("INSERT INTO audit_archive VALUES ('111122223333', 0, 2, now(), now(), 'a-file', sha256(''), now())")
        .await;
    // The hashes of these entries are in no tile, so nothing is consistent with the checkpoint. The search for the first tampered
    // entry begins at archived entries.
    stack.tamper("DELETE FROM audit_entry WHERE log_index < 2").await;
    stack.grant_many(3, 1).await;
    let _ = stack.client().await.grant_share_permission(as_tester(denied())).await;
    stack.checkpoint_of(OTHER_ACCOUNT, 1).await;
    let latest: i64 = sqlx::query_scalar("SELECT max(size) FROM ledger_checkpoint WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(latest, 6, "no later checkpoint is signed");
    stack.end().await;
}

async fn head(stack: &Stack) -> (i64, Vec<u8>, Vec<u8>) {
    sqlx::query_as("SELECT size, frontier, root FROM ledger WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&stack.pool)
        .await
        .unwrap()
}

async fn set_head(stack: &Stack, (size, frontier, root): (i64, Vec<u8>, Vec<u8>)) {
    sqlx::query("UPDATE ledger SET size = $2, frontier = $3, root = $4 WHERE account_id = $1")
        .bind(ACCOUNT)
        .bind(size)
        .bind(frontier)
        .bind(root)
        .execute(&stack.pool)
        .await
        .unwrap();
}
