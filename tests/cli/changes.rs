//! `change list`: the requests and the output.

use std::time::Duration;

use pbjson_types::Timestamp;
use sharewarden::{clock::Clock, proto::v1::*};

use crate::{
    answers::change,
    harness::{parse, records, run},
    service::{Answer, Asked, Service},
};

const REPLICA: &str = "01987654-0000-7000-8000-00000000000a";

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn leased() -> Change {
    Change {
        progress: Some(ChangeProgress {
            in_doubt: true,
            replica_id: REPLICA.into(),
            lease_expire_time: time(1_767_323_075),
            lease_start_time: time(1_767_323_045),
            update_time: time(1_767_323_045),
            ..ChangeProgress::default()
        }),
        ..change(change::State::Pending)
    }
}

fn waiting_for_retry() -> Change {
    Change {
        progress: Some(ChangeProgress {
            next_attempt_time: time(1_767_323_060),
            update_time: time(1_767_323_045),
            ..ChangeProgress::default()
        }),
        ..change(change::State::Pending)
    }
}

fn failed() -> Change {
    Change {
        error_reason: ErrorReason::ImageNotFound.into(),
        error_code: "ResourceNotFoundException".into(),
        error_message: "no such image".into(),
        end_time: time(1_767_323_050),
        ..change(change::State::Failed)
    }
}

fn page(changes: Vec<Change>, next: &str) -> Answer {
    Answer::Changes(ListChangesResponse {
        changes,
        next_page_token: next.into(),
    })
}

#[tokio::test]
async fn every_filter_is_sent_with_all_pages() {
    let service = Service::answering([page(vec![waiting_for_retry()], "more"), page(vec![leased()], "")]).await;
    let line = "change list --pending --in-doubt --account 012345678901 --account 111111111111 --region eu-central-1 \
                --image wsi-0123456789 --with 999999999999 --asked-by alice --older-than 5m --oldest-first --page-size 1";
    let before = Clock::system().now();
    run(&service, line).await.ok();
    let Asked::Changes(first) = &service.asked()[0] else {
        panic!("another call");
    };
    let created_before = first.created_before.unwrap();
    let wanted = before.to_offset_date_time().unix_timestamp() - 300;
    assert!((wanted..wanted + 60).contains(&created_before.seconds));
    let expected = ListChangesRequest {
        account_ids: vec!["012345678901".into(), "111111111111".into()],
        states: vec![change::State::Pending.into()],
        in_doubt: true,
        created_before: Some(created_before),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        principal: "alice".into(),
        order: ChangeOrder::OldestFirst.into(),
        page_size: 1,
        page_token: String::new(),
    };
    let second = ListChangesRequest {
        page_token: "more".into(),
        ..expected.clone()
    };
    assert_eq!(service.asked(), [Asked::Changes(expected), Asked::Changes(second)]);
}

#[tokio::test]
async fn without_filters_all_changes_are_requested_newest_first() {
    let service = Service::answering([page(Vec::new(), ""), page(Vec::new(), "")]).await;
    let ran = run(&service, "change list").await.ok();
    assert!(ran.notes.contains("note: there are no such changes"), "{}", ran.notes);
    run(&service, "change list --state failed --state superseded")
        .await
        .ok();
    let everything = ListChangesRequest {
        order: ChangeOrder::NewestFirst.into(),
        page_size: 100,
        ..ListChangesRequest::default()
    };
    let ended_badly = ListChangesRequest {
        states: vec![change::State::Failed.into(), change::State::Superseded.into()],
        ..everything.clone()
    };
    assert_eq!(
        service.asked(),
        [Asked::Changes(everything), Asked::Changes(ended_badly)]
    );
}

#[tokio::test]
async fn the_table_shows_the_lease_and_the_next_attempt() {
    let service = Service::answering([page(vec![leased(), waiting_for_retry(), failed()], "")]).await;
    let ran = run(&service, "change list").await.ok();
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[0].starts_with("CHANGE "), "{}", ran.out);
    assert!(
        lines[1].contains("PENDING  2026-01-02T03:04:05Z        1 "),
        "{}",
        ran.out
    );
    let doubt =
        format!("in doubt; a call to AWS is out since 2026-01-02T03:04:05Z, by {REPLICA} until 2026-01-02T03:04:35Z");
    assert!(lines[1].ends_with(&doubt), "{}", ran.out);
    assert!(lines[2].ends_with("next attempt 2026-01-02T03:04:20Z"), "{}", ran.out);
    assert!(
        lines[3].ends_with("IMAGE_NOT_FOUND: ResourceNotFoundException"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn json_is_one_document_and_csv_has_one_record_per_change() {
    let service = Service::answering([page(vec![leased(), failed()], ""), page(vec![leased(), failed()], "")]).await;
    let json = run(&service, "change list -o json").await.ok().json();
    assert_eq!(json["changes"][0]["progress"]["inDoubt"], true);
    assert_eq!(
        json["changes"][0]["progress"]["leaseExpireTime"],
        "2026-01-02T03:04:35Z"
    );
    assert_eq!(json["changes"][1]["state"], "STATE_FAILED");

    let csv = run(&service, "change list -o csv").await.ok().out;
    let records = records(&csv);
    assert_eq!(records[0]["in_doubt"], "true");
    assert_eq!(records[0]["replica_id"], REPLICA);
    assert_eq!(records[0]["lease_expire_time"], "2026-01-02T03:04:35Z");
    assert_eq!(records[1].get("in_doubt"), None);
    assert_eq!(
        records[1]["error"],
        "IMAGE_NOT_FOUND: ResourceNotFoundException: no such image"
    );
}

#[test]
fn an_invalid_age_is_refused() {
    parse("http://localhost", "change list --older-than 1h30m");
    let spans = ["5", "yesterday", "-5m"];
    for wrong in spans {
        let line = ["sharewarden", "change", "list", "--older-than", wrong];
        let parsed = <crate::harness::Cli as clap::Parser>::try_parse_from(line);
        assert!(parsed.is_err(), "{wrong}");
    }
    assert_eq!(humantime::parse_duration("5m").unwrap(), Duration::from_secs(300));
}
