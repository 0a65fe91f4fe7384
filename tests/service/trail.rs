//! CloudTrail: who shared past the service, and calls of the service that CloudTrail does not have.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_workspaces::config::{BehaviorVersion, Credentials, Region as AwsRegion};
use sharewarden::clock::Clock;
use sharewarden_simulator::{Effect, Fault, FaultTiming, SimulatorSettings, sample};
use sharewarden_testkit::{outsider::Outsider, stack::*};

use crate::drift::{OFTEN, OPEN, bodies, outsider, recipient, told};

const LOOK_UP: &str = "LookupEvents";
const OBSERVED: &str = "SELECT count(*) FROM reporting.drift_observed";
const EVENTS: &str = "SELECT count(*) FROM audit_entry WHERE kind = 'drift.observed'";
/// The role that the configuration of the tests names.
const OUR_ROLE: &str = "arn:aws:iam::111122223333:role/sharewarden";

/// A service whose CloudTrail is late by at most this time.
async fn start(trail_delay_milliseconds: u64, more: &str) -> Stack {
    let settings = SimulatorSettings {
        trail_delay_milliseconds,
        ..sample()
    };
    Stack::start_simulating(settings, more, Clock::system()).await
}

/// Waits until CloudTrail was read in this number of rounds of each account and Region that began after now.
async fn rounds(stack: &Stack, count: usize) {
    for _ in 0..count {
        let now: time::OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        let read = "SELECT count(*) FROM drift_trail WHERE complete_until > $1 - interval '15 minutes'";
        let reached = async {
            while sqlx::query_scalar::<_, i64>(read)
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
            .expect("the rounds end in time");
    }
}

fn key(credentials: &str) -> Credentials {
    Credentials::new(credentials, "any", None, None, "test")
}

/// Somebody who has assumed this role.
async fn by_role(stack: &Stack, role_arn: &str) -> Outsider {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(AwsRegion::new(REGION))
        .endpoint_url(stack.simulator.url())
        .credentials_provider(key(&format!("AKIA{ACCOUNT}")));
    let sts = aws_sdk_sts::Client::from_conf(config.build());
    let assumed = sts.assume_role().role_arn(role_arn).role_session_name("ann");
    let session = assumed.send().await.unwrap().credentials.unwrap();
    let token = Some(session.session_token);
    Outsider::with(
        &stack.simulator.url(),
        Credentials::new(session.access_key_id, session.secret_access_key, token, None, "test"),
    )
}

/// The ids of the account's events, as somebody else finds them.
async fn event_ids(stack: &Stack) -> BTreeSet<String> {
    let config = aws_sdk_cloudtrail::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(AwsRegion::new(REGION))
        .endpoint_url(stack.simulator.url())
        .credentials_provider(key(&format!("AKIA{ACCOUNT}")));
    let client = aws_sdk_cloudtrail::Client::from_conf(config.build());
    let attribute = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::EventName)
        .attribute_value(UPDATE)
        .build()
        .unwrap();
    let looked_up = async {
        loop {
            // The service looks up too, and the simulator allows two a second.
            match client.lookup_events().lookup_attributes(attribute.clone()).send().await {
                Ok(answer) => return answer.events.unwrap_or_default(),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let events = tokio::time::timeout(TIMEOUT, looked_up).await.unwrap();
    events.into_iter().filter_map(|event| event.event_id).collect()
}

#[tokio::test]
async fn a_share_past_the_service_is_recorded_with_who_made_it_when_and_from_where() {
    let stack = start(0, OFTEN).await;
    stack.grant_many(0, 2).await;
    let (admin, ours) = ("arn:aws:iam::111122223333:role/team/Admin", OUR_ROLE);
    // Undone before anybody looked at it, or not.
    let by_admin = by_role(&stack, admin).await;
    by_admin.set(IMAGE, &recipient(1), true).await;
    by_admin.set(IMAGE, &recipient(1), false).await;
    by_admin.set(IMAGE, &recipient(2), true).await;
    // With the service's own role, and not by the service.
    let with_our_role = by_role(&stack, ours).await;
    with_our_role.set(IMAGE, &nth_grant(1).shared_account_id, false).await;
    until(&stack.pool, OBSERVED, 4).await;
    until(
        &stack.pool,
        "SELECT count(*) FROM reporting.drift_findings WHERE principal_arn IS NOT NULL AND resolution IS NULL",
        2,
    )
    .await;
    rounds(&stack, 2).await;

    let observed = bodies(&stack, "drift.observed").await;
    assert_eq!(
        observed.len(),
        4,
        "each event is recorded once, and none of ours: {observed:?}"
    );
    let all = event_ids(&stack).await;
    assert_eq!(all.len(), 6);
    for body in &observed {
        assert!(all.contains(body["event_id"].as_str().unwrap()), "{body}");
        assert_eq!(body["source_ip"], "127.0.0.1");
        assert!(body["user_agent"].as_str().unwrap().contains("aws-sdk-rust"), "{body}");
    }
    let by = |recipient: &str, access: &str| {
        let is_it = |body: &&serde_json::Value| body["shared_account_id"] == recipient && body["access"] == access;
        let body = observed.iter().find(is_it).unwrap_or_else(|| panic!("{observed:?}"));
        body["principal_arn"].as_str().unwrap()
    };
    let admin = "arn:aws:sts::111122223333:assumed-role/Admin/ann";
    assert_eq!(by(&recipient(1), "SHARED"), admin);
    assert_eq!(by(&recipient(1), "NOT_SHARED"), admin);
    let ours = "arn:aws:sts::111122223333:assumed-role/sharewarden/ann";
    assert_eq!(by(&nth_grant(1).shared_account_id, "NOT_SHARED"), ours);

    // What people see of it.
    let permission = format!("{ACCOUNT}/{REGION}/{IMAGE} -w {}", recipient(2));
    let (_, shown, error) = told(&stack, &format!("drift show {permission}")).await;
    assert!(shown.contains(admin) && shown.contains("127.0.0.1"), "{shown}{error}");
    let (_, listed, _) = told(&stack, "drift list -o csv").await;
    assert_eq!(listed.matches("assumed-role/Admin/ann").count(), 1, "{listed}");
    let (_, listed, _) = told(&stack, "drift list").await;
    assert!(listed.contains("assumed-role/Admin/ann"), "{listed}");
    let (_, scans, _) = told(
        &stack,
        &format!("drift scan --account {ACCOUNT} --region {REGION} -o json"),
    )
    .await;
    assert!(scans.contains("trailCompleteTime"), "{scans}");
    stack.end().await;
}

#[tokio::test]
async fn our_own_calls_are_not_observed_not_even_those_whose_answer_was_lost() {
    let stack = start(0, OFTEN).await;
    rounds(&stack, 1).await;
    let reset = Effect::Reset {
        moment: FaultTiming::AfterApplying,
    };
    let late = Effect::Latency {
        milliseconds: 4000,
        moment: FaultTiming::AfterApplying,
    };
    // The last answer comes after several rounds have seen the event of the call.
    for (number, effect) in [reset, Effect::CutShort, Effect::Garbage, late].into_iter().enumerate() {
        stack.fault(UPDATE, 1, effect);
        stack.grant_many(number, 1).await;
    }
    rounds(&stack, 2).await;
    assert_eq!(event_ids(&stack).await.len(), 4);
    assert_eq!(bodies(&stack, "drift.observed").await, Vec::<serde_json::Value>::new());
    stack.end().await;
}

#[tokio::test]
async fn late_events_and_many_pages_are_read_completely_while_others_look_up_too() {
    let stack = start(3000, OFTEN).await;
    let outsider = outsider(&stack);
    for number in 0..120 {
        outsider.set("wsi-devtool01", &recipient(number), true).await;
    }
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    stack.fault(LOOK_UP, 2, throttle);
    until(&stack.pool, OBSERVED, 120).await;
    rounds(&stack, 1).await;
    let observed = bodies(&stack, "drift.observed").await;
    let recipients: BTreeSet<_> = observed
        .iter()
        .map(|body| body["shared_account_id"].to_string())
        .collect();
    assert_eq!((observed.len(), recipients.len()), (120, 120));
    stack.end().await;
}

#[tokio::test]
async fn two_replicas_that_read_at_the_same_time_record_an_event_once() {
    let stack = start(0, OFTEN).await;
    let second = stack.second_server(OFTEN).await;
    rounds(&stack, 1).await;
    let outsider = outsider(&stack);
    for number in 0..40 {
        outsider.set(IMAGE, &recipient(number), true).await;
        // Takes the lease away from a replica that reads.
        sqlx::query("UPDATE drift_trail SET lease_owner = NULL, lease_expires_at = NULL, next_round_at = now()")
            .execute(&stack.pool)
            .await
            .unwrap();
    }
    until(&stack.pool, OBSERVED, 40).await;
    rounds(&stack, 2).await;
    assert_eq!(bodies(&stack, "drift.observed").await.len(), 40);
    second.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn where_lookups_are_denied_the_scans_say_so_and_differences_are_still_found() {
    let stack = start(0, "drift.enabled = false\n").await;
    let denied = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: "no".into(),
        http_status: 400,
    };
    stack.simulator.inject(Fault::new(denied).operation(LOOK_UP)).unwrap();
    let second = stack.second_server(OFTEN).await;
    outsider(&stack).set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    let refused = "SELECT count(*) FROM reporting.drift_scans WHERE trail_error_code = 'AccessDeniedException'";
    until(&stack.pool, refused, 3).await;
    let later = "SELECT count(*) FROM drift_trail WHERE next_round_at > now() + interval '50 minutes'";
    until(&stack.pool, later, 3).await;
    let (code, scans, error) = told(&stack, "drift scan -o csv").await;
    assert_eq!(code, Some(10), "{error}");
    assert_eq!(scans.matches("AccessDeniedException").count(), 3, "{scans}");

    stack.simulator.clear_faults();
    sqlx::query("UPDATE drift_trail SET next_round_at = now()")
        .execute(&stack.pool)
        .await
        .unwrap();
    until(&stack.pool, OBSERVED, 1).await;
    until(&stack.pool, refused, 0).await;
    second.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn no_event_is_read_while_a_build_may_run_that_does_not_know_its_kind() {
    let mut stack = start(0, "").await;
    stack.stop_server().await;
    stack.tamper("UPDATE build_admission SET oldest_build = 11").await;
    stack.start_server(OFTEN, Clock::system()).await;
    outsider(&stack).set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    assert_eq!(stack.calls_of(LOOK_UP), 0);
    stack.tamper("UPDATE build_admission SET oldest_build = 12").await;
    until(&stack.pool, EVENTS, 1).await;
    stack.end().await;
}

#[tokio::test]
async fn accepted_calls_that_cloudtrail_does_not_have_a_day_later_are_counted() {
    let mut stack = start(0, "").await;
    stack.grant_many(0, 4).await;
    for number in [1, 3] {
        assert_eq!(stack.simulator.lose_events(&nth_grant(number).shared_account_id), 1);
    }
    stack.stop_server().await;
    // As if the grants were half an hour more than a day ago.
    stack.simulator.age_events(Duration::from_secs(24 * 3600 + 1800));
    let age = "UPDATE change SET created_at = created_at - interval '1470 minutes', ended_at = ended_at - interval '1470 minutes'";
    stack.tamper(age).await;
    stack.start_server(OFTEN, Clock::system()).await;
    let checked = "SELECT count(*) FROM drift_trail WHERE checked_until IS NOT NULL";
    until(&stack.pool, checked, 3).await;
    rounds(&stack, 1).await;
    let missing = "SELECT sum(calls_without_event)::bigint FROM drift_trail";
    until(&stack.pool, missing, 2).await;
    assert_eq!(bodies(&stack, "drift.observed").await.len(), 0, "the others are ours");
    stack.end().await;
}
