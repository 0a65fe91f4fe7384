//! Changes that a superuser makes to the tables are detected by reads, which return DATA_LOSS.

use sharewarden::proto::v1::{
    AuditEntryFilter, AuditEntryOrder, GetAuditEntryRequest, ListAuditEntriesRequest, ListPermissionHistoryRequest,
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

/// The index that is reported when all pages of the list are read, or `None` if they are read without an error.
async fn first_reported(auditor: &mut Auditor, request: &ListAuditEntriesRequest) -> Option<String> {
    let mut request = request.clone();
    loop {
        match auditor.list_audit_entries(as_tester(request.clone())).await {
            Ok(page) => request.page_token = page.into_inner().next_page_token,
            Err(status) => {
                assert_eq!(reason(&status), "LEDGER_TAMPERED", "{status:?}");
                assert_eq!(detail(&status, "account_id"), ACCOUNT);
                return Some(detail(&status, "log_index"));
            }
        }
        if request.page_token.is_empty() {
            return None;
        }
    }
}

/// Lists of all entries in both orders, in large and in small pages.
fn complete_lists(filter: &AuditEntryFilter) -> Vec<ListAuditEntriesRequest> {
    let mut lists = Vec::new();
    for order in [AuditEntryOrder::NewestFirst, AuditEntryOrder::OldestFirst] {
        for page_size in [100, 2, 1] {
            lists.push(ListAuditEntriesRequest {
                filter: Some(filter.clone()),
                order: order.into(),
                page_size,
                ..Default::default()
            });
        }
    }
    lists
}

#[tokio::test]
async fn entries_that_are_gone_at_the_ends_of_a_ledger_are_detected() {
    for (gone, reported) in [
        ("log_index >= 7", "7"),
        ("log_index < 2", "0"),
        ("log_index BETWEEN 3 AND 4", "3"),
        ("account_id = '111122223333'", "0"),
    ] {
        let stack = Stack::start().await;
        grant_to_many(&stack, 0..4).await;
        let mut request = grant();
        request.account_id = OTHER_ACCOUNT.into();
        let _ = stack.client().await.grant_share_permission(as_tester(request)).await;
        let mut auditor = auditor(&stack).await;
        let mine = AuditEntryFilter {
            account_ids: vec![ACCOUNT.into()],
            ..Default::default()
        };
        let lists = [complete_lists(&Default::default()), complete_lists(&mine)].concat();
        for list in &lists {
            assert_eq!(first_reported(&mut auditor, list).await, None, "{list:?}");
        }
        let only_mine = format!("DELETE FROM audit_entry WHERE account_id = '{ACCOUNT}' AND {gone}");
        stack.tamper(&only_mine).await;
        for list in &lists {
            let found = first_reported(&mut auditor, list).await;
            assert_eq!(found.as_deref(), Some(reported), "{gone}: {list:?}");
        }
        stack.end().await;
    }
}

#[tokio::test]
async fn entries_that_are_gone_between_two_pages_are_detected() {
    for order in [AuditEntryOrder::NewestFirst, AuditEntryOrder::OldestFirst] {
        let stack = Stack::start().await;
        grant_to_many(&stack, 0..3).await;
        let mut auditor = auditor(&stack).await;
        let mut request = ListAuditEntriesRequest {
            order: order.into(),
            page_size: 3,
            ..Default::default()
        };
        request.page_token = page(&mut auditor, &request).await.next_page_token;
        let (gone, reported) = match order {
            AuditEntryOrder::OldestFirst => ("DELETE FROM audit_entry WHERE log_index = 3", "3"),
            _ => ("DELETE FROM audit_entry WHERE log_index = 2", "2"),
        };
        stack.tamper(gone).await;
        assert_eq!(
            first_reported(&mut auditor, &request).await.as_deref(),
            Some(reported),
            "{order:?}"
        );
        stack.end().await;
    }
}

#[tokio::test]
async fn entries_that_are_gone_from_a_time_are_detected() {
    let stack = Stack::start().await;
    // One by one, so that each entry has its own time.
    for number in 0..4 {
        grant_to_many(&stack, number..number + 1).await;
    }
    let mut auditor = auditor(&stack).await;
    let mut entries = all(&mut auditor, Default::default()).await;
    entries.reverse();
    let within = |from: usize, to: usize| AuditEntryFilter {
        account_ids: vec![ACCOUNT.into()],
        start_time: entries[from].record_time,
        end_time: entries[to].record_time,
        ..Default::default()
    };
    // All of the time, its beginning, its end, and the time around it.
    let cases = [within(2, 4), within(2, 6), within(1, 4), within(1, 6)];
    for filter in &cases {
        for list in complete_lists(filter) {
            assert_eq!(first_reported(&mut auditor, &list).await, None, "{list:?}");
        }
    }
    stack.tamper("DELETE FROM audit_entry WHERE log_index IN (2, 3)").await;
    for filter in &cases {
        for list in complete_lists(filter) {
            assert_eq!(
                first_reported(&mut auditor, &list).await.as_deref(),
                Some("2"),
                "{list:?}"
            );
        }
    }
    // Before and behind it nothing is missing.
    for list in [complete_lists(&within(0, 1)), complete_lists(&within(5, 7))].concat() {
        assert_eq!(first_reported(&mut auditor, &list).await, None, "{list:?}");
    }
    stack.end().await;
}
