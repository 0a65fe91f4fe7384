//! Jobs against whole services: what a second run does after an interruption, after a failure, and later.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

use std::{collections::BTreeMap, future::pending, time::Duration};

use sharewarden_client::{
    Client, ConnectOptions, GrantEnd,
    job::{JobAction, JobChange, Report, ShareJob, ShareName, ShareSelection, StepEnd, Verdict},
    proto::v1::ErrorReason,
};
use sharewarden_simulator::Effect;
use sharewarden_testkit::{
    proxy::{Proxy, Rule},
    stack::{ACCOUNT, IMAGE, OTHER_ACCOUNT, REGION, Stack, TIMEOUT, UPDATE, late, until},
};
use tokio::sync::oneshot;

async fn client(address: std::net::SocketAddr, timeout: Duration) -> Client {
    client_of("tester@example.com", address, timeout).await
}

async fn client_of(principal: &str, address: std::net::SocketAddr, timeout: Duration) -> Client {
    let options = ConnectOptions {
        principal: Some(principal.parse().unwrap()),
        timeout,
        ..ConnectOptions::new(format!("http://{address}").parse().unwrap())
    };
    Client::connect(&options).await.unwrap()
}

fn share(number: usize) -> ShareName {
    ShareName {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: format!("5{number:011}"),
    }
}

fn changes(action: JobAction, count: usize) -> Vec<JobChange> {
    let change = |number| JobChange {
        end: None,
        action,
        share: share(number),
        reason: "a test of jobs".into(),
        ticket: "T-1".into(),
    };
    (0..count).map(change).collect()
}

async fn run(client: &Client, changes: Vec<JobChange>) -> (ShareJob, Report) {
    let job = ShareJob::plan(client, changes, |_| ()).await.unwrap();
    let report = job.run(client, pending(), |_| ()).await;
    (job, report)
}

