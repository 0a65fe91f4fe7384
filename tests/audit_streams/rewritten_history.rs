//! What a replica signs after a superuser has rewritten a ledger and deleted its checkpoints.

use std::time::Duration;

use serde_json::json;
use sharewarden::{audit::ConfirmError, clock::Clock, server};
use sharewarden_client::proto::v1::GetCheckpointRequest;
use sharewarden_testkit::{
    log::Log,
    stack::{RunningServer, *},
};
use tonic::Code;
use tracing::level_filters::LevelFilter;

use crate::audit::*;

/// The sizes of the stored checkpoints of the ledger, in order.
async fn signed_sizes(stack: &Stack) -> Vec<i64> {
    signed_sizes_of(stack, ACCOUNT).await
}

async fn signed_sizes_of(stack: &Stack, account: &str) -> Vec<i64> {
    sqlx::query_scalar("SELECT size FROM ledger_checkpoint WHERE account_id = $1 ORDER BY size")
        .bind(account)
        .fetch_all(&stack.pool)
        .await
        .unwrap()
}

async fn grant_at(replica: &RunningServer, number: usize) {
    let mut client = replica.client().await;
    client
        .grant_share_permission(as_tester(nth_grant(number)))
        .await
        .unwrap();
}

/// The size of the latest checkpoint of the ledger, as a replica reads it.
async fn checkpoint_at(replica: &RunningServer) -> u64 {
    let mut auditor = AuditClient::connect(format!("http://{}", replica.address))
        .await
        .unwrap();
    let request = GetCheckpointRequest {
        account_id: ACCOUNT.into(),
        tree_size: 0,
    };
    let answer = auditor.get_checkpoint(as_tester(request)).await.unwrap().into_inner();
    answer.checkpoint.unwrap().tree_size
}

/// A second replica. It has read all checkpoints, because it signs another ledger, which it began.
async fn replica_that_signs(stack: &Stack) -> RunningServer {
    let replica = stack.second_server("").await;
    let mut client = replica.client().await;
    client.grant_share_permission(as_tester(denied())).await.unwrap_err();
    let signed = async {
        while signed_sizes_of(stack, OTHER_ACCOUNT).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, signed).await.expect("it signs in time");
    replica
}

#[tokio::test]
async fn a_ledger_without_a_checkpoint_is_not_signed_until_an_operator_confirms_it() {
    let mut log = Log::of_this_thread(LevelFilter::ERROR);
    let mut stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    stack.stop_server().await;
    rewrite(&stack, 2).await;
    stack.tamper("DELETE FROM ledger_checkpoint").await;
    stack.start_server("", Clock::system()).await;

    stack.grant_many(3, 1).await;
    log.wait_for("no checkpoint of it is known").await;
    // A new ledger is signed, and so would this one be.
    let _ = stack.client().await.grant_share_permission(as_tester(denied())).await;
    stack.checkpoint_of(OTHER_ACCOUNT, 1).await;
    assert_eq!(signed_sizes(&stack).await, [0; 0]);
    let status = stack.audit().await.get_checkpoint(as_tester(latest(ACCOUNT))).await;
    let status = status.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "NOT_YET_COVERED")
    );

    // The operator confirms what was there when the operator looked. The ledger grows meanwhile.
    let (config, account) = (stack.config(""), ACCOUNT.parse().unwrap());
    let (size, root) = server::confirmable(&config, account).await.unwrap();
    stack.grant_many(4, 1).await;
    let confirmed = server::confirm(&config, &confirmation(size, root)).await.unwrap();
    assert_eq!(confirmed, (10, 11));
    let entry = stack.ledger(ACCOUNT).await.pop().unwrap();
    assert_eq!(entry["kind"], "checkpoint.confirmed");
    assert_eq!(
        (&entry["body"]["tree_size"], &entry["body"]["operator"]),
        (&8.into(), &"ann@example.com".into())
    );
    assert_eq!(entry["body"]["root_hash"], sharewarden::ledger::merkle::hex(&root));
    stack.checkpoint_of(ACCOUNT, 11).await;
    stack.grant_many(5, 1).await;
    stack.checkpoint_of(ACCOUNT, 13).await;
    stack.end().await;
}

#[tokio::test]
async fn a_confirmation_of_another_root_or_of_a_signed_ledger_is_refused() {
    let mut stack = Stack::start().await;
    stack.grant_many(0, 2).await;
    stack.checkpoint_of(ACCOUNT, 4).await;
    let (config, account) = (stack.config(""), ACCOUNT.parse().unwrap());
    let is_nothing = |error| matches!(error, server::ServerError::Confirm(ConfirmError::NothingToConfirm(_)));
    assert!(is_nothing(server::confirmable(&config, account).await.unwrap_err()));
    stack.stop_server().await;
    stack.tamper("DELETE FROM ledger_checkpoint").await;
    let (size, root) = server::confirmable(&config, account).await.unwrap();
    assert_eq!(size, 4);
    for (size, root) in [(size, [0; 32]), (3, root), (5, root), (0, root)] {
        let refused = server::confirm(&config, &confirmation(size, root)).await.unwrap_err();
        assert!(
            matches!(refused, server::ServerError::Confirm(ConfirmError::OtherLedger { .. })),
            "{refused:?}"
        );
    }
    stack
        .tamper("UPDATE audit_entry SET entry = replace(entry, 'a test', 'a lie!') WHERE log_index = 1")
        .await;
    let refused = server::confirm(&config, &confirmation(size, root)).await.unwrap_err();
    let said = sharewarden::domain::with_causes(&refused);
    assert!(said.contains("entry 1 of the ledger"), "{said}");
    assert_eq!(
        (stack.lines(ACCOUNT).await.len(), signed_sizes(&stack).await),
        (4, vec![])
    );
    stack.end().await;
}

