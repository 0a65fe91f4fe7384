//! `sharewarden why` tells why a share exists or not, from entries whose proofs it verifies.

use std::time::Duration;

use serde_json::Value;
use sharewarden::proto::v1::{Change, GrantSharePermissionRequest};
use sharewarden_testkit::stack::*;
use tokio::process::Command;

use crate::audit::*;

/// The exit code of `why` about the share of the tests, its output and its notes.
async fn why(stack: &Stack, more: &[&str]) -> (Option<i32>, String, String) {
    let share = format!("{ACCOUNT}/{REGION}/{IMAGE}");
    let mut program = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    program.args(["why", &share, "--with", RECIPIENT, "--principal", "auditor"]);
    program
        .args(["--server", &format!("http://{}", stack.address)])
        .args(more);
    let done = program.kill_on_drop(true).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

async fn key(stack: &Stack) -> String {
    let answer = stack.audit().await.get_checkpoint(as_tester(latest(ACCOUNT))).await;
    answer.unwrap().into_inner().verifier_keys[0].clone()
}

fn ending() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        ticket: "CHG-7".into(),
        ttl: Some(Duration::from_secs(86_400).into()),
        ..grant()
    }
}

async fn granted(stack: &Stack, request: GrantSharePermissionRequest) -> Change {
    let answer = stack.client().await.grant_share_permission(as_tester(request)).await;
    answer.unwrap().into_inner().change.unwrap()
}

/// The lines of the answer, with one space in the place of more.
fn lines(out: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    out.lines().map(words).collect()
}

#[track_caller]
fn has(out: &str, start: &str) {
    assert!(lines(out).iter().any(|line| line.starts_with(start)), "{start}: {out}");
}

