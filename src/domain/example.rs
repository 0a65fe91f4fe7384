//! An example intent for tests, the test kit and benchmarks. They set the fields that matter to them, and take the others from
//! here. So a new field of [`Intent`] needs an example value in one place only.

use uuid::Uuid;

use super::{Action, Authentication, Cause, ChangeId, CredentialKind, Intent, Justification, PermissionKey, RequestId};

/// A grant, requested by a caller.
pub fn intent() -> Intent {
    let valid = "an example follows its rule";
    Intent {
        change_id: ChangeId(Uuid::from_u128(1)),
        request_id: RequestId(Uuid::from_u128(2)),
        key: PermissionKey {
            account: "000011112222".parse().expect(valid),
            region: "eu-central-1".parse().expect(valid),
            image: "wsi-123456789".parse().expect(valid),
            shared_account: "210987654321".parse().expect(valid),
        },
        action: Action::Grant,
        cause: Cause::Caller,
        principal: "build".parse().expect(valid),
        authentication: Some(Authentication {
            credentials: vec![CredentialKind::TrustedHeader],
        }),
        justification: Justification::example(),
        trace_id: None,
    }
}
