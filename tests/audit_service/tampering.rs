//! Changes that a superuser makes to the tables are detected by reads, which return DATA_LOSS.

use sharewarden::proto::v1::{
    AuditEntryFilter, GetAuditEntryRequest, ListAuditEntriesRequest, ListPermissionHistoryRequest,
};
use sharewarden_testkit::stack::*;
use tonic::{Code, Status};

use crate::auditor::*;

fn assert_tampered(status: &Status, log_index: u64) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::DataLoss, "LEDGER_TAMPERED"),
        "{status:?}"
    );
    assert_eq!(detail(status, "account_id"), ACCOUNT);
    assert_eq!(detail(status, "log_index"), log_index.to_string());
    assert!(status.message().contains(ACCOUNT) && status.message().contains(&log_index.to_string()));
}

async fn listed(auditor: &mut Auditor, filter: AuditEntryFilter) -> Result<(), Status> {
    let request = ListAuditEntriesRequest {
        filter: Some(filter),
        ..Default::default()
    };
    auditor.list_audit_entries(as_tester(request)).await.map(|_| ())
}

async fn got(auditor: &mut Auditor, log_index: u64) -> Result<(), Status> {
    let request = GetAuditEntryRequest {
        account_id: ACCOUNT.into(),
        log_index,
    };
    auditor.get_audit_entry(as_tester(request)).await.map(|_| ())
}

async fn history(auditor: &mut Auditor) -> Result<(), Status> {
    let request = ListPermissionHistoryRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: "500000000000".into(),
        ..Default::default()
    };
    auditor.list_permission_history(as_tester(request)).await.map(|_| ())
}

#[tokio::test]
async fn a_changed_text_is_detected_by_every_query_that_reads_it() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..1).await;
    let mut auditor = auditor(&stack).await;
    stack
        .tamper("UPDATE audit_entry SET entry = replace(entry, 'a test', 'a lie!') WHERE log_index = 1")
        .await;
    assert_tampered(&listed(&mut auditor, Default::default()).await.unwrap_err(), 1);
    assert_tampered(&got(&mut auditor, 1).await.unwrap_err(), 1);
    assert_tampered(&history(&mut auditor).await.unwrap_err(), 1);
    got(&mut auditor, 0).await.unwrap();
    stack.end().await;
}

#[tokio::test]
async fn an_entry_moved_to_another_index_is_detected() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..2).await;
    let mut auditor = auditor(&stack).await;
    stack.tamper("DELETE FROM audit_entry WHERE log_index = 3").await;
    stack
        .tamper("UPDATE audit_entry SET log_index = 3 WHERE log_index = 2")
        .await;
    assert_tampered(&got(&mut auditor, 3).await.unwrap_err(), 3);
    assert_tampered(&got(&mut auditor, 2).await.unwrap_err(), 2);
    assert_tampered(&listed(&mut auditor, Default::default()).await.unwrap_err(), 3);
    stack.end().await;
}

#[tokio::test]
async fn a_deleted_entry_is_detected() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..2).await;
    let mut auditor = auditor(&stack).await;
    stack.tamper("DELETE FROM audit_entry WHERE log_index = 2").await;
    assert_tampered(&got(&mut auditor, 2).await.unwrap_err(), 2);
    assert_tampered(&listed(&mut auditor, Default::default()).await.unwrap_err(), 2);
    let mine = AuditEntryFilter {
        account_ids: vec![ACCOUNT.into()],
        ..Default::default()
    };
    assert_tampered(&listed(&mut auditor, mine).await.unwrap_err(), 2);
    // A filtered list cannot see the gap.
    let ended = AuditEntryFilter {
        kinds: vec!["change.failed".into()],
        ..Default::default()
    };
    listed(&mut auditor, ended).await.unwrap();
    stack.end().await;
}

#[tokio::test]
async fn a_column_that_differs_from_the_text_is_detected() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..1).await;
    let mut auditor = auditor(&stack).await;
    stack
        .tamper("UPDATE audit_entry SET principal = 'somebody.else' WHERE log_index = 1")
        .await;
    let theirs = AuditEntryFilter {
        principals: vec!["somebody.else".into()],
        ..Default::default()
    };
    assert_tampered(&listed(&mut auditor, theirs).await.unwrap_err(), 1);
    stack
        .tamper("UPDATE audit_entry SET kind = 'test.invented' WHERE log_index = 0")
        .await;
    let invented = AuditEntryFilter {
        kinds: vec!["test.invented".into()],
        ..Default::default()
    };
    assert_tampered(&listed(&mut auditor, invented).await.unwrap_err(), 0);
    stack
        .tamper("UPDATE audit_entry SET kind = 'change.requested' WHERE log_index = 0")
        .await;
    got(&mut auditor, 0).await.unwrap();
    stack
        .tamper("UPDATE audit_entry SET recorded_at = recorded_at + interval '1 microsecond' WHERE log_index = 0")
        .await;
    assert_tampered(&got(&mut auditor, 0).await.unwrap_err(), 0);
    stack.end().await;
}
