//! Shares that AWS has and the ledger does not: adopting one, and a whole estate.

use std::process::Stdio;

use serde_json::Value;
use sharewarden::{
    config::{RoleConfig, ShareWith},
    policy::{PolicySet, roles::Role},
};
use sharewarden_client::proto::v1::*;
use sharewarden_simulator::Effect;
use sharewarden_testkit::stack::*;
use tonic::{Code, Status};

use crate::{
    drift::{OFTEN, OPEN, outsider, recipient, told},
    looks::ONCE,
    policy_facts,
    processes::program,
};

fn adoption() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest { adopt: true, ..grant() }
}

async fn refused(stack: &Stack, request: GrantSharePermissionRequest) -> (Code, String) {
    let answer = stack.client().await.grant_share_permission(as_tester(request)).await;
    let status: Status = answer.unwrap_err();
    (status.code(), reason(&status))
}

/// A share that nobody asked the service for, and its finding.
async fn with_a_finding() -> Stack {
    let stack = Stack::start_with(OFTEN).await;
    let outsider = outsider(&stack);
    outsider.set(IMAGE, &grant().shared_account_id, true).await;
    until(&stack.pool, OPEN, 1).await;
    stack
}

/// Permits grants, and no adoption.
const GRANTS: &str = "@id(\"grants\") permit (principal, action == Sharewarden::Action::\"grant\", resource);";

fn nothing_to_adopt() -> (Code, String) {
    (Code::FailedPrecondition, "NOTHING_TO_ADOPT".to_owned())
}

#[tokio::test]
async fn an_adoption_needs_an_open_difference_and_is_on_record_with_its_cause() {
    let stack = with_a_finding().await;
    let of_another = || GrantSharePermissionRequest {
        shared_account_id: recipient(1),
        ..adoption()
    };
    let checked = |request| GrantSharePermissionRequest {
        validate_only: true,
        ..request
    };
    assert_eq!(refused(&stack, of_another()).await, nothing_to_adopt());
    assert_eq!(refused(&stack, checked(of_another())).await, nothing_to_adopt());
    let mut client = stack.client().await;
    let valid = client
        .grant_share_permission(as_tester(checked(adoption())))
        .await
        .unwrap();
    assert_eq!(valid.into_inner().change, None);

    let first = GrantSharePermissionRequest {
        request_id: uuid::Uuid::from_u128(7).to_string(),
        ..adoption()
    };
    let adopted = client
        .grant_share_permission(as_tester(first.clone()))
        .await
        .unwrap()
        .into_inner();
    let change = adopted.change.unwrap();
    assert_eq!((change.cause(), change.action()), (Cause::Adoption, Action::Grant));
    until(&stack.pool, OPEN, 0).await;
    let ledger = stack.ledger(ACCOUNT).await;
    let of_change = |entry: &&Value| entry["body"]["cause"] == "ADOPTION";
    assert_eq!(ledger.iter().filter(of_change).count(), 2, "requested and succeeded");
    assert_eq!(ledger.last().unwrap()["body"]["resolution"], "ADOPTED");

    assert_eq!(refused(&stack, adoption()).await, nothing_to_adopt(), "it is adopted");
    let again = client.grant_share_permission(as_tester(first.clone())).await.unwrap();
    assert!(again.into_inner().replayed);
    let other_content = GrantSharePermissionRequest { adopt: false, ..first };
    assert_eq!(refused(&stack, other_content).await.1, "REQUEST_ID_REUSED");
    stack.end().await;
}

#[tokio::test]
async fn the_policy_is_asked_for_the_action_adopt_at_the_acceptance_and_before_the_call() {
    let stack = with_a_finding().await;
    stack.policy().replace(policy_facts::set(GRANTS));
    let share = format!("{ACCOUNT}/{REGION}/{IMAGE} --with {RECIPIENT}");
    let (_, explained, error) = told(&stack, &format!("policy explain {share} --action adopt")).await;
    assert!(
        explained.starts_with("refused:") && explained.contains("may not adopt"),
        "{explained}{error}"
    );
    let (_, explained, _) = told(&stack, &format!("policy explain {share}")).await;
    assert!(explained.starts_with("allowed"), "{explained}");
    let (_, reason_of_refusal) = refused(&stack, adoption()).await;
    assert_eq!(reason_of_refusal, "POLICY_DENIED");
    let ledger = stack.ledger(ACCOUNT).await;
    let denied = ledger.last().unwrap();
    assert_eq!(
        (&denied["kind"], &denied["body"]["cause"]),
        (&"change.denied".into(), &"ADOPTION".into())
    );
    let rule = denied["body"]["denied_by"].as_str().unwrap();
    assert!(rule.contains("may not adopt"), "{rule}");

    // Accepted by one set, and refused by another before AWS is called.
    stack.policy().replace(policy_facts::set(
        "@id(\"adoptions\") permit (principal, action == Sharewarden::Action::\"adopt\", resource);",
    ));
    let calls = stack.calls_of(UPDATE);
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.fault(UPDATE, 1000, throttle);
    let adopting = spawn_grant(stack.client().await, adoption());
    stack.wait_for_calls(UPDATE, calls + 1).await;
    stack.policy().replace(policy_facts::set(GRANTS));
    let status = adopting.await.unwrap().unwrap_err();
    assert_eq!(reason(&status), "POLICY_DENIED");
    let ledger = stack.ledger(ACCOUNT).await;
    let failed = ledger.last().unwrap();
    assert_eq!(
        (&failed["kind"], &failed["body"]["cause"]),
        (&"change.failed".into(), &"ADOPTION".into())
    );
    until(&stack.pool, OPEN, 1).await;
    stack.end().await;
}

