//! `adopt` and `drift adopt`: what is asked, shown and sent.

use sharewarden::proto::v1::*;
use tonic::Code;

use crate::{
    answers::error,
    harness::{parse, records, run, run_answering},
    service::{Answer, Asked, Service},
};

const ACCOUNT: &str = "012345678901";

fn time(seconds: i64) -> Option<pbjson_types::Timestamp> {
    Some(pbjson_types::Timestamp { seconds, nanos: 0 })
}

fn compared() -> [Answer; 2] {
    let requested = RequestedScan {
        account_id: ACCOUNT.into(),
        region: "eu-central-1".into(),
        start_time: time(100),
    };
    let complete = DriftScan {
        account_id: ACCOUNT.into(),
        region: "eu-central-1".into(),
        complete_start_time: time(100),
        findings: 3,
        ..DriftScan::default()
    };
    [
        Answer::ScanNow(ScanNowResponse { scans: vec![requested] }),
        Answer::DriftScans(ListDriftScansResponse { scans: vec![complete] }),
    ]
}

fn found(recipient: &str, difference: DriftDifference) -> DriftFinding {
    DriftFinding {
        account_id: ACCOUNT.into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: recipient.into(),
        difference: difference.into(),
        first_seen_time: time(1_767_323_045),
        event: Some(CloudTrailEvent {
            principal_arn: "arn:aws:sts::012345678901:assumed-role/Admin/ann".into(),
            ..CloudTrailEvent::default()
        }),
        ..DriftFinding::default()
    }
}

fn findings(next: &str, findings: impl Into<Vec<DriftFinding>>) -> Answer {
    Answer::DriftFindings(ListDriftFindingsResponse {
        findings: findings.into(),
        next_page_token: next.into(),
    })
}

fn identity() -> Answer {
    Answer::Identity(GetCallerIdentityResponse {
        principal: "ann".into(),
        ..GetCallerIdentityResponse::default()
    })
}

fn denied() -> Answer {
    let status = error(
        Code::PermissionDenied,
        ErrorReason::PolicyDenied,
        "not yours",
        &[("log_index", "7")],
    );
    Answer::Refuse(status)
}

fn succeeded() -> Answer {
    Answer::Grant(GrantSharePermissionResponse {
        change: Some(Change::default()),
        ..GrantSharePermissionResponse::default()
    })
}

#[tokio::test]
async fn a_plan_has_every_unrecorded_share_of_all_pages_with_what_the_policy_says() {
    let unrecorded = |recipient: &str| found(recipient, DriftDifference::UnrecordedShare);
    let missing = found("000011119999", DriftDifference::MissingShare);
    let answers = compared().into_iter().chain([
        findings("more", [unrecorded("000011112222"), missing]),
        findings("", [unrecorded("000011113333")]),
        identity(),
        succeeded(),
        denied(),
    ]);
    let service = Service::answering(answers).await;
    let line =
        format!("adopt --account {ACCOUNT} --image wsi-0123456789 -m inherited --until 2026-12-31 --dry-run -o csv");
    let ran = run(&service, &line).await;
    let (code, message) = ran.failure();
    assert_eq!(code, 10, "{message}");
    let rows = records(&ran.out);
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["shared_account_id"].as_str(), row["result"].as_str()))
        .collect();
    let [first, second] = &told[..] else { panic!("{told:?}") };
    assert_eq!((first.0, second.0), (Some("000011112222"), Some("000011113333")));
    assert!(told.iter().any(|(_, result)| *result == Some("PLANNED")), "{told:?}");
    assert!(told.iter().any(|(_, result)| *result == Some("REFUSED")), "{told:?}");
    assert!(
        rows[0]["first_seen_time"].as_str().unwrap().starts_with("2026-01-02"),
        "{rows:?}"
    );

    assert_eq!(
        rows[0]["principal_arn"],
        "arn:aws:sts::012345678901:assumed-role/Admin/ann"
    );

    let asked = service.asked();
    let Asked::DriftFindings(first) = &asked[2] else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (&*first.account_id, &*first.image_id, first.include_resolved),
        (ACCOUNT, "wsi-0123456789", false)
    );
    let checks = asked.iter().filter_map(|asked| match asked {
        Asked::Grant(grant) => Some(grant),
        _ => None,
    });
    let checks: Vec<_> = checks.collect();
    assert_eq!(checks.len(), 2, "a missing share is not adopted");
    for check in checks {
        assert!(check.adopt && check.validate_only, "{check:?}");
        assert_eq!((&*check.reason, &*check.expire_date), ("inherited", "2026-12-31"));
    }
}

#[tokio::test]
async fn nothing_is_adopted_without_a_yes() {
    for (answer, is_sent) in [("n\n", false), ("y\n", true)] {
        let answers = compared().into_iter().chain([
            findings("", [found("000011112222", DriftDifference::UnrecordedShare)]),
            identity(),
            succeeded(),
            succeeded(),
        ]);
        let service = Service::answering(answers).await;
        let cli = parse(&service.url(), &format!("adopt --account {ACCOUNT} -m inherited"));
        let ran = run_answering(cli, Some(answer)).await;
        assert_eq!(ran.result.is_ok(), is_sent, "{}", ran.notes);
        assert!(
            ran.notes.contains("1 share: 1 to change. Go on? [y/N] "),
            "{}",
            ran.notes
        );
        let sent = service
            .asked()
            .into_iter()
            .filter(|asked| matches!(asked, Asked::Grant(grant) if !grant.validate_only));
        assert_eq!(sent.count(), usize::from(is_sent));
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_compared_is_a_failure_and_nothing_is_sent() {
    let [requested, _] = compared();
    let stuck = DriftScan {
        account_id: ACCOUNT.into(),
        region: "eu-central-1".into(),
        error_code: "AccessDeniedException".into(),
        ..DriftScan::default()
    };
    let progress = Answer::DriftScans(ListDriftScansResponse { scans: vec![stuck] });
    let service = Service::answering([requested, progress]).await;
    let (code, message) = run(&service, &format!("adopt --account {ACCOUNT} -m inherited --yes"))
        .await
        .failure();
    assert_eq!(code, 6, "{message}");
    assert!(
        message.contains("AccessDeniedException") && message.contains("--region"),
        "{message}"
    );
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn drift_adopt_asks_for_an_adoption_and_a_repeated_one_needs_no_open_difference() {
    let open = Answer::DriftFinding(GetDriftFindingResponse {
        finding: Some(found("000011112222", DriftDifference::UnrecordedShare)),
    });
    let share = format!("{ACCOUNT}/eu-central-1/wsi-0123456789 -w 000011112222 -m why --for 30d");
    let service = Service::answering([open, succeeded()]).await;
    run(&service, &format!("drift adopt {share}")).await.ok();
    let Asked::Grant(asked) = &service.asked()[1] else {
        panic!("{:?}", service.asked())
    };
    assert!(asked.adopt && asked.ttl.is_some(), "{asked:?}");

    let service = Service::answering([succeeded()]).await;
    run(&service, &format!("drift adopt {share} --request-id a-id"))
        .await
        .ok();
    assert!(matches!(&service.asked()[..], [Asked::Grant(asked)] if asked.adopt));
}
