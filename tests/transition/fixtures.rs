//! Values that the histories share.

use std::sync::{Arc, LazyLock};

use sharewarden::domain::{
    Access, AccountId, Action, Cause, ChangeFailure, ChangeId, DenialsBody, EventId, FailureReason, Intent,
    PermissionKey, Principal, ReplicaId, RequestId, ScanId, SharingEvent, Timestamp, example, transition::Command,
};
use uuid::Uuid;

static KEYS: LazyLock<[PermissionKey; 4]> = LazyLock::new(|| [1, 2, 3, 4].map(build_key));
static PRINCIPALS: LazyLock<[Principal; 2]> =
    LazyLock::new(|| ["ann", "bob"].map(|name| name.parse().expect("a fixture is valid")));
static EXAMPLE: LazyLock<Intent> = LazyLock::new(example::intent);
static START: LazyLock<Timestamp> =
    LazyLock::new(|| Timestamp::parse("2026-11-22T00:00:00Z").expect("a fixture is valid"));

fn build_key(number: u64) -> PermissionKey {
    PermissionKey {
        shared_account: format!("{number:012}").parse().expect("it follows its rule"),
        ..EXAMPLE.key.clone()
    }
}

pub(crate) fn account() -> AccountId {
    EXAMPLE.key.account
}

/// One of four permissions. Histories open changes for the first three only.
pub(crate) fn key(number: u64) -> PermissionKey {
    KEYS[number as usize].clone()
}

pub(crate) fn change(number: u64) -> ChangeId {
    ChangeId(Uuid::from_u64_pair(1, number))
}

pub(crate) fn replica(number: u64) -> ReplicaId {
    ReplicaId(Uuid::from_u64_pair(3, number))
}

pub(crate) fn scan(number: u64) -> ScanId {
    ScanId(Uuid::from_u64_pair(4, number))
}

/// A call past the service, as CloudTrail has it.
pub(crate) fn event(number: u64, key: PermissionKey, access: Access) -> Arc<SharingEvent> {
    Arc::new(SharingEvent {
        id: EventId(Uuid::from_u64_pair(5, number)),
        at: start(),
        key,
        access,
        principal_arn: Some("arn:aws:iam::111122223333:user/ann".into()),
        source_ip: None,
        user_agent: None,
    })
}

pub(crate) fn start() -> Timestamp {
    *START
}

pub(crate) fn intent(id: u64, request: u64, key: PermissionKey, action: Action, principal: u64) -> Arc<Intent> {
    Arc::new(Intent {
        change_id: change(id),
        request_id: RequestId(Uuid::from_u64_pair(2, request)),
        key,
        action,
        principal: PRINCIPALS[principal as usize].clone(),
        ..EXAMPLE.clone()
    })
}

/// The revoke of a share at the end of `basis`, as the worker submits it.
pub(crate) fn ending(id: u64, key: PermissionKey, basis: ChangeId) -> Command {
    let revoke = intent(id, u64::MAX - id, key, Action::Revoke, 0);
    let revoke = Intent {
        cause: Cause::Expiry,
        ..Arc::unwrap_or_clone(revoke)
    };
    Command::End(Arc::new(revoke), basis)
}

/// The revoke of an unrecorded share, as the worker submits it.
pub(crate) fn revoke_of_unrecorded(id: u64, key: PermissionKey, found_index: u64) -> Command {
    let intent = Intent::of_service(change(id).0, key, Action::Revoke, Cause::Drift, "unrecorded");
    Command::RevokeUnrecorded(Arc::new(intent), found_index)
}

pub(crate) fn denials() -> Arc<DenialsBody> {
    Arc::new(DenialsBody {
        count: 3,
        denied_by: "no".into(),
        first_at: start(),
        last_at: start(),
        principal: Some(PRINCIPALS[0].clone()),
    })
}

pub(crate) fn refused() -> ChangeFailure {
    ChangeFailure {
        reason: FailureReason::UpstreamRefused,
        code: None,
        message: None,
    }
}
