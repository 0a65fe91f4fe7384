//! The current policy is checked when a change is accepted, and again before each grant call to AWS.

use std::fs;

use sharewarden::{
    config::{RoleConfig, ShareWith},
    policy::{PolicySet, roles::Role},
};
use sharewarden_client::proto::v1::GetChangeRequest;
use sharewarden_simulator::{Effect, Image};
use tonic::{Code, Request};

use sharewarden_testkit::stack::{
    ACCOUNT, IMAGE, OTHER_RECIPIENT, RECIPIENT, REGION, Stack, UPDATE, as_tester, detail, grant, late, reason, revoke,
    spawn_grant, until,
};

#[tokio::test]
async fn a_grant_that_the_policy_refuses_before_the_first_call_fails_and_aws_is_not_called() {
    let stack = Stack::start().await;
    // The revoke call is in flight, and the grant waits behind it.
    stack.fault(UPDATE, 1, late(1500));
    let mut revoking = stack.client().await;
    let revoked = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(revoke())).await });
    stack.wait_for_calls(UPDATE, 1).await;
    let granted = spawn_grant(stack.client().await, grant());
    until(&stack.pool, "SELECT count(*) FROM change", 2).await;
    stack.policy().replace(PolicySet::default());

    revoked.await.unwrap().unwrap();
    let refused = granted.await.unwrap().unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED"),
        "{refused:?}"
    );
    assert!(detail(&refused, "rule").contains("tester"), "{refused:?}");
    assert_eq!(stack.calls_of(UPDATE), 1);
    let ledger = stack.ledger(ACCOUNT).await;
    let last = &ledger[3];
    assert_eq!(
        (&last["kind"], &last["body"]["error_reason"]),
        (&"change.failed".into(), &"POLICY_DENIED".into())
    );
    assert!(last["body"].get("attempts").is_none(), "{last}");
    let decision = &last["body"]["decision"];
    assert_eq!(decision["policy_set"], PolicySet::default().digest().to_string());
    assert_eq!(decision["policies"], serde_json::json!([]));
    assert_ne!(decision, &ledger[1]["body"]["decision"]);
    stack.end().await;
}

#[tokio::test]
async fn a_decision_is_on_record_with_its_policies_and_the_text_of_its_set_is_kept() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let set = stack.policy().in_force();
    let granted = client
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap()
        .into_inner();
    let shown = granted.change.unwrap().decision.unwrap();
    assert_eq!(shown.policy_set, set.digest().to_string());
    let [id] = &shown.policies[..] else { panic!("{shown:?}") };
    assert!(id.starts_with("roles.operator."), "{id}");
    for entry in stack.ledger(ACCOUNT).await {
        let decision = &entry["body"]["decision"];
        assert_eq!(decision["policies"], serde_json::json!([id]));
        assert_eq!(decision["policy_set"], shown.policy_set);
        assert!(
            decision.get("facts").is_none(),
            "no policy refers to the image: {decision}"
        );
    }
    let kept: String = sqlx::query_scalar("SELECT text FROM policy_set WHERE digest = $1")
        .bind(&shown.policy_set)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(kept, set.text());

    let mut validated = revoke();
    validated.validate_only = true;
    let validated = client
        .revoke_share_permission(as_tester(validated))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(validated.decision.unwrap().policies, shown.policies);

    let mut to_stranger = grant();
    to_stranger.shared_account_id = OTHER_RECIPIENT.into();
    let operator = RoleConfig::of("*".parse().unwrap(), [Role::Operator]);
    let share_with = ShareWith::Only([RECIPIENT.parse().unwrap()].into());
    let narrow = PolicySet::new([(ACCOUNT.parse().unwrap(), share_with)], [operator]);
    let digest = narrow.digest().to_string();
    stack.policy().replace(narrow);
    let refused = client.grant_share_permission(as_tester(to_stranger)).await.unwrap_err();
    let forbids = format!("accounts.{ACCOUNT}.share_with");
    assert_eq!(
        (detail(&refused, "policies"), detail(&refused, "policy_set")),
        (forbids.clone(), digest.clone())
    );
    let ledger = stack.ledger(ACCOUNT).await;
    let denied = ledger.iter().find(|entry| entry["kind"] == "change.denied").unwrap();
    let decision = &denied["body"]["decision"];
    assert_eq!(decision["policy_set"], digest);
    assert_eq!(decision["policies"], serde_json::json!([forbids]));
    stack.end().await;
}

#[tokio::test]
async fn a_retried_grant_is_checked_against_the_current_policy() {
    let stack = Stack::start().await;
    stack.hold();
    let granted = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    stack.policy().replace(PolicySet::default());
    let refused = granted.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED", "{refused:?}");
    stack.release();
    assert_eq!(stack.shared_with(), [RECIPIENT; 0]);
    stack.end().await;
}

#[tokio::test]
async fn an_accepted_revoke_is_not_checked_against_the_policy_again() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.hold();
    let mut revoking = stack.client().await;
    let revoked = tokio::spawn(async move { revoking.revoke_share_permission(as_tester(revoke())).await });
    stack.wait_for_calls(UPDATE, 2).await;
    stack.policy().replace(PolicySet::default());
    stack.release();
    revoked.await.unwrap().unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT; 0]);
    stack.end().await;
}

