//! An example intent for tests, the test kit and benchmarks. They set the fields that matter to them, and take the others from
//! here. So a new field of [`Intent`] needs an example value in one place only.

use uuid::Uuid;

use super::{
    Action, Authentication, Cause, ChangeId, Claim, Claims, CredentialKind, Decision, Intent, Justification,
    PermissionKey, PolicyDigest, PolicyId, RequestId, Timestamp,
    decision::{Facts, ImageAttributes},
};

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
            claims: Claims::all([("groups".to_owned(), Claim::of(["platform".to_owned()]))])
                .only(&["groups".to_owned(), "team".to_owned()].into()),
            credentials: vec![CredentialKind::TrustedHeader],
        }),
        decision: Some(decision()),
        justification: Justification::example(),
        end: None,
        trace_id: None,
    }
}

/// The text of the policy set of [`decision`].
pub const EXAMPLE_SET: &str = "an example";

/// A decision with every fact.
pub fn decision() -> Decision {
    Decision {
        decided_at: Timestamp::parse("2026-11-22T07:04:59.123456Z").expect("an example follows its rule"),
        facts: Facts {
            expire_time: Timestamp::parse("2026-12-31T23:00:00Z"),
            image: Some(ImageAttributes {
                created_at: Timestamp::parse("2026-11-01T00:00:00Z"),
                name: "Base 11".into(),
                operating_system: "WINDOWS".into(),
                required_tenancy: "DEFAULT".into(),
                state: "AVAILABLE".into(),
            }),
            tags: Some([("release".to_owned(), "approved".to_owned())].into()),
            unknown: None,
        },
        policies: vec![PolicyId::from("pipelines-share".to_owned())],
        policy_set: PolicyDigest::of(EXAMPLE_SET),
    }
}