/// P15: an older replica cannot read the cause.
#[tokio::test]
async fn before_the_upgrade_is_finalized_no_adoption_is_accepted() {
    let stack = with_a_finding().await;
    stack.tamper("UPDATE build_admission SET oldest_build = 10").await;
    let size = stack.kinds(ACCOUNT).await.len();
    let not_finalized = (Code::FailedPrecondition, "NOT_FINALIZED".to_owned());
    assert_eq!(refused(&stack, adoption()).await, not_finalized);
    let checked = GrantSharePermissionRequest {
        validate_only: true,
        ..adoption()
    };
    assert_eq!(refused(&stack, checked).await, not_finalized);
    stack.policy().replace(policy_facts::set(GRANTS));
    assert_eq!(
        refused(&stack, adoption()).await,
        not_finalized,
        "an older build cannot read the refusal"
    );
    assert_eq!(stack.kinds(ACCOUNT).await.len(), size);
    stack.end().await;
}

/// Every recipient with an even number is allowed.
fn half() -> PolicySet {
    let allowed = (0..20).step_by(2).map(|number| recipient(number).parse().unwrap());
    let share_with = ShareWith::Only(allowed.collect());
    let roles = [Role::Viewer, Role::Operator];
    PolicySet::new(
        [(ACCOUNT.parse().unwrap(), share_with)],
        [RoleConfig::of("*".parse().unwrap(), roles)],
    )
}

const ADOPTED: &str = "SELECT count(*) FROM change WHERE cause = 'ADOPTION' AND state = 'SUCCEEDED'";

#[tokio::test]
async fn an_estate_is_adopted_as_far_as_the_policy_allows_and_a_second_run_repeats_nothing() {
    let stack = Stack::start_with(ONCE).await;
    stack.policy().replace(half());
    let outsider = outsider(&stack);
    for number in 0..4 {
        outsider.set(IMAGE, &recipient(number), true).await;
    }
    outsider.set("wsi-devtool01", &recipient(4), true).await;
    let adopt = format!("adopt --account {ACCOUNT} -m inherited -t CHG-1");
    let (code, _, error) = told(&stack, &adopt).await;
    assert_eq!(code, Some(2), "there is no terminal to ask on: {error}");
    let (code, planned, error) = told(&stack, &format!("{adopt} --dry-run -o csv")).await;
    assert_eq!((code, planned.lines().count()), (Some(10), 1 + 5), "{error}");
    assert!(
        planned.contains("REFUSED") && planned.contains("may not be shared with"),
        "{planned}"
    );
    assert!(
        planned
            .lines()
            .next()
            .unwrap()
            .ends_with("first_seen_time,event_time,principal_arn"),
        "{planned}"
    );
    until(&stack.pool, ADOPTED, 0).await;

    let (code, done, error) = told(&stack, &format!("{adopt} --for 30d --yes -o json")).await;
    assert_eq!(code, Some(10), "{error}");
    assert!(error.contains("5 shares: 3 succeeded, 2 refused"), "{error}");
    assert!(error.contains("drift list"), "{error}");
    let done: Value = serde_json::from_str(&done).unwrap();
    let succeeded = done["shares"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["result"] == "SUCCEEDED");
    assert_eq!(succeeded.count(), 3);
    until(&stack.pool, ADOPTED, 3).await;
    until(&stack.pool, OPEN, 2).await;
    let ending = "SELECT count(*) FROM reporting.expiring_shares WHERE ticket = 'CHG-1' AND reason = 'inherited'";
    until(&stack.pool, ending, 3).await;

    let calls = stack.calls_of(UPDATE);
    let (code, _, error) = told(&stack, &format!("{adopt} --for 30d --yes")).await;
    assert_eq!(code, Some(10), "{error}");
    assert!(error.contains("2 shares: 2 refused"), "{error}");
    assert_eq!(stack.calls_of(UPDATE), calls, "nothing was done again");

    stack.policy().replace(PolicySet::new(
        [(ACCOUNT.parse().unwrap(), ShareWith::Anyone)],
        [RoleConfig::of("*".parse().unwrap(), [Role::Viewer, Role::Operator])],
    ));
    let (code, _, error) = told(&stack, &format!("{adopt} --yes")).await;
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = told(&stack, &format!("{adopt} --yes")).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("nothing to adopt"), "{error}");
    stack.end().await;
}

#[tokio::test]
async fn a_run_that_was_killed_is_continued_and_each_share_is_adopted_once() {
    let stack = Stack::start_with(ONCE).await;
    let outsider = outsider(&stack);
    for number in 0..6 {
        outsider.set(IMAGE, &recipient(number), true).await;
    }
    stack.fault(UPDATE, 6, late(3000));
    let calls = stack.calls_of(UPDATE);
    let server = format!("http://{}", stack.address);
    let adopt = ["adopt", "--account", ACCOUNT, "-m", "inherited", "--yes"];
    let mut first = program()
        .args(["--server", &server, "--principal", "tester@example.com"])
        .args(adopt)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    stack.wait_for_calls(UPDATE, calls + 1).await;
    first.kill().await.unwrap();
    let (code, _, error) = told(&stack, &adopt.join(" ")).await;
    assert_eq!(code, Some(0), "{error}");
    until(&stack.pool, ADOPTED, 6).await;
    let changes = "SELECT count(*) FROM change";
    until(&stack.pool, changes, 6).await;
    until(&stack.pool, OPEN, 0).await;
    stack.end().await;
}
