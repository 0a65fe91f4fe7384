//! Archived entries: queries report the archived ranges and their files.

use sharewarden::proto::v1::{
    AuditEntryFilter, GetAuditEntryRequest, ListAuditEntriesRequest, ListPermissionHistoryRequest,
};
use sharewarden_testkit::stack::*;
use tonic::Code;

use crate::auditor::*;

/// Records the entries with these indexes as archived, and deletes them.
pub(crate) async fn archive(stack: &Stack, indexes: std::ops::Range<u64>) {
    let (start, end) = (indexes.start, indexes.end);
    let in_range = format!("log_index >= {start} AND log_index < {end}");
    let note = format!(
        "INSERT INTO audit_archive
         SELECT account_id, {start}, {end}, min(recorded_at), max(recorded_at), '2026-10.jsonl.zst', sha256('file'), now()
         FROM audit_entry WHERE {in_range} GROUP BY account_id"
    );
    stack.tamper(&note).await;
    stack.tamper(&format!("DELETE FROM audit_entry WHERE {in_range}")).await;
}

#[tokio::test]
async fn the_first_page_lists_the_archived_ranges_and_their_files() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..3).await;
    archive(&stack, 0..2).await;
    let mut auditor = auditor(&stack).await;
    let mut request = ListAuditEntriesRequest {
        page_size: 2,
        ..Default::default()
    };
    let first = page(&mut auditor, &request).await;
    let [range] = &first.archived[..] else {
        panic!("{first:?}")
    };
    assert_eq!(
        (range.account_id.as_str(), range.start_index, range.end_index),
        (ACCOUNT, 0, 2)
    );
    assert_eq!(range.location, "2026-10.jsonl.zst");
    assert_eq!(range.sha256.len(), 64);
    request.page_token = first.next_page_token;
    let second = page(&mut auditor, &request).await;
    assert_eq!((second.entries.len(), second.archived.len()), (2, 0));
    assert_eq!(second.next_page_token, "");
    request = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter {
            account_ids: vec![OTHER_ACCOUNT.into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(page(&mut auditor, &request).await.archived, []);
    // A range that is archived while pages are read is listed on the next page.
    request = ListAuditEntriesRequest {
        page_size: 1,
        ..Default::default()
    };
    request.page_token = page(&mut auditor, &request).await.next_page_token;
    archive(&stack, 2..3).await;
    let second = page(&mut auditor, &request).await;
    let [range] = &second.archived[..] else {
        panic!("{second:?}")
    };
    assert_eq!((range.start_index, range.end_index), (2, 3));
    request.page_token = second.next_page_token;
    let third = page(&mut auditor, &request).await;
    assert_eq!(third.archived, [], "the range is listed once");
    let history = ListPermissionHistoryRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
        ..Default::default()
    };
    let history = auditor
        .list_permission_history(as_tester(history))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((history.entries.len(), history.archived.len()), (0, 2));
    stack.end().await;
}

#[tokio::test]
async fn getting_an_archived_entry_names_its_file() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..3).await;
    archive(&stack, 0..2).await;
    let request = GetAuditEntryRequest {
        account_id: ACCOUNT.into(),
        log_index: 1,
    };
    let status = auditor(&stack)
        .await
        .get_audit_entry(as_tester(request))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "ENTRY_ARCHIVED")
    );
    assert_eq!(detail(&status, "location"), "2026-10.jsonl.zst");
    assert_eq!(detail(&status, "sha256").len(), 64);
    stack.end().await;
}
