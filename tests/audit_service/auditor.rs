//! A client for auditors, and helpers that make a history.

use std::borrow::Cow;

use sharewarden::{
    clock::Clock,
    domain::{
        Access, ConfirmationBody, DriftBaselineBody, EventId, Justification, Observation, PermissionKey, ReplicaId,
        ScanId, SharingEvent, transition::Command,
    },
    store::{Committer, Database, Notifications},
};
use sharewarden_client::proto::v1::{
    AuditEntry, AuditEntryFilter, ChangeBody, GrantSharePermissionRequest, ListAuditEntriesRequest,
    ListAuditEntriesResponse, RevokeSharePermissionRequest, audit_entry::Body,
    audit_service_client::AuditServiceClient,
};
use sharewarden_testkit::stack::*;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

pub(crate) type Auditor = AuditServiceClient<Channel>;

/// An audit client on its own connection.
pub(crate) async fn auditor(stack: &Stack) -> Auditor {
    Auditor::connect(format!("http://{}", stack.address)).await.unwrap()
}

/// Reads one page.
pub(crate) async fn page(auditor: &mut Auditor, request: &ListAuditEntriesRequest) -> ListAuditEntriesResponse {
    let page = auditor.list_audit_entries(as_tester(request.clone())).await;
    page.unwrap().into_inner()
}

/// Reads all matching entries, newest first, with pages of 7.
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

/// A budget of one refusal.
const ONE_DENIAL: &str = "denials.burst = 1\ndenials.refill_every = \"1day\"\ndenials.summary_every = \"100ms\"\n";

/// A service and a history with every kind of entry. Two grants and a revoke succeed, a grant fails, the policy denies three
/// grants, two of them over the budget, and a newer change supersedes a grant.
pub(crate) async fn stack_with_history() -> Stack {
    let stack = Stack::start_with(ONE_DENIAL).await;
    make_history(&stack).await;
    stack
}

async fn make_history(stack: &Stack) {
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
    for number in 0..3 {
        let denied = client
            .grant_share_permission(request_as("pipeline", other(RECIPIENT)))
            .await;
        assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied, "{number}");
    }
    let counted = "SELECT coalesce(sum((entry::jsonb -> 'body' ->> 'count')::bigint), 0)::bigint FROM audit_entry
        WHERE kind = 'change.denials'";
    until(&stack.pool, counted, 2).await;
    client
        .grant_share_permission(as_tester(other(OTHER_RECIPIENT)))
        .await
        .unwrap_err();
    supersede(stack).await;
    record_without_callers(stack).await;
}

/// Records a confirmation, a call past the service, and a share that AWS shows and then does not show any more.
async fn record_without_callers(stack: &Stack) {
    let (config, clock) = (stack.config(""), Clock::system());
    let database = Database::new(&config.database, &clock).unwrap();
    let (work, _no_work) = tokio::sync::mpsc::unbounded_channel();
    let committer = Committer::start(
        &database,
        config.committer,
        &config.forwarder,
        ReplicaId(clock.uuid()),
        &clock,
        &Notifications::default(),
        &work,
    )
    .unwrap();
    let body = ConfirmationBody {
        operator: "ann@example.com".parse().unwrap(),
        justification: Justification::new(
            "compared with an export".parse().unwrap(),
            Some("OPS-7".parse().unwrap()),
        ),
        root: [7; 32],
        tree_size: 2,
    };
    let confirm = Command::Confirm(ACCOUNT.parse().unwrap(), body);
    committer.commit(confirm).await.unwrap();
    let baseline = DriftBaselineBody {
        is_confirmed: true,
        principal: "ann@example.com".parse().unwrap(),
        justification: Justification::new(
            "all findings are decided".parse().unwrap(),
            Some("OPS-8".parse().unwrap()),
        ),
    };
    let baseline = Command::SetBaseline(ACCOUNT.parse().unwrap(), Box::new(baseline));
    committer.commit(baseline).await.unwrap();
    let key = PermissionKey {
        account: ACCOUNT.parse().unwrap(),
        region: REGION.parse().unwrap(),
        image: IMAGE.parse().unwrap(),
        shared_account: "500000000099".parse().unwrap(),
    };
    let event = SharingEvent {
        id: EventId(clock.uuid()),
        at: clock.now(),
        key: key.clone(),
        access: Access::Shared,
        principal_arn: Some("arn:aws:iam::111122223333:user/ann".into()),
        source_ip: Some("192.0.2.7".into()),
        user_agent: Some("aws-cli/2".into()),
    };
    committer.commit(Command::RecordEvent(event.into())).await.unwrap();
    for shown in [Access::Shared, Access::NotShared] {
        let observation = Observation {
            key: key.clone(),
            shown,
            first_seen_at: clock.now(),
            seen_at: clock.now(),
            scan_id: ScanId(clock.uuid()),
            permission: None,
        };
        committer.commit(Command::Observe(observation)).await.unwrap();
    }
    committer.close().await;
    database.close().await;
}

/// Makes a grant that waits for its next attempt, one that joins it, and the revoke that supersedes both.
async fn supersede(stack: &Stack) {
    let to = |account: &str| GrantSharePermissionRequest {
        shared_account_id: account.into(),
        ..grant()
    };
    stack.hold();
    let before = stack.calls_of(UPDATE);
    let superseded = spawn_grant(stack.client().await, to(OTHER_RECIPIENT));
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
    for superseded in [superseded, joined] {
        assert_eq!(superseded.await.unwrap().unwrap_err().code(), Code::Aborted);
    }
    stack.release();
    newer.await.unwrap().unwrap();
}

/// Grants to one recipient for each number. Each grant makes two entries.
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

/// The body of an entry that is about a change. For counted denials: their principal, and nothing else.
/// For drift: the share.
pub(crate) fn change(entry: &AuditEntry) -> Cow<'_, ChangeBody> {
    match &entry.body {
        Some(Body::Change(change)) => Cow::Borrowed(change),
        Some(Body::Denials(denials)) => Cow::Owned(ChangeBody {
            principal: denials.principal.clone(),
            ..Default::default()
        }),
        Some(Body::DriftFound(found)) => about(&found.region, &found.image_id, &found.shared_account_id),
        Some(Body::DriftResolved(resolved)) => about(&resolved.region, &resolved.image_id, &resolved.shared_account_id),
        Some(Body::DriftBaseline(baseline)) => Cow::Owned(ChangeBody {
            principal: baseline.principal.clone(),
            reason: baseline.reason.clone(),
            ticket: baseline.ticket.clone(),
            ..Default::default()
        }),
        Some(Body::DriftObserved(observed)) => about(&observed.region, &observed.image_id, &observed.shared_account_id),
        Some(Body::CheckpointConfirmed(_)) => Cow::Owned(ChangeBody::default()),
        None => panic!("an entry without a body: {entry:?}"),
    }
}

/// The share of a difference between AWS and the ledger.
fn about(region: &str, image: &str, recipient: &str) -> Cow<'static, ChangeBody> {
    Cow::Owned(ChangeBody {
        region: region.into(),
        image_id: image.into(),
        shared_account_id: recipient.into(),
        ..Default::default()
    })
}

/// The account and the index of an entry.
pub(crate) fn position(entry: &AuditEntry) -> (String, u64) {
    (entry.account_id.clone(), entry.log_index)
}

/// The invalid fields that a status names.
pub(crate) fn invalid_fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
