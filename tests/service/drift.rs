//! What somebody does at AWS past the service is found, all of it and nothing else.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use sharewarden::{
    clock::Clock,
    config::OnDrift,
    proto::v1::{
        ConfirmDriftBaselineRequest, GetCheckpointRequest, GetDriftBaselineRequest, drift_baseline::State,
        drift_service_client::DriftServiceClient,
    },
};
use sharewarden_simulator::{Effect, Fault, Staleness};
use sharewarden_testkit::{outsider::Outsider, stack::*};

use crate::processes::{output, program, stderr, stdout};

/// Compares every second, and confirms after a third of one.
pub(crate) const OFTEN: &str = "drift.enabled = true\ndrift.interval = \"1s\"\ndrift.confirm_after = \"100ms\"\n";

/// Somebody with the keys of the first account.
pub(crate) fn outsider(stack: &Stack) -> Outsider {
    Outsider::new(&stack.simulator.url(), ACCOUNT)
}

pub(crate) fn recipient(number: usize) -> String {
    format!("{:012}", 700_000_000_000 + number)
}

/// The bodies of the entries of a kind.
pub(crate) async fn bodies(stack: &Stack, kind: &str) -> Vec<Value> {
    let ledger = stack.ledger(ACCOUNT).await;
    let of_kind = ledger.into_iter().filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["body"].clone()).collect()
}

