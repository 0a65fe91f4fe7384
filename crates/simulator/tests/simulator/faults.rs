//! Each kind of fault, and which calls it hits.

use std::time::Duration;

use sharewarden_simulator::{ApiCall, Effect, Fault, FaultTiming, Simulator, Staleness};
use tokio::time::timeout;

use crate::harness::*;

const UPDATE: &str = "UpdateWorkspaceImagePermission";
const NOTHING: [&str; 0] = [];

/// Shares IMAGE with RECIPIENT under a fault. Returns the raw response or the connection's error.
async fn under(sim: &Simulator, effect: Effect) -> std::io::Result<RawResponse> {
    sim.inject(Fault::new(effect).operation(UPDATE).calls(1)).unwrap();
    raw_share(sim).await
}

async fn raw_share(sim: &Simulator) -> std::io::Result<RawResponse> {
    let body = format!(r#"{{"ImageId":"{IMAGE}","SharedAccountId":"{RECIPIENT}","AllowCopyImage":true}}"#);
    try_operation(sim, UPDATE, body).await
}

/// The accounts that the image is really shared with.
fn truth(sim: &Simulator) -> Vec<String> {
    sim.shared_accounts(OWNER, FRANKFURT, IMAGE).into_iter().collect()
}

#[tokio::test]
async fn throttling_changes_nothing_and_may_have_retry_after() {
    let sim = start().await;
    for (http_status, retry_after_seconds) in [(400, None), (429, None), (429, Some(7)), (400, Some(1))] {
        let answer = under(
            &sim,
            Effect::Throttle {
                http_status,
                retry_after_seconds,
            },
        )
        .await
        .unwrap();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (http_status, "ThrottlingException")
        );
        let seconds = retry_after_seconds.map(|seconds| seconds.to_string());
        assert_eq!(answer.header("retry-after"), seconds.as_deref());
        assert_eq!(truth(&sim), NOTHING);
    }
}

#[tokio::test]
async fn a_server_error_comes_before_or_after_the_change() {
    let sim = start().await;
    for (http_status, moment) in [
        (500, FaultTiming::BeforeApplying),
        (502, FaultTiming::BeforeApplying),
        (503, FaultTiming::BeforeApplying),
        (500, FaultTiming::AfterApplying),
    ] {
        assert_eq!(truth(&sim), NOTHING);
        let effect = Effect::ServerError {
            http_status,
            moment,
            retry_after_seconds: Some(3),
        };
        let answer = under(&sim, effect).await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (http_status, Some("3")));
    }
    assert_eq!(truth(&sim), [RECIPIENT]);
}

#[tokio::test]
async fn a_502_response_is_not_in_the_protocol_of_aws() {
    let sim = start().await;
    let effect = Effect::ServerError {
        http_status: 502,
        moment: FaultTiming::BeforeApplying,
        retry_after_seconds: None,
    };
    let answer = under(&sim, effect).await.unwrap();
    assert_eq!(
        (answer.header("content-type"), answer.header("x-amzn-requestid")),
        (Some("text/html"), None)
    );
}

#[tokio::test]
async fn a_reset_sends_rst_without_a_response_before_or_after_the_change() {
    let sim = start().await;
    for (moment, expected) in [
        (FaultTiming::BeforeApplying, vec![]),
        (FaultTiming::AfterApplying, vec![RECIPIENT]),
    ] {
        let error = under(&sim, Effect::Reset { moment }).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(truth(&sim), expected);
    }
}

#[tokio::test]
async fn the_sdk_sees_a_reset_as_an_error_without_a_code() {
    let sim = start().await;
    sim.inject(
        Fault::new(Effect::Reset {
            moment: FaultTiming::AfterApplying,
        })
        .calls(1),
    )
    .unwrap();
    let refused = share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true).await;
    assert_eq!(refused.unwrap_err(), "(no code)");
    assert_eq!(truth(&sim), [RECIPIENT]);
}

#[tokio::test]
async fn a_truncated_200_has_fewer_bytes_than_announced() {
    let sim = start().await;
    let answer = under(&sim, Effect::CutShort).await.unwrap();
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < promised);
    assert_eq!(truth(&sim), [RECIPIENT]);
    sim.inject(Fault::new(Effect::CutShort).calls(1)).unwrap();
    let read = shared_with(&client(&sim, OWNER, FRANKFURT), IMAGE).await;
    assert_eq!(read.unwrap_err(), "(no code)");
}

#[tokio::test]
async fn a_garbage_200_cannot_be_parsed() {
    let sim = start().await;
    let answer = under(&sim, Effect::Garbage).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert_eq!(truth(&sim), [RECIPIENT]);
}

