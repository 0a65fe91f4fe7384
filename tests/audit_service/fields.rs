//! Invalid requests: the status names all invalid fields.

use sharewarden::proto::v1::{
    AuditEntryFilter, GetAuditEntryRequest, GetSharePermissionsAtRequest, ListAuditEntriesRequest,
    ListPermissionHistoryRequest, SummarizeAuditEntriesRequest,
};
use sharewarden_testkit::stack::*;
use tonic::Code;

use crate::auditor::*;

#[tokio::test]
async fn every_invalid_field_is_named() {
    let stack = Stack::start().await;
    let mut auditor = auditor(&stack).await;
    macro_rules! refuses {
        ($method:ident, $request:expr, $fields:expr) => {
            let status = auditor.$method(as_tester($request)).await.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "INVALID_FIELDS")
            );
            assert_eq!(invalid_fields(&status), $fields);
        };
    }
    let no_time = pbjson_types::Timestamp { seconds: 0, nanos: -1 };
    let filter = AuditEntryFilter {
        account_ids: vec![ACCOUNT.into(), "1".into()],
        regions: vec!["EU".into(); 101],
        image_id: "ami-1".into(),
        shared_account_id: "2".into(),
        principals: vec!["two words".into()],
        actions: vec![0],
        kinds: [
            "denied",
            "change.denied",
            "Change.denied",
            "change..denied",
            "change.denied ",
            "change.7",
        ]
        .map(String::from)
        .to_vec(),
        causes: vec![-1],
        change_id: "x".into(),
        request_id: "y".into(),
        aws_request_id: "z".repeat(257),
        start_time: Some(no_time),
        end_time: Some(no_time),
        text: "nul\0".into(),
    };
    let request = ListAuditEntriesRequest {
        filter: Some(filter),
        order: 7,
        page_size: -1,
        page_token: "?".into(),
    };
    let fields = [
        "filter.account_ids[1]",
        "filter.regions",
        "filter.image_id",
        "filter.shared_account_id",
        "filter.principals[0]",
        "filter.actions[0]",
        "filter.kinds[0]",
        "filter.kinds[2]",
        "filter.kinds[3]",
        "filter.kinds",
        "filter.causes[0]",
        "filter.change_id",
        "filter.request_id",
        "filter.aws_request_id",
        "filter.start_time",
        "filter.end_time",
        "filter.text",
        "order",
        "page_size",
    ];
    refuses!(list_audit_entries, request, fields);
    refuses!(get_audit_entry, GetAuditEntryRequest::default(), ["account_id"]);
    let key = ["account_id", "region", "image_id", "shared_account_id"];
    refuses!(list_permission_history, ListPermissionHistoryRequest::default(), key);
    refuses!(
        get_share_permissions_at,
        GetSharePermissionsAtRequest {
            page_token: "?".into(),
            ..Default::default()
        },
        ["time"]
    );
    refuses!(
        summarize_audit_entries,
        SummarizeAuditEntriesRequest::default(),
        ["start_time", "end_time"]
    );
    stack.end().await;
}

#[tokio::test]
async fn a_page_token_is_valid_only_for_its_own_list() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..2).await;
    let mut auditor = auditor(&stack).await;
    let first = ListAuditEntriesRequest {
        page_size: 1,
        ..Default::default()
    };
    let page_token = page(&mut auditor, &first).await.next_page_token;
    let others = [
        ListAuditEntriesRequest {
            order: 2,
            ..first.clone()
        },
        ListAuditEntriesRequest {
            filter: Some(AuditEntryFilter {
                kinds: vec!["change.requested".into()],
                ..Default::default()
            }),
            ..first.clone()
        },
    ];
    for other in others {
        let other = ListAuditEntriesRequest {
            page_token: page_token.clone(),
            ..other
        };
        let status = auditor.list_audit_entries(as_tester(other)).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_PAGE_TOKEN")
        );
        assert_eq!(invalid_fields(&status), ["page_token"]);
    }
    // An unset order means newest first, and an empty filter is the same as no filter.
    let same = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter::default()),
        order: 1,
        page_size: 3,
        page_token,
    };
    assert_eq!(page(&mut auditor, &same).await.entries.len(), 3);
    stack.end().await;
}