/// Permits from a file, and refuses what a role permits.
const POLICIES: &str = "@id(\"pipelines\")
permit (principal in Sharewarden::PrincipalGroup::\"pipelines\", action == Sharewarden::Action::\"grant\", resource)
when { context has ticket && context.ticket like \"CHG-*\" };

@id(\"partners-only\")
@says(\"Images are shared with partners only.\")
forbid (principal, action == Sharewarden::Action::\"grant\", resource)
unless { context.recipient in Sharewarden::AccountGroup::\"partners\" };
";

#[tokio::test]
async fn policies_of_files_permit_and_forbid_beside_the_roles_and_the_refusal_says_why() {
    let policies = tempfile::tempdir().unwrap();
    fs::write(policies.path().join("sharing.cedar"), POLICIES).unwrap();
    let directory = policies.path().display();
    let stack = Stack::start_with(&format!(
        "policy.directory = \"{directory}\"
roles = [{{ principal = \"tester@example.com\", roles = [\"operator\"] }}]
groups = [
    {{ name = \"pipelines\", principals = [\"build/*\"] }},
    {{ name = \"partners\", accounts = [\"{RECIPIENT}\"] }},
]
"
    ))
    .await;
    let mut client = stack.client().await;
    let as_pipeline = |ticket: &str| {
        let mut message = grant();
        message.ticket = ticket.into();
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("x-sharewarden-principal", "build/7".parse().unwrap());
        request
    };
    let refused = client.grant_share_permission(as_pipeline("INC-1")).await.unwrap_err();
    assert_eq!(
        detail(&refused, "rule"),
        format!(
            "build/7 may not grant in account {ACCOUNT}: this needs the role operator, or the policy \"pipelines\", which needs \
             `context.ticket like \"CHG-*\"`"
        )
    );
    let granted = client.grant_share_permission(as_pipeline("CHG-1")).await.unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    // No role names the pipeline, and it reads what it asked for.
    let mut own = Request::new(GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id: granted.into_inner().change.unwrap().change_id,
    });
    own.metadata_mut()
        .insert("x-sharewarden-principal", "build/7".parse().unwrap());
    client.get_change(own).await.unwrap();

    let mut to_stranger = grant();
    to_stranger.shared_account_id = OTHER_RECIPIENT.into();
    let refused = client.grant_share_permission(as_tester(to_stranger)).await.unwrap_err();
    assert_eq!(
        detail(&refused, "rule"),
        "the policy \"partners-only\" refuses: Images are shared with partners only."
    );
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    stack.end().await;
}

/// Speaks of a tag, and of the state that AWS reports.
pub(crate) const RELEASED: &str = "@id(\"released-only\")
@says(\"Only released images are shared.\")
forbid (principal, action == Sharewarden::Action::\"grant\", resource)
unless {
  resource has state && resource.state == \"AVAILABLE\" &&
  resource.hasTag(\"release\") && resource.getTag(\"release\") == \"approved\"
};
";

#[tokio::test]
async fn a_policy_decides_by_what_aws_reports_and_a_grant_without_it_is_refused_with_the_reason() {
    let policies = tempfile::tempdir().unwrap();
    fs::write(policies.path().join("released.cedar"), RELEASED).unwrap();
    let stack = Stack::start_with(&format!("policy.directory = \"{}\"\n", policies.path().display())).await;
    let released = Image::new(REGION, "wsi-released01", ACCOUNT).tagged("release", "approved");
    stack.simulator.add_image(released).unwrap();
    stack
        .simulator
        .add_image(Image::new(REGION, "wsi-untagged01", ACCOUNT))
        .unwrap();
    let request = |image: &str| {
        let mut request = grant();
        request.image_id = image.into();
        as_tester(request)
    };
    let mut client = stack.client().await;
    let refused = client
        .grant_share_permission(request("wsi-untagged01"))
        .await
        .unwrap_err();
    assert_eq!(
        detail(&refused, "rule"),
        "the policy \"released-only\" refuses: Only released images are shared."
    );
    client.grant_share_permission(request("wsi-released01")).await.unwrap();
    let reads = ["DescribeWorkspaceImages", "DescribeTags"].map(|operation| stack.calls_of(operation));
    assert_eq!(reads, [2, 2], "the check before the call uses what the acceptance read");

    let refuse = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: "not for this role".into(),
        http_status: 400,
    };
    stack.fault("DescribeTags", u64::MAX, refuse);
    let refused = client.grant_share_permission(request(IMAGE)).await.unwrap_err();
    let (rule, reason) = (detail(&refused, "rule"), "AccessDeniedException: not for this role");
    let expected = format!("the policy needs to know the tags of the image, which is not known: {reason}");
    assert_eq!(rule, expected);
    assert_eq!(stack.calls_of(UPDATE), 1);
    // What gives no access is not kept from happening.
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    stack.end().await;
}

#[tokio::test]
async fn nothing_is_read_about_images_that_no_policy_speaks_of() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    assert_eq!(stack.calls_of("DescribeTags"), 0);
    stack.end().await;
}

#[tokio::test]
async fn nobody_may_call_with_the_name_of_the_service() {
    let stack = Stack::start_with("roles = [{ principal = \"*\", roles = [\"operator\"] }]\n").await;
    let mut client = stack.client().await;
    let mut request = Request::new(grant());
    let metadata = request.metadata_mut();
    metadata.insert("x-sharewarden-principal", "sharewarden".parse().unwrap());
    let refused = client.grant_share_permission(request).await.unwrap_err();
    assert_eq!(
        detail(&refused, "rule"),
        "sharewarden is the name of the service itself: no caller may have it"
    );
    stack.end().await;
}
