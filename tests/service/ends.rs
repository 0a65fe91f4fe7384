//! Shares with an end: they are revoked at their end without a caller, a newer grant postpones it, and the policy decides about
//! it.

use std::{fs, time::Duration};

use sharewarden::{clock::Clock, server::Server};
use sharewarden_client::proto::v1::{
    Action, Cause, GrantSharePermissionRequest, GrantSharePermissionResponse, ListSharePermissionsRequest, change,
};
use sharewarden_testkit::{postgres::database, stack::*};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    callers::LockedHead,
    gauges::ReadMetrics,
    policy_record::{export, run},
};

const SECOND: u64 = 1;
const DAY: u64 = 86_400;

/// A grant that ends after this number of seconds.
fn grant_for(seconds: u64) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        ttl: Some(Duration::from_secs(seconds).into()),
        ..grant()
    }
}

async fn granted(stack: &Stack, request: GrantSharePermissionRequest) -> GrantSharePermissionResponse {
    let answer = stack.client().await.grant_share_permission(as_tester(request)).await;
    answer.unwrap().into_inner()
}

async fn refused(stack: &Stack, request: GrantSharePermissionRequest) -> Status {
    let answer = stack.client().await.grant_share_permission(as_tester(request)).await;
    answer.expect_err("a wrong end is refused")
}

