//! Who asks about the history, and those who make some.

use sharewarden_client::proto::v1::{
    AuditEntry, AuditEntryFilter, ChangeBody, GrantSharePermissionRequest, ListAuditEntriesRequest,
    ListAuditEntriesResponse, RevokeSharePermissionRequest, audit_entry::Body,
    audit_service_client::AuditServiceClient,
};
use sharewarden_testkit::stack::*;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

pub(crate) type Auditor = AuditServiceClient<Channel>;

/// An auditor on a connection of their own.
pub(crate) async fn auditor(stack: &Stack) -> Auditor {
    Auditor::connect(format!("http://{}", stack.address)).await.unwrap()
}

/// A page of what matches.
pub(crate) async fn page(auditor: &mut Auditor, request: &ListAuditEntriesRequest) -> ListAuditEntriesResponse {
    let page = auditor.list_audit_entries(as_tester(request.clone())).await;
    page.unwrap().into_inner()
}

/// Everything that matches, the newest first, by pages of seven.
pub(crate) async fn all(auditor: &mut Auditor, filter: AuditEntryFilter) -> Vec<AuditEntry> {
    let mut request = ListAuditEntriesRequest {
        filter: Some(filter),
        page_size: 7,
        ..Default::default()
    };
    let mut entries = Vec::new();
    loop {
        let page = page(auditor, &request).await;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return entries;
        }
        request.page_token = page.next_page_token;
    }
}

pub(crate) fn request_as<T>(principal: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", principal.parse().unwrap());
    request
}

/// A history of every kind of entry: two grants and a revoke that succeed, a grant that fails, one that the policy refuses, and one
/// that a newer one overtakes.
pub(crate) async fn make_history(stack: &Stack) {
    let mut client = stack.client().await;
    let with_ticket = GrantSharePermissionRequest {
        ticket: "CHG-0042".into(),
        reason: "Onboarding of Zoë".into(),
        ..grant()
    };
    let granted = client.grant_share_permission(request_as("pipeline", with_ticket)).await;
    granted.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let elsewhere = GrantSharePermissionRequest {
        region: "us-east-1".into(),
        image_id: "wsi-nosuchimage".into(),
        ..grant()
    };
    client.grant_share_permission(as_tester(elsewhere)).await.unwrap_err();
    let other = |shared: &str| GrantSharePermissionRequest {
        account_id: OTHER_ACCOUNT.into(),
        image_id: "wsi-nosuchother".into(),
        shared_account_id: shared.into(),
        ..grant()
    };
    let denied = client
        .grant_share_permission(request_as("pipeline", other(RECIPIENT)))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    client
        .grant_share_permission(as_tester(other(OTHER_RECIPIENT)))
        .await
        .unwrap_err();
    overtake(stack).await;
}

/// A grant that waits for its next attempt, one that joins it, and the revoke that takes its place.
async fn overtake(stack: &Stack) {
    let to = |account: &str| GrantSharePermissionRequest {
        shared_account_id: account.into(),
        ..grant()
    };
    stack.hold();
    let before = stack.calls_of(UPDATE);
    let overtaken = spawn_grant(stack.client().await, to(OTHER_RECIPIENT));
    stack.wait_for_calls(UPDATE, before + 1).await;
    let joined = spawn_grant(stack.client().await, to(OTHER_RECIPIENT));
    let is_recorded = "SELECT count(*) FROM audit_entry WHERE kind = 'change.joined'";
    until(&stack.pool, is_recorded, 1).await;
    let mut client = stack.client().await;
    let newer = RevokeSharePermissionRequest {
        shared_account_id: OTHER_RECIPIENT.into(),
        ..revoke()
    };
    let newer = tokio::spawn(async move { client.revoke_share_permission(as_tester(newer)).await });
    for overtaken in [overtaken, joined] {
        assert_eq!(overtaken.await.unwrap().unwrap_err().code(), Code::Aborted);
    }
    stack.release();
    newer.await.unwrap().unwrap();
}

/// Makes entries about other permissions: two for each number.
pub(crate) async fn grant_to_many(stack: &Stack, numbers: std::ops::Range<u32>) {
    let mut grants = Vec::new();
    for number in numbers {
        let request = GrantSharePermissionRequest {
            shared_account_id: format!("50000000{number:04}"),
            ..grant()
        };
        grants.push(spawn_grant(stack.client().await, request));
    }
    for grant in grants {
        grant.await.unwrap().unwrap();
    }
}

/// The body of an entry that is about a change.
pub(crate) fn change(entry: &AuditEntry) -> &ChangeBody {
    let Some(Body::Change(change)) = &entry.body else {
        panic!("an entry without a body: {entry:?}");
    };
    change
}

/// Where an entry is.
pub(crate) fn place(entry: &AuditEntry) -> (String, u64) {
    (entry.account_id.clone(), entry.log_index)
}

/// The fields that a status says are wrong.
pub(crate) fn wrong_fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

/// A value of the metadata of an error.
pub(crate) fn fact(status: &Status, name: &str) -> String {
    let facts = status.get_details_error_info().unwrap().metadata;
    facts
        .get(name)
        .unwrap_or_else(|| panic!("no {name}: {facts:?}"))
        .clone()
}