/// Waits until this number of scans of each account and Region has ended after now.
async fn scans(stack: &Stack, count: usize) {
    for _ in 0..count {
        let query = "SELECT count(*) FROM reporting.drift_scans WHERE completed_started_at > $1";
        let now: time::OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        let reached = async {
            while sqlx::query_scalar::<_, i64>(query)
                .bind(now)
                .fetch_one(&stack.pool)
                .await
                .unwrap()
                < 3
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .expect("the scans end in time");
    }
}

const FOUND: &str = "SELECT count(*) FROM audit_entry WHERE kind = 'drift.found'";
pub(crate) const OPEN: &str = "SELECT count(*) FROM reporting.drift_findings WHERE resolution IS NULL";

/// P13.
#[tokio::test]
async fn every_share_that_was_made_or_taken_away_past_the_service_is_found_and_none_else() {
    let stack = Stack::start_with(OFTEN).await;
    let second = stack.second_server(OFTEN).await;
    stack.grant_many(0, 3).await;
    let outsider = outsider(&stack);
    // Three pages.
    for number in 0..60 {
        outsider.set("wsi-devtool01", &recipient(number), true).await;
    }
    outsider.set(IMAGE, &nth_grant(1).shared_account_id, false).await;
    until(&stack.pool, FOUND, 61).await;
    scans(&stack, 2).await;
    let found = bodies(&stack, "drift.found").await;
    assert_eq!(found.len(), 61, "each is found once, by one of two replicas");
    let unrecorded: std::collections::BTreeSet<_> = found
        .iter()
        .filter(|body| body["difference"] == "UNRECORDED_SHARE" && body["image_id"] == "wsi-devtool01")
        .map(|body| body["shared_account_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(unrecorded, (0..60).map(recipient).collect());
    let missing: Vec<_> = found
        .iter()
        .filter(|body| body["difference"] == "MISSING_SHARE")
        .collect();
    let [missing] = &missing[..] else { panic!("{missing:?}") };
    assert_eq!(missing["shared_account_id"], nth_grant(1).shared_account_id);
    for body in &found {
        let first = body["first_seen_at"].as_str().unwrap();
        assert!(first < body["seen_at"].as_str().unwrap(), "it was seen twice: {body}");
    }
    second.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn a_grant_adopts_an_unrecorded_share_and_a_difference_that_goes_away_is_resolved() {
    let stack = Stack::start_with(OFTEN).await;
    let outsider = outsider(&stack);
    outsider.set(IMAGE, &grant().shared_account_id, true).await;
    outsider.set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 2).await;
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    outsider.set(IMAGE, &recipient(1), false).await;
    until(&stack.pool, OPEN, 0).await;
    let resolved = bodies(&stack, "drift.resolved").await;
    let of = |recipient: &str| {
        let found = resolved.iter().find(|body| body["shared_account_id"] == recipient);
        found.unwrap().clone()
    };
    let adopted = of(&grant().shared_account_id);
    assert_eq!(adopted["resolution"], "ADOPTED");
    assert_eq!(adopted["change_id"], stack.only_change().await.to_string());
    let gone = of(&recipient(1));
    assert_eq!((&gone["resolution"], gone.get("change_id")), (&"GONE".into(), None));
    scans(&stack, 1).await;
    assert_eq!(
        bodies(&stack, "drift.found").await.len(),
        2,
        "what was adopted is recorded"
    );
    stack.end().await;
}

#[tokio::test]
async fn a_read_that_ends_early_or_shows_the_past_proves_nothing() {
    let stack =
        Stack::start_with("drift.enabled = true\ndrift.interval = \"1s\"\ndrift.confirm_after = \"2s\"\n").await;
    // Two pages.
    stack.grant_many(0, 30).await;
    scans(&stack, 1).await;
    let stale = Effect::StaleRead {
        behind: Staleness::Changes(20),
    };
    for fault in [
        // The past has one page.
        Fault::new(stale).calls(1),
        Fault::new(Effect::CutShort).skip(1).calls(1),
        Fault::new(Effect::Garbage).skip(2).calls(1),
    ] {
        stack.simulator.inject(fault.operation(DESCRIBE).image(IMAGE)).unwrap();
        let before = stack.calls_of(DESCRIBE);
        stack.wait_for_calls(DESCRIBE, before + 12).await;
    }
    scans(&stack, 1).await;
    let kinds = stack.kinds(ACCOUNT).await;
    assert!(!kinds.iter().any(|kind| kind.starts_with("drift.")), "{kinds:?}");
    stack.end().await;
}

#[tokio::test]
async fn the_shares_of_a_deleted_image_are_missing() {
    let stack = Stack::start_with(OFTEN).await;
    stack.grant_many(0, 2).await;
    let outsider = outsider(&stack);
    for number in 0..2 {
        outsider.set(IMAGE, &nth_grant(number).shared_account_id, false).await;
    }
    outsider
        .0
        .delete_workspace_image()
        .image_id(IMAGE)
        .send()
        .await
        .unwrap();
    until(&stack.pool, OPEN, 2).await;
    stack.end().await;
}

#[tokio::test]
async fn a_region_that_does_not_answer_is_said_in_its_row_and_the_others_go_on() {
    let stack = Stack::start_with(OFTEN).await;
    scans(&stack, 1).await;
    let refuse = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: "no".into(),
        http_status: 400,
    };
    let fault = Fault::new(refuse)
        .operation("DescribeWorkspaceImages")
        .region("us-east-1");
    stack.simulator.inject(fault).unwrap();
    let refused = "SELECT count(*) FROM reporting.drift_scans WHERE region = 'us-east-1' AND error_code =
    'AccessDeniedException'";
    until(&stack.pool, refused, 1).await;
    outsider(&stack).set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    stack.end().await;
}

#[tokio::test]
async fn nothing_is_compared_while_older_builds_may_run_or_where_it_is_switched_off() {
    let mut stack = Stack::start_with("").await;
    outsider(&stack).set(IMAGE, &recipient(1), true).await;
    stack.stop_server().await;
    assert_eq!(stack.calls_of(DESCRIBE), 0, "it is switched off");
    stack.tamper("UPDATE build_admission SET oldest_build = 9").await;
    stack.start_server(OFTEN, Clock::system()).await;
    until(
        &stack.pool,
        "SELECT count(*) FROM worker_lease WHERE worker = 'counting' AND owner IS NOT NULL",
        1,
    )
    .await;
    assert_eq!(stack.calls_of(DESCRIBE), 0, "an older build may run");
    stack.tamper("UPDATE build_admission SET oldest_build = 10").await;
    until(&stack.pool, OPEN, 1).await;
    stack.end().await;
}

/// What the program says, as somebody without more than the roles of the tests. A command that fails prints no JSON lines.
pub(crate) async fn told(stack: &Stack, line: &str) -> (Option<i32>, String, String) {
    told_by(stack.address, line).await
}

async fn told_by(server: SocketAddr, line: &str) -> (Option<i32>, String, String) {
    let server = format!("http://{server}");
    let mut program = program();
    program.args(["--server", &server, "--principal", "tester@example.com"]);
    let ran = output(program.args(line.split_whitespace())).await;
    (ran.status.code(), stdout(&ran), stderr(&ran))
}

#[tokio::test]
async fn a_scan_is_asked_for_and_its_findings_are_decided_about() {
    let stack = Stack::start_with("drift.enabled = true\ndrift.confirm_after = \"100ms\"\n").await;
    stack.grant_many(0, 2).await;
    let (code, told_none, error) = told(&stack, "drift scan -o csv").await;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(told_none.lines().count(), 1 + 3, "{told_none}");
    let outsider = outsider(&stack);
    for number in 1..=2 {
        outsider.set(IMAGE, &recipient(number), true).await;
    }
    for number in 0..2 {
        outsider.set(IMAGE, &nth_grant(number).shared_account_id, false).await;
    }
    let (code, _, error) = told(&stack, &format!("drift scan --account {ACCOUNT} --region {REGION}")).await;
    assert_eq!(code, Some(10), "{error}");
    assert!(error.contains("differ about 4 permissions"), "{error}");
    let (code, listed, error) = told(&stack, "drift list -o csv").await;
    assert_eq!((code, listed.lines().count()), (Some(0), 1 + 4), "{listed}{error}");

    let image = format!("{ACCOUNT}/{REGION}/{IMAGE}");
    let (first, second) = (nth_grant(0).shared_account_id, nth_grant(1).shared_account_id);
    let refused = format!("drift adopt {image} -w {first} -m why");
    let (code, _, error) = told(&stack, &refused).await;
    assert_eq!(code, Some(7), "it is missing: {error}");
    for (verb, with, resolution) in [
        ("adopt", recipient(1), "ADOPTED"),
        ("revoke", recipient(2), "REVOKED"),
        ("restore", first.clone(), "RESTORED"),
        ("accept", second.clone(), "ACCEPTED"),
    ] {
        let (code, _, error) = told(&stack, &format!("drift {verb} {image} -w {with} -m why")).await;
        assert_eq!(code, Some(0), "{verb}: {error}");
        let (code, shown, _) = told(&stack, &format!("drift show {image} -w {with}")).await;
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains(resolution), "{shown}");
    }
    assert_eq!(stack.shared_with(), [first, recipient(1)]);
    let (code, _, error) = told(&stack, "drift scan").await;
    assert_eq!(code, Some(0), "{error}");
    let (_, resolved, _) = told(&stack, "drift list --resolved -o csv").await;
    assert_eq!(resolved.lines().count(), 1 + 4, "{resolved}");
    let (code, _, _) = told(&stack, &format!("drift show {image} -w 999999999999")).await;
    assert_eq!(code, Some(3), "never found");
    stack.end().await;
}

/// The state of the baseline of the account: what `drift baseline show` says.
async fn baseline_state(server: &RunningServer) -> State {
    let mut client = DriftServiceClient::connect(format!("http://{}", server.address))
        .await
        .unwrap();
    let request = GetDriftBaselineRequest {
        account_id: ACCOUNT.into(),
    };
    let answer = client.get_drift_baseline(as_tester(request)).await.unwrap();
    answer.into_inner().baseline.unwrap().state()
}

/// A stack whose server compares nothing, and a server that revokes unrecorded shares of the first account.
async fn revoking() -> (Stack, RunningServer) {
    let stack = Stack::start().await;
    let mut config = stack.config(OFTEN);
    config.accounts[0].on_drift = OnDrift::Revoke;
    let server = RunningServer::start(&config, Clock::system()).await;
    (stack, server)
}

const REVOKED: &str = "SELECT count(*) FROM reporting.drift_findings WHERE resolution = 'REVOKED'";
const WITHOUT_CALLER: &str = "SELECT count(*) FROM change WHERE cause = 'DRIFT'";
const CONFIRM: &str = "drift baseline confirm --account 111122223333 -t CHG-1 -m";

/// P14: automation only removes access, and only what an operator permitted.
#[tokio::test]
async fn an_unrecorded_share_is_revoked_without_a_caller_if_it_was_found_after_the_baseline() {
    let (stack, server) = revoking().await;
    let outsider = outsider(&stack);
    stack.grant_many(0, 1).await;
    outsider.set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    assert_eq!(baseline_state(&server).await, State::WithoutBaseline);
    scans(&stack, 3).await;
    assert_eq!(stack.shared_with().len(), 2, "no baseline was confirmed");

    let (code, shown, error) = told_by(server.address, &format!("{CONFIRM} known")).await;
    assert_eq!(code, Some(0), "{error}");
    assert!(
        shown.contains("REVOKING") && shown.contains("tester@example.com"),
        "{shown}"
    );
    outsider.set(IMAGE, &recipient(2), true).await;
    outsider.set(IMAGE, &nth_grant(0).shared_account_id, false).await;
    until(&stack.pool, REVOKED, 1).await;
    // What was found before the baseline stays, and a missing share is not made again.
    scans(&stack, 2).await;
    assert_eq!(stack.shared_with(), [recipient(1)]);
    let open = "SELECT count(*) FROM reporting.drift_findings WHERE resolution IS NULL";
    until(&stack.pool, open, 2).await;
    let revokes = stack.ledger(ACCOUNT).await;
    let of_service = revokes.iter().find(|entry| entry["body"]["cause"] == "DRIFT").unwrap();
    assert_eq!(of_service["body"]["principal"], "sharewarden");
    assert_eq!(of_service["body"]["action"], "REVOKE");
    let [confirmed] = &bodies(&stack, "drift.baseline").await[..] else {
        panic!("one decision of an operator")
    };
    assert_eq!(confirmed["principal"], "tester@example.com");

    let (code, _, error) = told_by(server.address, "drift baseline withdraw -a 111122223333 -m enough").await;
    assert_eq!(code, Some(0), "{error}");
    outsider.set(IMAGE, &recipient(3), true).await;
    until(&stack.pool, open, 3).await;
    scans(&stack, 3).await;
    until(&stack.pool, WITHOUT_CALLER, 1).await;
    server.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn more_unrecorded_shares_than_the_brake_lets_through_are_all_left() {
    let (stack, server) = revoking().await;
    let outsider = outsider(&stack);
    scans(&stack, 1).await;
    let (code, _, error) = told_by(server.address, &format!("{CONFIRM} empty")).await;
    assert_eq!(code, Some(0), "{error}");
    // AWS tells nothing until all are there, so one look sees them.
    let refuse = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: "no".into(),
        http_status: 400,
    };
    stack.simulator.inject(Fault::new(refuse).operation(DESCRIBE)).unwrap();
    for number in 0..11 {
        outsider.set(IMAGE, &recipient(number), true).await;
    }
    stack.simulator.clear_faults();
    until(&stack.pool, FOUND, 11).await;
    scans(&stack, 3).await;
    assert_eq!(baseline_state(&server).await, State::Braked);
    assert_eq!(stack.shared_with().len(), 11);
    until(&stack.pool, WITHOUT_CALLER, 0).await;
    let (_, shown, _) = told_by(server.address, "drift baseline show -a 111122223333 -o json").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["state"], &shown["limit"]),
        (&"STATE_BRAKED".into(), &"10".into())
    );
    server.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn after_a_failover_or_a_restore_nothing_is_revoked_until_the_baseline_is_confirmed_again() {
    let (stack, server) = revoking().await;
    let outsider = outsider(&stack);
    scans(&stack, 1).await;
    told_by(server.address, &format!("{CONFIRM} empty")).await;
    assert_eq!(baseline_state(&server).await, State::Revoking);
    // A database that was copied has another identity, a standby that takes over another timeline, and a restored dump other
    // tables.
    for moved in ["system_identifier = 1", "table_oid = 1"] {
        stack.tamper(&format!("UPDATE drift_baseline SET {moved}")).await;
        assert_eq!(baseline_state(&server).await, State::WithoutBaseline, "{moved}");
        told_by(server.address, &format!("{CONFIRM} again")).await;
        assert_eq!(baseline_state(&server).await, State::Revoking);
    }
    stack.tamper("UPDATE drift_baseline SET timeline = '00000000'").await;
    assert_eq!(baseline_state(&server).await, State::WithoutBaseline);
    outsider.set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    scans(&stack, 3).await;
    assert_eq!(stack.shared_with(), [recipient(1)]);
    told_by(server.address, &format!("{CONFIRM} restored")).await;
    outsider.set(IMAGE, &recipient(2), true).await;
    until(&stack.pool, REVOKED, 1).await;
    assert_eq!(stack.shared_with(), [recipient(1)]);
    server.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn only_operators_of_an_account_decide_about_its_baseline_and_only_with_a_reason() {
    let roles = "roles = [{ principal = \"*\", roles = [\"viewer\"] }]\n";
    let stack = Stack::start_with(roles).await;
    let mut client = DriftServiceClient::connect(format!("http://{}", stack.address))
        .await
        .unwrap();
    let request = ConfirmDriftBaselineRequest {
        account_id: ACCOUNT.into(),
        reason: "why".into(),
        ticket: String::new(),
    };
    let refused = client
        .confirm_drift_baseline(as_tester(request.clone()))
        .await
        .unwrap_err();
    assert!(refused.message().contains("needs the role operator"), "{refused}");
    stack.end().await;

    let stack = Stack::start().await;
    let mut client = DriftServiceClient::connect(format!("http://{}", stack.address))
        .await
        .unwrap();
    let empty = ConfirmDriftBaselineRequest::default();
    let refused = client.confirm_drift_baseline(as_tester(empty)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(
        refused.message().contains("account_id") && refused.message().contains("reason"),
        "{refused}"
    );
    let other = ConfirmDriftBaselineRequest {
        account_id: "999999999999".into(),
        ..request.clone()
    };
    let refused = client.confirm_drift_baseline(as_tester(other)).await.unwrap_err();
    assert_eq!(reason(&refused), "ACCOUNT_NOT_CONFIGURED");
    stack.tamper("UPDATE build_admission SET oldest_build = 12").await;
    let refused = client.confirm_drift_baseline(as_tester(request)).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_FINALIZED");
    assert_eq!(stack.kinds(ACCOUNT).await, Vec::<String>::new());
    stack.end().await;
}

#[tokio::test]
async fn a_ledger_that_is_shorter_than_a_checkpoint_loses_its_baseline() {
    let (stack, server) = revoking().await;
    scans(&stack, 1).await;
    told_by(server.address, &format!("{CONFIRM} empty")).await;
    stack.tamper("CREATE TABLE earlier AS SELECT * FROM ledger").await;
    stack.grant_many(0, 1).await;
    stack.checkpoint_of(ACCOUNT, 3).await;
    let latest = GetCheckpointRequest {
        account_id: ACCOUNT.into(),
        tree_size: 0,
    };
    audit_at(server.address)
        .await
        .get_checkpoint(as_tester(latest))
        .await
        .unwrap();
    assert_eq!(baseline_state(&server).await, State::Revoking);
    stack.tamper("DELETE FROM audit_entry WHERE log_index >= 1").await;
    let restore =
        "UPDATE ledger SET (size, frontier, root) = (SELECT size, frontier, root FROM earlier WHERE earlier.account_id
    = ledger.account_id)
        WHERE account_id IN (SELECT account_id FROM earlier)";
    stack.tamper(restore).await;
    until(&stack.pool, "SELECT count(*) FROM drift_baseline", 0).await;
    server.stop().await;
    stack.end().await;
}