#[tokio::test]
async fn a_refuse_fault_can_have_any_code() {
    let sim = start().await;
    let (code, message) = ("ResourceUnavailableException".to_owned(), "not now".to_owned());
    let answer = under(
        &sim,
        Effect::Refuse {
            code,
            message,
            http_status: 400,
        },
    )
    .await
    .unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "ResourceUnavailableException")
    );
    assert_eq!(answer.json()["message"], "not now");
    assert_eq!(truth(&sim), NOTHING);
}

#[tokio::test]
async fn latency_delays_the_change_or_only_its_response() {
    let sim = start().await;
    for (moment, expected) in [
        (FaultTiming::AfterApplying, vec![RECIPIENT]),
        (FaultTiming::BeforeApplying, vec![]),
    ] {
        sim.reset();
        sim.inject(
            Fault::new(Effect::Latency {
                milliseconds: 400,
                moment,
            })
            .calls(1),
        )
        .unwrap();
        let seen = async {
            until(&sim, |calls| {
                calls
                    .iter()
                    .any(|call| call.fault.is_some() && applied_as(call, moment))
            })
            .await;
            truth(&sim)
        };
        let (answer, meanwhile) = tokio::join!(raw_share(&sim), seen);
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(meanwhile, expected);
        assert_eq!(truth(&sim), [RECIPIENT]);
        let call = &sim.calls()[0];
        assert!(call.ended_at.unwrap() - call.started_at >= Duration::from_millis(400));
    }
}

fn applied_as(call: &ApiCall, moment: FaultTiming) -> bool {
    call.applied.is_some() == (moment == FaultTiming::AfterApplying)
}

/// Shares, and disconnects when the call looks like this in the log.
async fn share_and_leave(sim: &Simulator, seen: impl Fn(&ApiCall) -> bool) {
    tokio::select! {
        answer = raw_share(sim) => panic!("the response came before the caller left: {answer:?}"),
        _ = until(sim, |calls| calls.last().is_some_and(|call| call.ended.is_none() && seen(call))) => {}
    }
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_a_late_change() {
    let sim = start().await;
    sim.inject(
        Fault::new(Effect::Latency {
            milliseconds: 400,
            moment: FaultTiming::BeforeApplying,
        })
        .calls(1),
    )
    .unwrap();
    share_and_leave(&sim, |_| true).await;
    let calls = until(&sim, |calls| calls[0].ended.is_some()).await;
    assert!(calls[0].client_left.unwrap() < calls[0].applied.unwrap());
    assert_eq!(truth(&sim), [RECIPIENT]);
}

#[tokio::test]
async fn a_hang_lasts_until_the_caller_leaves() {
    let sim = start().await;
    for (moment, expected) in [
        (FaultTiming::BeforeApplying, vec![]),
        (FaultTiming::AfterApplying, vec![RECIPIENT]),
    ] {
        sim.inject(
            Fault::new(Effect::Hang {
                moment,
                at_most_milliseconds: 60_000,
            })
            .calls(1),
        )
        .unwrap();
        share_and_leave(&sim, |call| applied_as(call, moment)).await;
        let calls = until(&sim, |calls| calls.iter().all(|call| call.ended.is_some())).await;
        assert!(calls.last().unwrap().client_left.is_some());
        assert_eq!(truth(&sim), expected);
    }
}

#[tokio::test]
async fn a_hang_ends_by_itself_with_a_reset() {
    let sim = start().await;
    let error = under(
        &sim,
        Effect::Hang {
            moment: FaultTiming::AfterApplying,
            at_most_milliseconds: 30,
        },
    )
    .await;
    assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(truth(&sim), [RECIPIENT]);
}

#[tokio::test]
async fn a_hang_does_not_delay_shutdown() {
    let sim = start().await;
    sim.inject(Fault::new(Effect::Hang {
        moment: FaultTiming::BeforeApplying,
        at_most_milliseconds: 600_000,
    }))
    .unwrap();
    let owner = client(&sim, OWNER, FRANKFURT);
    let hanging = tokio::spawn(async move { share(&owner, IMAGE, RECIPIENT, true).await });
    until(&sim, |calls| !calls.is_empty()).await;
    timeout(Duration::from_secs(10), sim.shutdown()).await.expect("an end");
    assert_eq!(hanging.await.unwrap().unwrap_err(), "(no code)");
}

#[tokio::test]
async fn a_stale_read_misses_the_latest_changes() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for account in [RECIPIENT, ZEROS] {
        share(&owner, IMAGE, account, true).await.unwrap();
    }
    share(&owner, IMAGE, RECIPIENT, false).await.unwrap();
    for (behind, expected) in [
        (Staleness::Changes(0), vec![ZEROS]),
        (Staleness::Changes(1), vec![ZEROS, RECIPIENT]),
        (Staleness::Changes(2), vec![RECIPIENT]),
        (Staleness::Changes(9), vec![]),
        (Staleness::Milliseconds(60_000), vec![]),
        (Staleness::Milliseconds(0), vec![ZEROS]),
    ] {
        sim.inject(Fault::new(Effect::StaleRead { behind }).calls(1)).unwrap();
        assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), expected, "{behind:?}");
        assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), [ZEROS], "the fault is over");
    }
}