#[tokio::test]
async fn a_checkpoint_that_was_read_at_the_start_is_remembered_after_its_row_is_deleted() {
    let mut log = Log::of_this_thread(LevelFilter::ERROR);
    let mut stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    // No other replica can tell the checkpoint.
    stack.stop_server().await;
    let replica = replica_that_signs(&stack).await;
    rewrite(&stack, 2).await;
    stack.tamper("DELETE FROM ledger_checkpoint").await;
    grant_at(&replica, 3).await;
    log.wait_for("size=8 signed_size=6").await;
    assert_eq!(signed_sizes(&stack).await, [0; 0]);
    replica.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn replicas_tell_each_other_their_checkpoints_when_they_sign_and_when_one_starts() {
    let mut log = Log::of_this_thread(LevelFilter::DEBUG);
    let mut stack = Stack::start().await;
    let second = replica_that_signs(&stack).await;
    // A replica may read a checkpoint before it is told of it, so several are made.
    let told = "a checkpoint of another replica is remembered account_id=111122223333";
    let mut grants = 0;
    while grants < 3 || !log.text().contains(told) {
        stack.grant_many(grants, 1).await;
        grants += 1;
        stack.checkpoint_of(ACCOUNT, 2 * grants as u64).await;
    }
    let size = 2 * grants;
    assert_eq!(checkpoint_at(&second).await, size as u64, "it has read the last one");
    stack.stop_server().await;
    // The oldest checkpoint stays, and the ledger leads on from it.
    rewrite(&stack, 2).await;
    stack
        .tamper("DELETE FROM ledger_checkpoint WHERE account_id = '111122223333' AND size > 2")
        .await;
    grant_at(&second, grants).await;
    log.wait_for(&format!("size={} signed_size={size}", size + 2)).await;

    drop(log);
    let mut log = Log::of_this_thread(LevelFilter::DEBUG);
    stack.start_server("", Clock::system()).await;
    log.wait_for(&format!("{told} size={size}")).await;
    second.stop().await;
    stack.grant_many(grants + 1, 1).await;
    log.wait_for(&format!("size={} signed_size={size}", size + 4)).await;
    assert_eq!(signed_sizes(&stack).await.last(), Some(&2));
    stack.end().await;
}

#[tokio::test]
async fn a_note_without_a_valid_signature_is_not_remembered() {
    let log = Log::of_this_thread(LevelFilter::ERROR);
    let stack = Stack::start().await;
    stack.grant_many(0, 1).await;
    let signed = stack.checkpoint_of(ACCOUNT, 2).await.note;
    for note in [
        signed.replace("\n2\n", "\n2000\n"),
        "x".repeat(7000),
        "?".into(),
        String::new(),
    ] {
        sqlx::query("SELECT pg_notify('sharewarden_checkpoints', $1)")
            .bind(note)
            .execute(&stack.pool)
            .await
            .unwrap();
    }
    // Sent after these notes, so the server has read them.
    stack.grant_many(1, 1).await;
    stack.checkpoint_of(ACCOUNT, 4).await;
    assert!(!log.text().contains("tampered"), "{}", log.text());
    stack.end().await;
}

#[tokio::test]
async fn the_command_prints_what_there_is_to_confirm_and_records_the_confirmation() {
    let mut stack = Stack::start().await;
    stack.grant_many(0, 1).await;
    forget_checkpoints(&mut stack).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sharewarden.toml");
    std::fs::write(&file, config_text(stack.database.url(), &stack.simulator.url(), "")).unwrap();
    let run = async |more: &[&str]| {
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_sharewarden"));
        program.args(["audit", "confirm", "--account", ACCOUNT, "--config"]);
        program.arg(&file).args(more).kill_on_drop(true);
        let output = program.output().await.unwrap();
        let (answer, notes) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
        (output.status.code(), notes.unwrap(), answer.unwrap())
    };
    let (code, printed, _) = run(&[]).await;
    assert!(code == Some(0) && printed.contains("has 2 entries"), "{printed}");
    let root = &printed.split("--root-hash ").nth(1).unwrap()[..64];
    let seen = json!({"accountId": ACCOUNT, "treeSize": "2", "rootHash": root});
    assert_eq!(run(&["-o", "json"]).await.2, format!("{seen}\n"));
    assert_eq!(run(&["--tree-size", "2"]).await.0, Some(2), "half a statement");
    let statement = [
        "--tree-size",
        "2",
        "--root-hash",
        root,
        "--operator",
        "ann",
        "--reason",
        "a test",
    ];
    let (code, printed, _) = run(&statement).await;
    assert!(code == Some(0) && printed.contains("recorded as entry 2"), "{printed}");
    stack.checkpoint_of(ACCOUNT, 3).await;
    stack.end().await;
}
