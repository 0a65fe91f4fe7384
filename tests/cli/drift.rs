//! `drift`: what it says when a scan does not get on, and when a difference is another one.

use sharewarden::proto::v1::*;

use crate::{
    harness::{records, run},
    service::{Answer, Asked, Service},
};

fn time(seconds: i64) -> Option<pbjson_types::Timestamp> {
    Some(pbjson_types::Timestamp { seconds, nanos: 0 })
}

fn requested() -> Answer {
    Answer::ScanNow(ScanNowResponse {
        scans: vec![RequestedScan {
            account_id: "012345678901".into(),
            region: "eu-central-1".into(),
            start_time: time(100),
        }],
    })
}

fn progress(scan: DriftScan) -> Answer {
    let of_others = DriftScan {
        account_id: "999999999999".into(),
        findings: 3,
        ..DriftScan::default()
    };
    let scan = DriftScan {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        images: 5,
        ..scan
    };
    Answer::DriftScans(ListDriftScansResponse {
        scans: vec![scan, of_others],
    })
}

#[tokio::test]
async fn a_scan_is_awaited_until_one_that_began_after_the_request_is_complete() {
    let earlier = DriftScan {
        complete_start_time: time(99),
        findings: 1,
        ..DriftScan::default()
    };
    let complete = DriftScan {
        complete_start_time: time(100),
        ..DriftScan::default()
    };
    let service = Service::answering([requested(), progress(earlier), progress(complete)]).await;
    let ran = run(&service, "drift scan --account 012345678901").await.ok();
    assert!(
        ran.out.contains("012345678901") && !ran.out.contains("999999999999"),
        "{}",
        ran.out
    );
    let Asked::ScanNow(asked) = &service.asked()[0] else {
        panic!("{:?}", service.asked())
    };
    assert_eq!((&*asked.account_id, &*asked.region), ("012345678901", ""));
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn a_scan_that_does_not_get_on_is_a_failure_and_an_open_difference_has_an_exit_code() {
    let stuck = DriftScan {
        error_code: "AccessDeniedException".into(),
        ..DriftScan::default()
    };
    let service = Service::answering([requested(), progress(stuck)]).await;
    let (code, message) = run(&service, "drift scan").await.failure();
    assert_eq!(code, 6, "{message}");
    assert!(message.contains("AccessDeniedException"), "{message}");

    let differs = DriftScan {
        complete_start_time: time(101),
        findings: 2,
        ..DriftScan::default()
    };
    let service = Service::answering([requested(), progress(differs)]).await;
    let (code, message) = run(&service, "drift scan").await.failure();
    assert_eq!(code, 10, "{message}");
}

#[tokio::test]
async fn a_decision_about_another_difference_changes_nothing() {
    let missing = |resolution: DriftResolution| {
        Answer::DriftFinding(GetDriftFindingResponse {
            finding: Some(DriftFinding {
                difference: DriftDifference::MissingShare.into(),
                resolution: resolution.into(),
                ..DriftFinding::default()
            }),
        })
    };
    let share = "012345678901/eu-central-1/wsi-basewin11 -w 000011112222 -m why";
    for (answer, expected) in [
        (missing(DriftResolution::Unspecified), 7),
        (missing(DriftResolution::Gone), 3),
        (Answer::DriftFinding(GetDriftFindingResponse::default()), 3),
    ] {
        let service = Service::answering([answer]).await;
        let (code, message) = run(&service, &format!("drift revoke {share}")).await.failure();
        assert_eq!(code, expected, "{message}");
        assert_eq!(service.asked().len(), 1, "nothing was revoked");
    }
}

#[tokio::test]
async fn findings_are_listed_over_pages_and_an_open_one_has_no_resolution() {
    let page = |recipient: &str, next: &str| {
        let finding = DriftFinding {
            account_id: "012345678901".into(),
            shared_account_id: recipient.into(),
            difference: DriftDifference::UnrecordedShare.into(),
            find_time: time(1_767_323_045),
            ..DriftFinding::default()
        };
        Answer::DriftFindings(ListDriftFindingsResponse {
            findings: vec![finding],
            next_page_token: next.into(),
        })
    };
    let service = Service::answering([page("000011112222", "more"), page("000011113333", "")]).await;
    let listed = run(&service, "drift list --with 000011112222 -o csv").await.ok();
    let rows = records(&listed.out);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["difference"], "UNRECORDED_SHARE");
    assert_eq!(rows[0].get("resolution"), None);
    let Asked::DriftFindings(asked) = &service.asked()[1] else {
        panic!("{:?}", service.asked())
    };
    assert_eq!(
        (&*asked.page_token, &*asked.shared_account_id, asked.include_resolved),
        ("more", "000011112222", false)
    );
}

#[tokio::test]
async fn a_baseline_is_shown_confirmed_and_withdrawn_with_its_reason() {
    let baseline = |state: drift_baseline::State| {
        Some(DriftBaseline {
            account_id: "012345678901".into(),
            state: state.into(),
            confirm_time: time(1_767_323_045),
            principal: "ann".into(),
            log_index: 7,
            found: 3,
            limit: 10,
        })
    };
    let service = Service::answering([
        Answer::DriftBaseline(GetDriftBaselineResponse {
            baseline: baseline(drift_baseline::State::Braked),
        }),
        Answer::ConfirmBaseline(ConfirmDriftBaselineResponse {
            baseline: baseline(drift_baseline::State::Revoking),
        }),
        Answer::WithdrawBaseline(WithdrawDriftBaselineResponse {
            baseline: baseline(drift_baseline::State::WithoutBaseline),
        }),
    ])
    .await;
    let shown = run(&service, "drift baseline show -a 012345678901").await.ok().out;
    for part in ["BRAKED", "more were found than the limit", "ann", "10"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    run(
        &service,
        "drift baseline confirm -a 012345678901 -m known -t CHG-1 -o json",
    )
    .await
    .ok();
    run(&service, "drift baseline withdraw -a 012345678901 -m restored")
        .await
        .ok();
    let asked = service.asked();
    let [
        Asked::DriftBaseline(_),
        Asked::ConfirmBaseline(confirmed),
        Asked::WithdrawBaseline(withdrawn),
    ] = &asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (&*confirmed.account_id, &*confirmed.reason, &*confirmed.ticket),
        ("012345678901", "known", "CHG-1")
    );
    assert_eq!(&*withdrawn.reason, "restored");
}

#[tokio::test]
async fn a_look_at_one_image_ends_when_it_was_looked_at_and_nothing_is_left_to_confirm() {
    let look = |look_time, unconfirmed| {
        Answer::DriftScans(ListDriftScansResponse {
            scans: vec![DriftScan {
                account_id: "012345678901".into(),
                region: "eu-central-1".into(),
                images: 1,
                unconfirmed,
                // The next scan has begun.
                images_left: 1,
                look_time,
                complete_start_time: time(500),
                ..DriftScan::default()
            }],
        })
    };
    let answers = [requested(), look(time(99), 0), look(time(101), 1), look(time(102), 0)];
    let service = Service::answering(answers).await;
    let line = "drift scan -a 012345678901 -r eu-central-1 --image wsi-0123456789";
    run(&service, line).await.ok();
    let asked = service.asked();
    assert_eq!(asked.len(), 4);
    assert!(matches!(&asked[0], Asked::ScanNow(asked) if asked.image_id == "wsi-0123456789"));
    assert!(matches!(&asked[3], Asked::DriftScans(asked) if asked.image_id == "wsi-0123456789"));
}
