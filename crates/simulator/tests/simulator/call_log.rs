//! The call log.

use sharewarden_simulator::{CallEnding, Effect, Fault, FaultTiming, SimulatorSettings};

use crate::harness::*;

#[tokio::test]
async fn the_call_log_has_all_details_of_a_call() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    let call = &sim.calls()[0];
    assert_eq!(
        (call.number, call.operation.as_str()),
        (1, "UpdateWorkspaceImagePermission")
    );
    assert_eq!(
        (call.account.as_deref(), call.region.as_deref()),
        (Some(OWNER), Some(FRANKFURT))
    );
    assert_eq!(
        (call.image.as_deref(), call.shared_account.as_deref()),
        (Some(IMAGE), Some(RECIPIENT))
    );
    assert_eq!((call.allow, call.http_status), (Some(true), Some(200)));
    assert_eq!(
        (call.ending, call.error_code.as_deref(), call.fault),
        (Some(CallEnding::Answered), None, None)
    );
    assert!(call.started < call.applied.unwrap() && call.applied < call.ended);
    assert!(call.client_left.is_none() && call.invocation_id.is_some());
}

#[tokio::test]
async fn a_refused_call_was_not_applied() {
    let sim = start().await;
    share(&client(&sim, OWNER, FRANKFURT), "wsi-nosuch000", RECIPIENT, true)
        .await
        .unwrap_err();
    let call = &sim.calls()[0];
    assert_eq!((call.applied, call.http_status), (None, Some(400)));
    assert_eq!(call.error_code.as_deref(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn the_log_says_whether_a_reset_call_took_effect() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for moment in [FaultTiming::BeforeApplying, FaultTiming::AfterApplying] {
        let fault = sim.inject(Fault::new(Effect::Reset { moment }).calls(1)).unwrap();
        share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err();
        let call = sim.calls().pop().unwrap();
        assert_eq!(call.applied.is_some(), moment == FaultTiming::AfterApplying);
        assert_eq!(
            (call.ending, call.http_status, call.fault),
            (Some(CallEnding::Reset), None, Some(fault))
        );
    }
}

#[tokio::test]
async fn ticks_distinguish_overlapping_from_sequential_calls() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    share(&owner, IMAGE, ZEROS, true).await.unwrap();
    let calls = sim.calls();
    assert!(calls[0].ended.unwrap() < calls[1].started);

    let slow = Effect::Latency {
        milliseconds: 100,
        moment: FaultTiming::AfterApplying,
    };
    sim.inject(Fault::new(slow).calls(1)).unwrap();
    let second = async {
        until(&sim, |calls| calls.len() == 3).await;
        share(&owner, IMAGE, ZEROS, true).await
    };
    let (first, second) = tokio::join!(share(&owner, IMAGE, RECIPIENT, true), second);
    first.and(second).unwrap();
    let calls = sim.calls();
    assert!(calls[3].started < calls[2].ended.unwrap());
}

#[tokio::test]
async fn applied_ticks_are_in_the_order_of_changes() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    let racing: Vec<_> = (0..40)
        .map(|number| {
            let owner = owner.clone();
            tokio::spawn(async move { share(&owner, IMAGE, RECIPIENT, number % 2 == 0).await })
        })
        .collect();
    for call in racing {
        let _ = call.await.unwrap();
    }
    let mut calls: Vec<_> = sim.calls().into_iter().filter(|call| call.applied.is_some()).collect();
    calls.sort_by_key(|call| call.applied);
    let last = calls.last().and_then(|call| call.allow).unwrap();
    assert_eq!(sim.shared_accounts(OWNER, FRANKFURT, IMAGE).contains(RECIPIENT), last);
}

#[tokio::test]
async fn the_log_is_bounded_and_drops_the_oldest() {
    let sim = start_with(SimulatorSettings {
        call_log_limit: 3,
        ..quick()
    })
    .await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for _ in 0..5 {
        owner.describe_workspace_images().send().await.unwrap();
    }
    let numbers: Vec<_> = sim.calls().iter().map(|call| call.number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert!(sim.calls().iter().all(|call| call.ended.is_some()));
}

#[tokio::test]
async fn wait_for_calls_returns_when_the_condition_holds() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let (calls, shared) = tokio::join!(
        until(&sim, |calls| calls.iter().any(|call| call.ended.is_some())),
        share(&owner, IMAGE, RECIPIENT, true)
    );
    shared.unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(sim.calls_after(1), []);
}
