//! The service explains how its policy decides, to those who may know, and makes nothing of it.

use std::collections::BTreeMap;

use sharewarden::{
    config::{GroupConfig, RoleConfig, ShareWith},
    grpc::PRINCIPAL,
    policy::{PolicyFile, PolicySet, PolicySource, roles::Role},
};
use sharewarden_client::proto::v1::{
    Action, CredentialKind, ExplainPolicyRequest, ExplainPolicyResponse, GrantSharePermissionRequest, PolicyEffect,
};
use sharewarden_simulator::Image;
use sharewarden_testkit::stack::{ACCOUNT, IMAGE, REGION, Stack, UPDATE, as_tester, detail, grant, late, reason};
use tonic::{Code, Request, Status};

const TAGS: &str = "DescribeTags";
pub(crate) const RELEASED: &str = "wsi-released01";
pub(crate) const TESTER: &str = "tester@example.com";

/// Testers share released images under a ticket. Nobody shares under ticket 13.
const POLICIES: &str = "@id(\"released\") @says(\"Testers share released images.\")
permit (principal in Sharewarden::PrincipalGroup::\"testers\", action == Sharewarden::Action::\"grant\", resource)
when { context has ticket && resource.hasTag(\"release\") };
@id(\"no-13\") @says(\"13 is no ticket.\")
forbid (principal, action == Sharewarden::Action::\"grant\", resource)
when { context has ticket && context.ticket == \"13\" };
";

/// The set. The auditor audits the account, and `other` another one.
fn set() -> PolicySet {
    let auditor = |principal: &str, account: &str| RoleConfig {
        principal: Some(principal.parse().unwrap()),
        group: None,
        roles: [Role::Auditor].into(),
        accounts: Some([account.parse().unwrap()].into()),
    };
    PolicySet::compile(PolicySource {
        accounts: BTreeMap::from([(ACCOUNT.parse().unwrap(), ShareWith::Anyone)]),
        roles: vec![auditor("auditor", ACCOUNT), auditor("other", "444455556666")],
        groups: vec![GroupConfig {
            name: "testers".into(),
            principals: vec!["tester@*".parse().unwrap(), "nurse".parse().unwrap()],
            ..GroupConfig::default()
        }],
        zone: "UTC".into(),
        files: vec![PolicyFile {
            name: "test.cedar".into(),
            text: POLICIES.into(),
        }],
    })
    .unwrap()
}

pub(crate) async fn stack() -> Stack {
    let stack = Stack::start().await;
    for image in [RELEASED, "wsi-released02"] {
        let image = Image::new(REGION, image, ACCOUNT).tagged("release", "approved");
        stack.simulator.add_image(image).unwrap();
    }
    let set = set();
    // As the service does it before a set is in force.
    sqlx::query("INSERT INTO policy_set (digest, text) VALUES ($1, $2)")
        .bind(set.digest().to_string())
        .bind(set.text())
        .execute(&stack.pool)
        .await
        .unwrap();
    stack.policy().replace(set);
    stack
}

fn question(image: &str, ticket: &str) -> ExplainPolicyRequest {
    let GrantSharePermissionRequest {
        account_id,
        region,
        shared_account_id,
        reason,
        ..
    } = grant();
    ExplainPolicyRequest {
        action: Action::Grant.into(),
        account_id,
        region,
        image_id: image.into(),
        shared_account_id,
        reason,
        ticket: ticket.into(),
        ..ExplainPolicyRequest::default()
    }
}

async fn explain(stack: &Stack, caller: &str, question: ExplainPolicyRequest) -> Result<ExplainPolicyResponse, Status> {
    let mut request = Request::new(question);
    request.metadata_mut().insert(PRINCIPAL, caller.parse().unwrap());
    Ok(stack.client().await.explain_policy(request).await?.into_inner())
}

#[tokio::test]
async fn a_caller_learns_what_its_grant_would_get_and_nothing_is_recorded() {
    let stack = stack().await;
    let allowed = explain(&stack, TESTER, question(RELEASED, "CHG-1")).await.unwrap();
    let decision = allowed.decision.unwrap();
    assert!(allowed.allowed && allowed.refusal.is_empty() && allowed.near.is_empty());
    assert_eq!(decision.policies, ["released"]);
    assert_eq!(decision.policy_set, set().digest().to_string());
    let [policy] = &allowed.policies[..] else {
        panic!("{:?}", allowed.policies)
    };
    assert_eq!(policy.effect(), PolicyEffect::Permit);
    assert_eq!(policy.says, "Testers share released images.");
    // Texts and facts are for those who may read them elsewhere.
    assert_eq!((policy.text.as_str(), policy.origin.as_str()), ("", ""));
    assert_eq!((decision.tags.len(), decision.image), (0, None));

    let forbidden = explain(&stack, TESTER, question(RELEASED, "13")).await.unwrap();
    assert_eq!(forbidden.refusal, "the policy \"no-13\" refuses: 13 is no ticket.");
    assert_eq!(
        (forbidden.policies[0].effect(), forbidden.near.len()),
        (PolicyEffect::Forbid, 0)
    );

    let refused = explain(&stack, TESTER, question(IMAGE, "")).await.unwrap();
    assert!(!refused.allowed && refused.policies.is_empty(), "{refused:?}");
    let [near] = &refused.near[..] else {
        panic!("{refused:?}")
    };
    assert_eq!(near.policy.as_ref().unwrap().id, "released");
    assert_eq!(near.missing, ["context has ticket"]);
    assert!(
        !near.hides_conditions,
        "a condition behind another one is not evaluated"
    );
    let refused = explain(&stack, TESTER, question(IMAGE, "CHG-1")).await.unwrap();
    assert!(
        refused.near[0].missing.is_empty() && refused.near[0].hides_conditions,
        "{refused:?}"
    );

    // A refusal that was explained has its place in the ledger, and so in the budget, when it happens.
    assert_eq!((stack.kinds(ACCOUNT).await, stack.calls_of(UPDATE)), (vec![], 0));
    let mut request = grant();
    request.ticket = "13".into();
    let denied = stack
        .client()
        .await
        .grant_share_permission(as_tester(request))
        .await
        .unwrap_err();
    assert_eq!(detail(&denied, "log_index"), "0", "{denied:?}");
    assert_eq!(detail(&denied, "rule"), forbidden.refusal);
    stack.end().await;
}

#[tokio::test]
async fn an_auditor_of_the_account_learns_it_about_others_with_texts_and_facts() {
    let stack = stack().await;
    let about = |principal: &str| ExplainPolicyRequest {
        principal: principal.into(),
        ..question(RELEASED, "CHG-1")
    };
    let told = explain(&stack, "auditor", about(TESTER)).await.unwrap();
    let decision = told.decision.unwrap();
    assert!(told.allowed, "{}", told.refusal);
    assert_eq!(decision.tags, [("release".to_owned(), "approved".to_owned())].into());
    let policy = &told.policies[0];
    assert!(policy.text.contains("resource.hasTag(\"release\")"), "{policy:?}");
    assert_eq!(policy.origin, "test.cedar:1");
    let itself = explain(&stack, "auditor", about("")).await.unwrap();
    assert_eq!((itself.allowed, itself.near.len()), (false, 0), "{}", itself.refusal);
    assert!(
        itself.refusal.starts_with("auditor may not grant"),
        "{}",
        itself.refusal
    );

    for (caller, principal) in [(TESTER, "auditor"), (TESTER, "nurse"), ("other", TESTER)] {
        let refused = explain(&stack, caller, about(principal)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::PermissionDenied, "POLICY_DENIED"),
            "{caller} about {principal}: {refused:?}"
        );
        assert!(
            detail(&refused, "rule").contains("needs the role auditor"),
            "{refused:?}"
        );
    }
    // Itself by its name is itself.
    assert!(explain(&stack, TESTER, about(TESTER)).await.unwrap().allowed);
    stack.end().await;
}

#[tokio::test]
async fn an_explanation_about_another_principal_does_not_wait_in_its_turn() {
    let stack = stack().await;
    stack.fault(TAGS, 1, late(20_000));
    let asked = question(RELEASED, "CHG-1");
    let about = ExplainPolicyRequest {
        principal: TESTER.into(),
        ..asked
    };
    let (mut client, mut request) = (stack.client().await, Request::new(about));
    request.metadata_mut().insert(PRINCIPAL, "auditor".parse().unwrap());
    let explaining = tokio::spawn(async move { client.explain_policy(request).await });
    stack.wait_for_calls(TAGS, 1).await;
    // The principal reads the facts of another image meanwhile.
    let mut granted = grant();
    (granted.image_id, granted.ticket) = ("wsi-released02".into(), "CHG-1".into());
    stack
        .client()
        .await
        .grant_share_permission(as_tester(granted))
        .await
        .unwrap();
    assert!(!explaining.is_finished());
    stack.release();
    explaining.abort();
    stack.end().await;
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_as_a_grant_is() {
    let stack = stack().await;
    let wrong = ExplainPolicyRequest {
        action: Action::Unspecified.into(),
        reason: String::new(),
        credentials: vec![CredentialKind::Unspecified.into()],
        principal: "two words".into(),
        ..question(IMAGE, "")
    };
    let invalid = explain(&stack, TESTER, wrong).await.unwrap_err();
    assert_eq!(reason(&invalid), "INVALID_FIELDS", "{invalid:?}");
    for field in ["action", "reason", "credentials", "principal"] {
        assert!(format!("{invalid:?}").contains(field), "{field}: {invalid:?}");
    }
    let mut elsewhere = question(IMAGE, "");
    elsewhere.account_id = "999999999999".into();
    let unknown = explain(&stack, TESTER, elsewhere).await.unwrap_err();
    assert_eq!(reason(&unknown), "ACCOUNT_NOT_CONFIGURED", "{unknown:?}");
    stack.end().await;
}