/// How the steps ended, counted.
fn counted(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for ending in &report.endings {
        let name = match ending {
            StepEnd::Unchanged => "unchanged",
            StepEnd::Succeeded(_) => "succeeded",
            StepEnd::Failed(_) => "failed",
            StepEnd::Unresolved(_) => "unresolved",
            StepEnd::NotSent => "not sent",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// The number of entries of each kind in the ledger.
async fn kinds(stack: &Stack) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for kind in stack.kinds(ACCOUNT).await {
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_who_leaves_loses_every_share_and_a_second_run_sends_nothing() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let (_, granted) = run(&client, changes(JobAction::Grant, 40)).await;
    assert_eq!(counted(&granted), BTreeMap::from([("succeeded", 40)]));
    let filter = ShareSelection {
        shared_account_id: Some(share(7).shared_account_id),
        ..Default::default()
    };
    assert_eq!(client.shares(filter.clone()).await.unwrap(), [share(7)]);
    let everything = ShareSelection::default();
    assert_eq!(client.shares(everything.clone()).await.unwrap().len(), 40);

    let spawned = client.clone();
    // A service runs a job on any thread.
    let (_, revoked) = tokio::spawn(async move { run(&spawned, changes(JobAction::Revoke, 40)).await })
        .await
        .unwrap();
    assert_eq!(counted(&revoked), BTreeMap::from([("succeeded", 40)]));
    assert_eq!(client.shares(everything).await.unwrap(), []);
    assert_eq!(stack.shared_with(), [""; 0]);

    let calls = stack.calls_of(UPDATE);
    let (_, again) = run(&client, changes(JobAction::Revoke, 40)).await;
    assert_eq!(counted(&again), BTreeMap::from([("unchanged", 40)]));
    assert_eq!(
        (stack.calls_of(UPDATE), kinds(&stack).await["change.requested"]),
        (calls, 80)
    );
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_ends_renews_shares_with_another_end_and_leaves_those_with_the_same_alone() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let until = |end: GrantEnd| {
        let mut changes = changes(JobAction::Grant, 3);
        changes.iter_mut().for_each(|change| change.end = Some(end.clone()));
        changes
    };
    let (_, endless) = run(&client, changes(JobAction::Grant, 3)).await;
    assert_eq!(counted(&endless), BTreeMap::from([("succeeded", 3)]));
    // 2099-12-31 ends at midnight, UTC, which is the default zone of policies.
    let time = pbjson_types::Timestamp {
        seconds: 4_102_444_800,
        nanos: 0,
    };
    for (end, expected) in [
        (GrantEnd::Date("2099-12-31".into()), "succeeded"),
        (GrantEnd::Date("2099-12-31".into()), "unchanged"),
        (GrantEnd::Time(time), "unchanged"),
        (GrantEnd::Date("2099-12-30".into()), "succeeded"),
    ] {
        let (_, report) = run(&client, until(end.clone())).await;
        assert_eq!(counted(&report), BTreeMap::from([(expected, 3)]), "{end:?}");
    }
    let (_, endless) = run(&client, changes(JobAction::Grant, 3)).await;
    assert_eq!(counted(&endless), BTreeMap::from([("succeeded", 3)]));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_while_its_changes_were_pending_is_continued_and_acts_once() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    stack.hold();
    let job = ShareJob::plan(&client, changes(JobAction::Grant, 50), |_| ())
        .await
        .unwrap();
    let (first, of_first) = (job.clone(), client.clone());
    let killed = tokio::spawn(async move { first.run(&of_first, pending(), |_| ()).await });
    // The job has 32 calls out, and none of them ends.
    until(&stack.pool, "SELECT count(*) FROM change", 32).await;
    killed.abort();
    killed.await.unwrap_err();
    let continued = ShareJob::plan(&client, changes(JobAction::Grant, 50), |_| ())
        .await
        .unwrap();
    let ids = |job: &ShareJob| {
        job.steps()
            .iter()
            .map(|step| step.request_id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&continued), ids(&job));
    stack.release();
    let report = continued.run(&client, pending(), |_| ()).await;
    assert_eq!(counted(&report), BTreeMap::from([("succeeded", 50)]));
    assert_eq!(
        kinds(&stack).await,
        BTreeMap::from([("change.requested".into(), 50), ("change.succeeded".into(), 50)])
    );
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_who_run_the_same_job_both_end_well_and_each_change_is_made_once() {
    let stack = Stack::start().await;
    let alice = client_of("alice@example.com", stack.address, TIMEOUT).await;
    let bob = client_of("bob@example.com", stack.address, TIMEOUT).await;
    stack.hold();
    let mut runs = Vec::new();
    for (client, requests) in [(alice, 5), (bob.clone(), 10)] {
        runs.push(tokio::spawn(
            async move { run(&client, changes(JobAction::Grant, 5)).await },
        ));
        // The second one joins the changes of the first.
        until(&stack.pool, "SELECT count(*) FROM request", requests).await;
    }
    stack.release();
    for run in runs {
        let (_, report) = run.await.unwrap();
        assert_eq!(counted(&report), BTreeMap::from([("succeeded", 5)]), "{report:?}");
    }
    let (_, again) = run(&bob, changes(JobAction::Grant, 5)).await;
    assert_eq!(counted(&again), BTreeMap::from([("unchanged", 5)]));
    let kinds = kinds(&stack).await;
    assert_eq!(
        (kinds["change.requested"], kinds["change.succeeded"]),
        (5, 5),
        "{kinds:?}"
    );
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_repeated_after_the_shares_were_granted_again_acts_again() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    for round in 1..=2 {
        let (_, granted) = run(&client, changes(JobAction::Grant, 3)).await;
        assert_eq!(counted(&granted), BTreeMap::from([("succeeded", 3)]), "{round}");
        assert_eq!(stack.shared_with().len(), 3, "{round}");
        let (_, revoked) = run(&client, changes(JobAction::Revoke, 3)).await;
        assert_eq!(counted(&revoked), BTreeMap::from([("succeeded", 3)]), "{round}");
        assert_eq!(stack.shared_with().len(), 0, "{round}");
    }
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_tries_a_failed_change_again_and_leaves_the_others() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let refused = Effect::Refuse {
        code: "OperationNotSupportedException".into(),
        message: String::new(),
        http_status: 400,
    };
    stack.fault(UPDATE, 1, refused);
    let (_, first) = run(&client, changes(JobAction::Grant, 5)).await;
    assert_eq!(counted(&first), BTreeMap::from([("failed", 1), ("succeeded", 4)]));
    assert!(!first.is_stopped);
    let (_, second) = run(&client, changes(JobAction::Grant, 5)).await;
    assert_eq!(counted(&second), BTreeMap::from([("succeeded", 1), ("unchanged", 4)]));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_policy_refuses_is_known_before_anything_is_sent() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let mut changes = changes(JobAction::Grant, 2);
    changes[0].share.account_id = OTHER_ACCOUNT.into();
    let job = ShareJob::plan(&client, changes, |_| ()).await.unwrap();
    let Verdict::Refused(error) = &job.steps()[0].verdict else {
        panic!("{:?}", job.steps()[0]);
    };
    assert_eq!(error.known_reason(), Some(ErrorReason::PolicyDenied));
    assert!(matches!(job.steps()[1].verdict, Verdict::Send));
    assert!(stack.lines(ACCOUNT).await.is_empty() && stack.lines(OTHER_ACCOUNT).await.is_empty());
    let report = job.run(&client, pending(), |_| ()).await;
    assert_eq!(counted(&report), BTreeMap::from([("failed", 1), ("succeeded", 1)]));
    assert!(stack.lines(OTHER_ACCOUNT).await.is_empty(), "a refused change was sent");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_asked_to_stop_finishes_what_is_out_and_the_next_run_does_the_rest() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let job = ShareJob::plan(&client, changes(JobAction::Grant, 100), |_| ())
        .await
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let mut ended = 0;
    let asked = async {
        stopped.await.unwrap();
    };
    let report = job
        .run(&client, asked, |_| {
            ended += 1;
            stop.take().map(|stop| stop.send(()));
        })
        .await;
    let counts = counted(&report);
    assert!(report.is_stopped);
    assert_eq!(counts["succeeded"], ended);
    assert_eq!(counts["succeeded"] + counts["not sent"], 100, "{counts:?}");
    assert!(ended <= 1 + 2 * 32, "{counts:?}");
    let (_, rest) = run(&client, changes(JobAction::Grant, 100)).await;
    assert_eq!(counted(&rest)["unchanged"], ended);
    assert_eq!(kinds(&stack).await["change.requested"], 100);
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_over_the_rate_of_its_principal_waits_and_ends_well() {
    let stack = Stack::start_with("server.calls_per_second_per_principal = 40\n").await;
    // Shorter than the job, so that the wait of one call is not enough.
    let client = client(stack.address, Duration::from_secs(1)).await;
    let (_, report) = run(&client, changes(JobAction::Grant, 100)).await;
    assert_eq!(counted(&report), BTreeMap::from([("succeeded", 100)]));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_a_change_that_takes_longer_than_the_timeout_of_a_call() {
    let stack = Stack::start().await;
    let client = client(stack.address, Duration::from_secs(1)).await;
    stack.fault(UPDATE, 1, late(3_000));
    let (_, report) = run(&client, changes(JobAction::Grant, 1)).await;
    assert_eq!(counted(&report), BTreeMap::from([("succeeded", 1)]));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_service_goes_away_stops_and_says_what_was_not_sent() {
    let stack = Stack::start().await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = client(proxy.address(), Duration::from_secs(1)).await;
    let job = ShareJob::plan(&client, changes(JobAction::Grant, 100), |_| ())
        .await
        .unwrap();
    proxy.set(Rule::Refuse);
    proxy.cut();
    let report = job.run(&client, pending(), |_| ()).await;
    let counts = counted(&report);
    assert!(report.is_stopped);
    assert_eq!(counts.get("succeeded"), None, "{counts:?}");
    assert!(counts["not sent"] >= 100 - 32, "{counts:?}");
    proxy.set(Rule::Pass);
    let (_, rest) = run(&client, changes(JobAction::Grant, 100)).await;
    assert!(!rest.is_stopped);
    assert_eq!(kinds(&stack).await["change.succeeded"], 100);
    stack.end().await;
}