#[tokio::test]
async fn a_stale_read_fault_hits_only_describe_operations() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    sim.inject(
        Fault::new(Effect::StaleRead {
            behind: Staleness::Changes(1),
        })
        .calls(1),
    )
    .unwrap();
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), NOTHING);
}

fn throttle() -> Fault {
    Fault::new(Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    })
}

#[tokio::test]
async fn a_fault_skips_calls_and_then_hits_a_limited_number() {
    let sim = start().await;
    sim.inject(throttle().skip(1).calls(2)).unwrap();
    let owner = client(&sim, OWNER, FRANKFURT);
    let mut hits = Vec::new();
    for _ in 0..5 {
        hits.push(share(&owner, IMAGE, RECIPIENT, true).await.is_err());
    }
    assert_eq!(hits, [false, true, true, false, false]);
    assert!(sim.faults().is_empty());
}

#[tokio::test]
async fn a_fault_hits_only_what_its_filter_names() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for (fault, hit) in [
        (throttle().operation(UPDATE), true),
        (throttle().operation("DescribeWorkspaceImages"), false),
        (throttle().image(IMAGE), true),
        (throttle().image("wsi-devtool01"), false),
        (throttle().account(OWNER), true),
        (throttle().account(RECIPIENT), false),
        (throttle().shared_account(RECIPIENT), true),
        (throttle().shared_account(ZEROS), false),
        (throttle().region(FRANKFURT), true),
        (throttle().region(VIRGINIA), false),
        (throttle().operation(UPDATE).account(OWNER).shared_account(ZEROS), false),
    ] {
        let id = sim.inject(fault.clone()).unwrap();
        assert_eq!(share(&owner, IMAGE, RECIPIENT, true).await.is_err(), hit, "{fault:?}");
        assert!(sim.remove_fault(id));
    }
}

#[tokio::test]
async fn a_share_of_calls_is_hit_and_a_seed_repeats_it() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let sim = start().await;
        sim.inject(throttle().share(0.3, seed)).unwrap();
        let owner = client(&sim, OWNER, FRANKFURT);
        let mut hits = Vec::new();
        for _ in 0..100 {
            hits.push(share(&owner, IMAGE, RECIPIENT, true).await.is_err());
        }
        let count = hits.iter().filter(|hit| **hit).count();
        assert!((10..=55).contains(&count), "{count} of 100");
        runs.push(hits);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn the_first_fault_that_hits_is_the_only_one() {
    let sim = start().await;
    let denied = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: String::new(),
        http_status: 400,
    };
    sim.inject(throttle().share(0.0, 1)).unwrap();
    sim.inject(throttle().calls(1)).unwrap();
    let third = sim.inject(Fault::new(denied).calls(1)).unwrap();
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err(),
        "ThrottlingException"
    );
    assert_eq!(
        share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err(),
        "AccessDeniedException"
    );
    assert_eq!(sim.calls()[1].fault, Some(third));
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
}

#[tokio::test]
async fn clearing_faults_ends_them() {
    let sim = start().await;
    sim.inject(throttle()).unwrap();
    sim.clear_faults();
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();
}

#[tokio::test]
async fn faults_reach_sts_in_its_own_protocol() {
    let sim = start().await;
    sim.inject(throttle().operation("GetCallerIdentity").calls(1)).unwrap();
    let refused = sts_client(&sim, OWNER, FRANKFURT).get_caller_identity().send().await;
    assert_eq!(code(refused.unwrap_err()), "ThrottlingException");
}

#[tokio::test]
async fn a_fault_with_invalid_values_is_refused() {
    let sim = start().await;
    assert!(sim.inject(throttle().share(1.5, 0)).is_err());
    assert!(sim.inject(throttle().share(f64::NAN, 0)).is_err());
    assert!(
        sim.inject(Fault::new(Effect::Throttle {
            http_status: 200,
            retry_after_seconds: None
        }))
        .is_err()
    );
}
