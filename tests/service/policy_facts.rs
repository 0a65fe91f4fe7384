//! Policies that speak of what AWS reports about an image, while AWS does not report it.

use std::{collections::BTreeMap, time::Duration};

use sharewarden::{
    config::{GroupConfig, ShareWith},
    policy::{PolicyFile, PolicySet, PolicySource},
};
use sharewarden_simulator::{Effect, Image};
use tonic::Code;

use sharewarden_testkit::stack::{
    ACCOUNT, REGION, Stack, UPDATE, as_tester, grant, late, reason, revoke, spawn_grant, until,
};

pub(crate) const TAGS: &str = "DescribeTags";
const DESCRIBE_IMAGES: &str = "DescribeWorkspaceImages";

/// Permits grants of released images, and every revoke.
pub(crate) const RELEASED: &str = "@id(\"released\")
permit (principal in Sharewarden::PrincipalGroup::\"testers\", action == Sharewarden::Action::\"grant\", resource)
when { resource.hasTag(\"release\") };
@id(\"revokes\")
permit (principal, action == Sharewarden::Action::\"revoke\", resource);
";

/// The set of these policies, with the tester in a group.
pub(crate) fn set(policies: &str) -> PolicySet {
    let testers = GroupConfig {
        name: "testers".into(),
        principals: vec!["tester@*".parse().unwrap()],
        ..GroupConfig::default()
    };
    PolicySet::compile(PolicySource {
        accounts: BTreeMap::from([(ACCOUNT.parse().unwrap(), ShareWith::Anyone)]),
        roles: Vec::new(),
        groups: vec![testers],
        zone: "UTC".into(),
        files: vec![PolicyFile {
            name: "test.cedar".into(),
            text: policies.into(),
        }],
    })
    .unwrap()
}

fn throttle() -> Effect {
    Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    }
}

/// A service with that policy, and a released image.
pub(crate) async fn stack() -> Stack {
    let stack = Stack::start().await;
    let image = Image::new(REGION, "wsi-released01", ACCOUNT).tagged("release", "approved");
    stack.simulator.add_image(image).unwrap();
    stack.policy().replace(set(RELEASED));
    stack
}

/// A grant of the released image.
pub(crate) fn released() -> sharewarden_client::proto::v1::GrantSharePermissionRequest {
    let mut request = grant();
    request.image_id = "wsi-released01".into();
    request
}

#[tokio::test]
async fn a_grant_whose_facts_aws_does_not_give_now_is_unavailable_and_nothing_is_recorded() {
    let stack = stack().await;
    let mut client = stack.client().await;
    stack.fault(TAGS, 1, throttle());
    let unavailable = client.grant_share_permission(as_tester(released())).await.unwrap_err();
    assert_eq!(
        (unavailable.code(), reason(&unavailable).as_str()),
        (Code::Unavailable, "POLICY_FACTS_UNAVAILABLE"),
        "{unavailable:?}"
    );
    assert_eq!(stack.kinds(ACCOUNT).await, [""; 0]);
    // What gives no access does not wait for a fact of grants.
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    stack.end().await;
}

#[tokio::test]
async fn an_accepted_grant_waits_for_facts_that_aws_does_not_give_now() {
    let stack = stack().await;
    stack
        .policy()
        .replace(set("@id(\"all\") permit (principal, action, resource);"));
    // The revoke call is in flight, and the grant waits behind it.
    stack.fault(UPDATE, 1, late(1500));
    let (mut revoking, mut request) = (stack.client().await, revoke());
    request.image_id = released().image_id;
    let revoked = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(request)).await });
    stack.wait_for_calls(UPDATE, 1).await;
    let granted = spawn_grant(stack.client().await, released());
    until(&stack.pool, "SELECT count(*) FROM change", 2).await;
    stack.fault(TAGS, 1, throttle());
    stack.policy().replace(set(RELEASED));
    revoked.await.unwrap().unwrap();
    granted.await.unwrap().unwrap();
    assert_eq!((stack.calls_of(TAGS), stack.calls_of(UPDATE)), (2, 2));
    stack.end().await;
}

#[tokio::test]
async fn facts_are_read_in_a_part_of_the_time_of_the_caller() {
    let stack = stack().await;
    let mut client = stack.client().await;
    stack.fault(TAGS, u64::MAX, late(20_000));
    for validate_only in [true, false] {
        let mut request = as_tester(released());
        request.get_mut().validate_only = validate_only;
        request.set_timeout(Duration::from_secs(1));
        let unavailable = client.grant_share_permission(request).await.unwrap_err();
        assert_eq!(reason(&unavailable), "POLICY_FACTS_UNAVAILABLE", "{unavailable:?}");
    }
    stack.release();
    stack.end().await;
}

#[tokio::test]
async fn the_set_in_force_after_the_read_decides() {
    let stack = stack().await;
    stack.fault(TAGS, 1, late(1000));
    let granted = spawn_grant(stack.client().await, released());
    stack.wait_for_calls(TAGS, 1).await;
    stack.policy().replace(PolicySet::default());
    let refused = granted.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}");
    assert_eq!(
        stack.kinds(ACCOUNT).await,
        ["change.denied"],
        "it was not accepted by the earlier set"
    );
    stack.end().await;
}

#[tokio::test]
async fn an_image_that_was_not_there_is_asked_for_again_after_seconds() {
    let stack = Stack::start().await;
    stack.policy().replace(set(
        "@id(\"all\") permit (principal, action, resource) when { resource has state };",
    ));
    let mut client = stack.client().await;
    let refused = client.grant_share_permission(as_tester(released())).await.unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}");
    stack
        .simulator
        .add_image(Image::new(REGION, "wsi-released01", ACCOUNT))
        .unwrap();
    let asked = stack.calls_of(DESCRIBE_IMAGES);
    let granted = async {
        loop {
            match client.grant_share_permission(as_tester(released())).await {
                Ok(granted) => return granted,
                Err(refused) => assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), granted)
        .await
        .expect("AWS is asked again within seconds");
    assert!(stack.calls_of(DESCRIBE_IMAGES) > asked);
    stack.end().await;
}

#[tokio::test]
async fn a_policy_that_demands_young_facts_gets_them() {
    let stack = stack().await;
    stack
        .policy()
        .replace(set(&RELEASED.replacen("permit", "@max_fact_age(\"0s\") permit", 1)));
    let mut client = stack.client().await;
    for number in 1..=2 {
        let mut request = as_tester(released());
        request.get_mut().validate_only = true;
        client.grant_share_permission(request).await.unwrap();
        assert_eq!(stack.calls_of(TAGS), number);
    }
    stack.end().await;
}
