//! The names that the histories use, made once.

use std::sync::{Arc, LazyLock};

use sharewarden::domain::{
    AccountId, Action, ChangeFailure, ChangeId, FailureReason, Intent, PermissionKey, Principal, ReplicaId, RequestId,
    Timestamp, example,
};
use uuid::Uuid;

static KEYS: LazyLock<[PermissionKey; 4]> = LazyLock::new(|| [1, 2, 3, 4].map(made_key));
static PRINCIPALS: LazyLock<[Principal; 2]> =
    LazyLock::new(|| ["ann", "bob"].map(|name| name.parse().expect("it follows its rule")));
static EXAMPLE: LazyLock<Intent> = LazyLock::new(example::intent);
static START: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::parse("2026-11-22T00:00:00Z").expect("it is RFC 3339"));

fn made_key(number: u64) -> PermissionKey {
    PermissionKey {
        account: account(),
        region: "eu-central-1".parse().expect("it follows its rule"),
        image: "wsi-123456789".parse().expect("it follows its rule"),
        shared_account: format!("{number:012}").parse().expect("it follows its rule"),
    }
}

pub(crate) fn account() -> AccountId {
    "000011112222".parse().expect("it follows its rule")
}

/// One of four permissions; histories open changes of the first three only.
pub(crate) fn key(number: u64) -> PermissionKey {
    KEYS[number as usize].clone()
}

pub(crate) fn change(number: u64) -> ChangeId {
    ChangeId(Uuid::from_u64_pair(1, number))
}

pub(crate) fn replica(number: u64) -> ReplicaId {
    ReplicaId(Uuid::from_u64_pair(3, number))
}

pub(crate) fn start() -> Timestamp {
    *START
}

pub(crate) fn intent(id: u64, request: u64, key: PermissionKey, action: Action, who: u64) -> Arc<Intent> {
    Arc::new(Intent {
        change_id: change(id),
        request_id: RequestId(Uuid::from_u64_pair(2, request)),
        key,
        action,
        principal: PRINCIPALS[who as usize].clone(),
        ..EXAMPLE.clone()
    })
}

pub(crate) fn refused() -> ChangeFailure {
    ChangeFailure {
        reason: FailureReason::UpstreamRefused,
        code: None,
        message: None,
    }
}