fn time(value: &serde_json::Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// P12.
#[tokio::test]
async fn a_share_with_a_ttl_is_revoked_at_its_end_without_a_call_and_the_ledger_tells_why() {
    let stack = Stack::start().await;
    let answer = granted(&stack, grant_for(SECOND)).await;
    let change = answer.change.unwrap();
    let [basis] = &answer.permission.unwrap().bases[..] else {
        panic!("one basis")
    };
    assert_eq!(
        (&basis.change_id, basis.expire_time),
        (&change.change_id, change.expire_time)
    );
    until(
        &stack.pool,
        "SELECT count(*) FROM audit_entry WHERE kind = 'change.succeeded'",
        2,
    )
    .await;
    assert!(stack.shared_with().is_empty());

    let ledger = stack.ledger(ACCOUNT).await;
    let [asked, _, ending, ended] = &ledger[..] else {
        panic!("{ledger:?}")
    };
    assert_eq!(
        [&ending["kind"], &ended["kind"]],
        ["change.requested", "change.succeeded"]
    );
    let end = &asked["body"]["expire_time"];
    assert_eq!(
        time(end) - time(&asked["recorded_at"]),
        Duration::from_secs(SECOND),
        "a TTL counts from the acceptance"
    );
    assert!(time(&ending["recorded_at"]) >= time(end), "never before the end");
    for entry in [ending, ended] {
        let body = &entry["body"];
        assert_eq!(
            [&body["cause"], &body["principal"], &body["action"]],
            ["EXPIRY", "sharewarden", "REVOKE"]
        );
        assert_eq!(
            body["previous_basis"],
            serde_json::json!({ "change_id": change.change_id, "expire_time": end })
        );
        assert!(
            body.get("expire_time").is_none() && body.get("decision").is_none(),
            "{body}"
        );
    }
    let revoke = stack.ended(ending["body"]["change_id"].as_str().unwrap()).await;
    assert_eq!(
        (revoke.state(), revoke.cause(), revoke.action()),
        (change::State::Succeeded, Cause::Expiry, Action::Revoke)
    );
    assert_eq!(revoke.previous_basis.unwrap().expire_time, change.expire_time);
    stack.end().await;
}

#[tokio::test]
async fn a_newer_grant_replaces_the_end_and_the_share_stays_after_the_old_one() {
    let stack = Stack::start().await;
    let first = granted(&stack, grant_for(SECOND)).await.change.unwrap();
    let renewal = granted(&stack, grant_for(DAY)).await.change.unwrap();
    let replaced = renewal.previous_basis.unwrap();
    assert_eq!(
        (replaced.change_id, replaced.expire_time),
        (first.change_id, first.expire_time)
    );
    // When this later share has ended, the first end would have been carried out.
    let mut other = nth_grant(1);
    other.ttl = Some(Duration::from_secs(2 * SECOND).into());
    granted(&stack, other).await;
    until(
        &stack.pool,
        "SELECT count(*) FROM change WHERE cause = 'EXPIRY' AND state = 'SUCCEEDED'",
        1,
    )
    .await;
    assert_eq!(stack.shared_with(), [RECIPIENT]);

    // No end at all is a newer grant, too.
    let endless = granted(&stack, grant()).await;
    assert_eq!(
        endless.change.unwrap().previous_basis.unwrap().change_id,
        renewal.change_id
    );
    assert_eq!(endless.permission.unwrap().bases[0].expire_time, None);
    stack.end().await;
}

#[tokio::test]
async fn a_date_ends_with_its_day_in_the_zone_of_the_policy() {
    let stack = Stack::start_with("policy.zone = \"Europe/Berlin\"\n").await;
    let mut request = grant();
    request.expire_date = "2099-06-30".into();
    request.validate_only = true;
    let validated = granted(&stack, request.clone()).await;
    request.validate_only = false;
    let change = granted(&stack, request).await.change.unwrap();
    let end = change.expire_time.unwrap();
    let midnight_in_berlin = time::macros::datetime!(2099-06-30 22:00:00 UTC);
    assert_eq!((end.seconds, end.nanos), (midnight_in_berlin.unix_timestamp(), 0));
    assert_eq!(validated.expire_time, Some(end));
    stack.end().await;
}

#[tokio::test]
async fn a_wrong_end_is_refused_with_its_field_and_nothing_is_recorded() {
    let stack = Stack::start().await;
    let now = Clock::system().now().to_offset_date_time().unix_timestamp();
    let at = |seconds: i64| {
        Some(pbjson_types::Timestamp {
            seconds: now + seconds,
            nanos: 0,
        })
    };
    let ttl = |seconds: i64| Some(pbjson_types::Duration { seconds, nanos: 0 });
    let century: i64 = 101 * 366 * DAY as i64;
    let plain = grant();
    let cases = [
        (
            "expire_time",
            "later than now",
            GrantSharePermissionRequest {
                expire_time: at(-5),
                ..plain.clone()
            },
        ),
        (
            "expire_time",
            "100 years",
            GrantSharePermissionRequest {
                expire_time: at(century),
                ..plain.clone()
            },
        ),
        (
            "ttl",
            "1 s to 100 years",
            GrantSharePermissionRequest {
                ttl: ttl(0),
                ..plain.clone()
            },
        ),
        (
            "ttl",
            "1 s to 100 years",
            GrantSharePermissionRequest {
                ttl: ttl(-1),
                ..plain.clone()
            },
        ),
        (
            "ttl",
            "1 s to 100 years",
            GrantSharePermissionRequest {
                ttl: ttl(century),
                ..plain.clone()
            },
        ),
        (
            "ttl",
            "together with expire_time",
            GrantSharePermissionRequest {
                expire_time: at(9),
                ttl: ttl(9),
                ..plain.clone()
            },
        ),
        (
            "expire_date",
            "such as 2026-12-31",
            GrantSharePermissionRequest {
                expire_date: "2026-02-30".into(),
                ..plain.clone()
            },
        ),
        (
            "expire_time",
            "later than now",
            GrantSharePermissionRequest {
                expire_date: "2020-01-01".into(),
                ..plain.clone()
            },
        ),
    ];
    for (field, rule, request) in cases {
        let status = refused(&stack, request).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{field} {rule}: {status:?}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let [violation] = &violations[..] else {
            panic!("{violations:?}")
        };
        assert_eq!(violation.field, field, "{violation:?}");
        assert!(violation.description.contains(rule), "{violation:?}");
    }
    assert_eq!(stack.kinds(ACCOUNT).await, [""; 0]);
    stack.end().await;
}

/// P15: an older replica that still runs would leave an end that is no longer right.
#[tokio::test]
async fn before_the_upgrade_is_finalized_no_end_is_accepted_and_shares_without_one_are_made() {
    let stack = Stack::start().await;
    stack.tamper("UPDATE build_admission SET oldest_build = 6").await;
    let status = refused(&stack, grant_for(DAY)).await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "NOT_FINALIZED")
    );
    let without = granted(&stack, grant()).await;
    assert_eq!(
        without.permission.unwrap().bases,
        [],
        "an older build would not clear it"
    );

    stack.tamper("UPDATE build_admission SET oldest_build = 9").await;
    let with = granted(&stack, grant_for(DAY)).await;
    assert_eq!(with.permission.unwrap().bases.len(), 1);
    stack.end().await;
}

#[tokio::test]
async fn shares_that_end_before_a_time_are_listed() {
    let stack = Stack::start().await;
    for (number, days) in [(1, 1), (2, 10), (3, 0)] {
        let mut request = nth_grant(number);
        request.ttl = (days > 0).then(|| Duration::from_secs(days * DAY).into());
        granted(&stack, request).await;
    }
    let now = Clock::system().now().to_offset_date_time().unix_timestamp();
    let mut client = stack.client().await;
    for (days, expected) in [(0, 0), (5, 1), (20, 2)] {
        let request = ListSharePermissionsRequest {
            expire_before: Some(pbjson_types::Timestamp {
                seconds: now + days * DAY as i64,
                nanos: 0,
            }),
            ..Default::default()
        };
        let listed = client.list_share_permissions(as_tester(request)).await.unwrap();
        assert_eq!(listed.into_inner().permissions.len(), expected, "{days} days");
    }
    stack.end().await;
}