#[tokio::test]
async fn a_share_is_explained_by_its_grant_with_policies_end_answer_of_aws_and_proofs() {
    let stack = Stack::start().await;
    let first = granted(&stack, grant()).await;
    let change = granted(&stack, ending()).await;
    stack.checkpoint_of(ACCOUNT, 4).await;
    let key = key(&stack).await;
    let (code, out, err) = why(&stack, &["--key", &key]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let decision = change.decision.as_ref().unwrap();
    let policy = &decision.policies[0];
    for start in [
        &format!("{ACCOUNT}/{REGION}/{IMAGE} is shared with {RECIPIENT}"),
        "Granted by tester@example.com",
        "Reason a test",
        "Ticket CHG-7",
        "Cause CALLER",
        "Asked at 20",
        "Shared since 20",
        "Ends 20",
        &format!("Renewed {}, without an end", first.change_id),
        &format!("Change {}", change.change_id),
        &format!("Policies {policy}"),
        &format!("Policy set {}", decision.policy_set),
        "Last word of AWS ACCEPTED UpdateWorkspaceImagePermission to GRANT at 20",
        "State now SHARED",
        &format!("Policy {policy}"),
        "Proof that entry 2 (change.requested) is in the ledger",
        "Proof that entry 3 (change.succeeded) is in the ledger",
        "Inclusion verified: the entry is in the tree",
        "Signature verified: the root is that of the checkpoint of sharewarden.test",
    ] {
        has(&out, start);
    }
    assert!(out.contains("permit"), "the text of the policy: {out}");
    assert!(out.contains(&format!("request id {}", change.aws_request_id)), "{out}");

    let (_, out, _) = why(&stack, &["-o", "json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["isInEffect"], true);
    assert_eq!(told["change"]["changeId"], change.change_id.as_str());
    assert_eq!(told["permission"]["bases"][0]["expireTime"], told["expireTime"]);
    let roles: Vec<_> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["role"].clone())
        .collect();
    assert_eq!(roles, ["requested", "succeeded"]);
    assert!(told["policies"][0]["text"].as_str().unwrap().contains("permit"));
    assert!(told["entries"][0]["inclusionProof"]["hashes"].is_array(), "{told}");

    // The first grant explains the time before the second one.
    let at = first.end_time.unwrap();
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds).unwrap() + Duration::from_nanos(at.nanos as u64);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let (code, out, err) = why(&stack, &["--at", &at]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    has(
        &out,
        &format!(
            "{ACCOUNT}/{REGION}/{IMAGE} was shared with {RECIPIENT} at {}",
            &at[..19]
        ),
    );
    has(&out, &format!("Change {}", first.change_id));
    has(&out, "Ends never");
    stack.end().await;
}

#[tokio::test]
async fn a_share_that_is_not_in_effect_is_explained_by_its_revoke_or_its_end() {
    let stack = Stack::start().await;
    let (code, _, err) = why(&stack, &[]).await;
    assert_eq!(code, Some(3), "{err}");
    let change = granted(&stack, ending()).await;
    stack
        .client()
        .await
        .revoke_share_permission(as_tester(revoke()))
        .await
        .unwrap();
    let (code, out, err) = why(&stack, &[]).await;
    assert_eq!(code, Some(0), "{err}");
    has(
        &out,
        &format!("{ACCOUNT}/{REGION}/{IMAGE} is not shared with {RECIPIENT}."),
    );
    has(&out, "Revoked by tester@example.com");
    has(&out, "Not shared since 20");
    has(&out, &format!("Ended {}, until 20", change.change_id));

    let mut short = grant();
    short.ttl = Some(Duration::from_secs(1).into());
    granted(&stack, short).await;
    until(
        &stack.pool,
        "SELECT count(*) FROM change WHERE cause = 'EXPIRY' AND state = 'SUCCEEDED'",
        1,
    )
    .await;
    let (code, out, err) = why(&stack, &[]).await;
    assert_eq!(code, Some(0), "{err}");
    has(&out, "Revoked by sharewarden");
    has(&out, "Cause EXPIRY");
    let (code, _, err) = why(&stack, &["--at", "2020-01-01"]).await;
    assert!(code == Some(3) && err.contains("up to that time"), "{err}");
    stack.end().await;
}

#[tokio::test]
async fn a_viewer_gets_the_facts_and_is_told_what_needs_an_auditor() {
    let roles = "roles = [{ principal = \"auditor\", roles = [\"viewer\"] }, \
                 { principal = \"tester@*\", roles = [\"operator\", \"auditor\"] }]\n";
    let stack = Stack::start_with(roles).await;
    granted(&stack, ending()).await;
    stack.checkpoint_of(ACCOUNT, 2).await;
    let (code, out, err) = why(&stack, &[]).await;
    assert_eq!(code, Some(0), "{err}");
    has(&out, "Granted by tester@example.com");
    has(&out, "Inclusion not verified: proofs need the role of an auditor");
    assert!(err.contains("the texts of the policies are not shown"), "{err}");
    let (code, _, err) = why(&stack, &["--key", &key(&stack).await]).await;
    assert_eq!(code, Some(4), "{err}");
    stack.end().await;
}

#[tokio::test]
async fn a_permission_that_names_another_end_is_noted_and_an_altered_entry_is_tampered() {
    let stack = Stack::start().await;
    granted(&stack, grant()).await;
    // A row as an older build leaves it: the history has the grant.
    stack.tamper("UPDATE share_permission SET basis_change_id = NULL").await;
    let (code, out, err) = why(&stack, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    has(&out, "Granted by tester@example.com");

    granted(&stack, ending()).await;
    stack
        .tamper("UPDATE share_permission SET expire_time = '2199-12-31Z'")
        .await;
    let (code, _, err) = why(&stack, &[]).await;
    assert!(
        code == Some(0) && err.contains("warning: the permission names") && err.contains("2199"),
        "{err}"
    );
    stack
        .tamper("UPDATE audit_entry SET entry = replace(entry, 'CHG-7', 'CHG-8')")
        .await;
    let (code, _, err) = why(&stack, &[]).await;
    assert_eq!(code, Some(9), "{err}");
    stack.end().await;
}