/// Demands an end within 90 days.
const WITHIN_90_DAYS: &str = "@id(\"testers\")
permit (principal, action, resource);
@id(\"within-90-days\") @says(\"A share ends within 90 days.\")
forbid (principal, action == Sharewarden::Action::\"grant\", resource)
unless { context has end && context.end <= context.now.offset(duration(\"90d\")) };
";

/// P11.
#[tokio::test]
async fn a_policy_that_bounds_the_end_is_obeyed_and_each_decision_is_made_again_from_an_export() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ends.cedar"), WITHIN_90_DAYS).unwrap();
    let stack = Stack::start_with(&format!("policy.directory = \"{}\"\n", folder.path().display())).await;
    for request in [grant(), grant_for(91 * DAY)] {
        let status = refused(&stack, request).await;
        assert_eq!(reason(&status), "POLICY_DENIED", "{status:?}");
        assert_eq!(detail(&status, "policies"), "within-90-days");
    }
    let mut request = grant_for(90 * DAY);
    request.request_id = Uuid::new_v4().to_string();
    granted(&stack, request).await;
    // A revoke has no end.
    stack
        .client()
        .await
        .revoke_share_permission(as_tester(revoke()))
        .await
        .unwrap();

    let file = folder.path().join("ledger.jsonl");
    let text = export(&stack, 6, &file).await;
    let verify = format!("policy verify {}", file.display());
    let (code, lines, notes) = run(&verify).await;
    assert_eq!(code, Some(0), "{lines:?} {notes}");
    assert_eq!(lines, [serde_json::json!({"repeated": 6, "different": 0})]);

    // A lie about the end that the policy refused is found.
    let refused_end = stack.ledger(ACCOUNT).await[1]["body"]["decision"]["facts"]["expire_time"].clone();
    let lie = text.replace(refused_end.as_str().unwrap(), "2026-01-01T00:00:00.000000Z");
    assert_ne!(lie, text);
    fs::write(&file, lie).unwrap();
    let (code, lines, _) = run(&verify).await;
    assert_eq!(
        (code, &lines.last().unwrap()["different"]),
        (Some(1), &1.into()),
        "{lines:?}"
    );
    stack.end().await;
}

/// P12: the ends of other accounts do not wait for one whose rows another session keeps locked.
#[tokio::test]
async fn while_an_account_is_locked_the_shares_of_others_end_and_then_its_own_do() {
    let stack = Stack::start().await;
    granted(&stack, grant_for(2 * SECOND)).await;
    let lock = LockedHead::of(ACCOUNT, &stack).await;
    let mut other = other_accounts_grant();
    other.ttl = Some(Duration::from_secs(2 * SECOND).into());
    granted(&stack, other).await;
    let ended = "SELECT count(*) FROM change WHERE cause = 'EXPIRY' AND state = 'SUCCEEDED'";
    until(&stack.pool, ended, 1).await;
    assert_eq!(stack.shared_with(), [RECIPIENT], "the account is locked");
    lock.release().await;
    until(&stack.pool, ended, 2).await;
    assert_eq!(stack.shared_with(), [""; 0]);
    stack.end().await;
}

/// P12: after a bad failover of the database, not all shares may end.
#[tokio::test]
async fn while_a_clock_is_wrong_no_share_is_ended_and_when_it_is_right_again_the_share_ends() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let config = config(database.url(), &simulator.url(), "");
    let measured = ReadMetrics::of(&config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::build_measured(&config, credentials(), Clock::system_off_by(120), listener, &measured.0);
    let server = server.await.unwrap();
    let address = format!("http://{}", server.address());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));
    let mut client = Client::connect(address).await.unwrap();
    let granted = client.grant_share_permission(as_tester(grant_for(SECOND))).await;
    granted.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let overdue = "SELECT count(*) FROM share_permission WHERE expire_time < now()";
    until(&pool, overdue, 1).await;
    let failures = || {
        measured
            .value("sharewarden_worker_failures_total{worker=\"ends\"}")
            .unwrap()
    };
    let before = failures();
    let fails_again = async {
        while failures() < before + 2.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, fails_again)
        .await
        .expect("the worker fails");
    until(&pool, overdue, 1).await;
    stop.cancel();
    serving.await.unwrap().unwrap();

    let server = RunningServer::start(&config, Clock::system()).await;
    until(
        &pool,
        "SELECT count(*) FROM share_permission WHERE applied = 'NOT_SHARED'",
        1,
    )
    .await;
    server.stop().await;
    pool.close().await;
    simulator.shutdown().await;
}
