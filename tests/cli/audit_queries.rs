//! `audit list`, `history` and `at`: filters, pages, and the output as table, JSON and CSV.

use clap::Parser;
use serde_json::json;
use sharewarden::proto::v1::*;

use crate::{
    harness::{Cli, WHICH, records, run},
    ledger::Ledger,
    service::{Answer, Asked, Service},
};

fn page(ledger: &Ledger, entries: &[usize], next: &str) -> Answer {
    Answer::Entries(ListAuditEntriesResponse {
        entries: entries.iter().map(|&index| ledger.entry(index)).collect(),
        next_page_token: next.into(),
        archived: Vec::new(),
    })
}

#[tokio::test]
async fn every_filter_is_sent() {
    let service = Service::answering([Answer::Entries(ListAuditEntriesResponse::default())]).await;
    let line = "audit list --account 012345678901 --account 111111111111 --region eu-central-1 --region us-east-1 \
                --image wsi-0123456789 --with 999999999999 --asked-by alice --asked-by bob --action grant --action revoke \
                --kind change.denied --kind test.invented --cause caller --change c --request r --aws-request a \
                --since 2026-01-02T03:04:05.25Z --until 2026-02-01 --text two_words --oldest-first --page-size 7";
    run(&service, line).await.ok();
    let time = |seconds, nanos| Some(pbjson_types::Timestamp { seconds, nanos });
    let expected = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter {
            account_ids: vec!["012345678901".into(), "111111111111".into()],
            regions: vec!["eu-central-1".into(), "us-east-1".into()],
            image_id: "wsi-0123456789".into(),
            shared_account_id: "999999999999".into(),
            principals: vec!["alice".into(), "bob".into()],
            actions: vec![Action::Grant.into(), Action::Revoke.into()],
            kinds: vec!["change.denied".into(), "test.invented".into()],
            causes: vec![Cause::Caller.into()],
            change_id: "c".into(),
            request_id: "r".into(),
            aws_request_id: "a".into(),
            start_time: time(1_767_323_045, 250_000_000),
            end_time: time(1_769_904_000, 0),
            text: "two words".into(),
        }),
        order: AuditEntryOrder::OldestFirst.into(),
        page_size: 7,
        page_token: String::new(),
    };
    assert_eq!(service.asked(), [Asked::Entries(expected)]);
}

#[tokio::test]
async fn without_filters_all_entries_are_requested_newest_first() {
    let service = Service::answering([Answer::Entries(ListAuditEntriesResponse::default())]).await;
    let ran = run(&service, "audit list").await.ok();
    assert_eq!(
        (ran.out.as_str(), ran.notes.as_str()),
        ("", "note: there are no such entries\n")
    );
    let expected = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter::default()),
        order: AuditEntryOrder::NewestFirst.into(),
        page_size: 100,
        page_token: String::new(),
    };
    assert_eq!(service.asked(), [Asked::Entries(expected)]);
}

#[tokio::test]
async fn entries_are_a_table_under_one_head_over_all_pages() {
    let ledger = Ledger::of(3);
    let service = Service::answering([page(&ledger, &[0, 1], "two"), page(&ledger, &[2], "")]).await;
    let ran = run(&service, "audit list").await.ok();
    let expected = "\
ACCOUNT       INDEX  RECORDED              KIND              ACTION  REGION        IMAGE           RECIPIENT     PRINCIPAL  REASON    ENDS
012345678901  0      2026-01-02T03:04:05Z  change.requested  GRANT   eu-central-1  wsi-0123456789  999999999999  alice      reason 0
012345678901  1      2026-01-02T03:04:06Z  change.requested  GRANT   eu-central-1  wsi-0123456789  999999999999  alice      reason 1
012345678901  2      2026-01-02T03:04:07Z  change.requested  GRANT   eu-central-1  wsi-0123456789  999999999999  alice      reason 2
";
    assert_eq!(ran.out, expected);
    let tokens: Vec<_> = service.asked().into_iter().map(token).collect();
    assert_eq!(tokens, ["", "two"]);
}

fn token(asked: Asked) -> String {
    match asked {
        Asked::Entries(request) => request.page_token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn entries_in_json_are_one_document_with_the_archived_ranges() {
    let ledger = Ledger::of(3);
    let archived = ArchivedRange {
        account_id: "012345678901".into(),
        start_index: 0,
        end_index: 40,
        location: "/archive/a.jsonl.gz".into(),
        ..ArchivedRange::default()
    };
    let first = ListAuditEntriesResponse {
        entries: vec![ledger.entry(0)],
        next_page_token: "two".into(),
        archived: vec![archived],
    };
    let service = Service::answering([Answer::Entries(first), page(&ledger, &[2], "")]).await;
    let ran = run(&service, "audit list -o json").await.ok();
    let list: ListAuditEntriesResponse = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list.entries, [ledger.entry(0), ledger.entry(2)]);
    let entry = &ran.json()["entries"][0];
    assert_eq!(
        (&entry["kind"], &entry["schema"], &entry["change"]["action"]),
        (&"change.requested".into(), &1.into(), &"ACTION_GRANT".into())
    );
    assert_eq!(list.archived[0].end_index, 40);
    assert!(
        ran.out.contains("\"recordTime\":\"2026-01-02T03:04:05.250Z\""),
        "{}",
        ran.out
    );
    assert!(
        ran.notes.contains("archived: entries 0 to 39 of 012345678901"),
        "{}",
        ran.notes
    );
}

#[tokio::test]
async fn entries_in_csv_have_one_head_and_no_formulas() {
    let ledger = Ledger::of(2);
    let mut evil = ledger.entry(1);
    evil.canonical = evil.canonical.replace("reason 1", "=cmd(),\\\"x\\\"");
    let answer = ListAuditEntriesResponse {
        entries: vec![ledger.entry(0), evil],
        ..ListAuditEntriesResponse::default()
    };
    let service = Service::answering([Answer::Entries(answer)]).await;
    let ran = run(&service, "audit list -o csv").await.ok();
    let head =
        "account_id,log_index,recorded_at,kind,schema,action,cause,region,image_id,shared_account_id,principal,reason,";
    assert!(ran.out.starts_with(head) && ran.out.ends_with("\r\n"), "{}", ran.out);
    let hash: String = ledger.hashes[0].iter().map(|byte| format!("{byte:02x}")).collect();
    let records = records(&ran.out);
    assert_eq!(
        records[0],
        json!({
            "account_id": "012345678901", "log_index": "0", "recorded_at": "2026-01-02T03:04:05.250000Z",
            "kind": "change.requested", "schema": "1", "action": "GRANT", "cause": "CALLER", "region": "eu-central-1",
            "image_id": "wsi-0123456789", "shared_account_id": "999999999999", "principal": "alice", "reason": "reason 0",
            "change_id": "00000000-0000-0000-0000-000000000001", "request_id": "00000000-0000-0000-0000-000000000001",
            "generation": "1", "attempts": "0", "credentials": "TRUSTED_HEADER",
            "policies": "pipelines-share", "policy_set": "73300871f44c168e7c949de2c750e60c2c9bb8ff530017c5a267234e9cb4db8e", "server_version": "0.1.0", "leaf_hash": hash,
        })
    );
    assert_eq!(records[1]["reason"], "'=cmd(),\"x\"");
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn history_requests_one_permission_and_stops_at_its_limit() {
    let ledger = Ledger::of(2);
    let answer = ListPermissionHistoryResponse {
        entries: vec![ledger.entry(1), ledger.entry(0)],
        next_page_token: "more".into(),
        archived: Vec::new(),
    };
    let service = Service::answering([Answer::History(answer)]).await;
    let ran = run(&service, &format!("audit history {WHICH} --limit 1")).await.ok();
    assert!(
        ran.out.contains("reason 1") && !ran.out.contains("reason 0"),
        "{}",
        ran.out
    );
    assert!(ran.notes.contains("stopped at --limit 1"), "{}", ran.notes);
    let expected = ListPermissionHistoryRequest {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        order: AuditEntryOrder::NewestFirst.into(),
        page_size: 1,
        page_token: String::new(),
    };
    assert_eq!(service.asked(), [Asked::History(expected)]);
}

#[tokio::test]
async fn at_sends_the_same_time_with_all_pages() {
    let permission = |image: &str, end_index| PastSharePermission {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: image.into(),
        shared_account_id: "999999999999".into(),
        start_index: 3,
        end_index,
        ..PastSharePermission::default()
    };
    let page = |image: &str, end_index, next: &str| {
        Answer::At(GetSharePermissionsAtResponse {
            permissions: vec![permission(image, end_index)],
            next_page_token: next.into(),
            time: None,
        })
    };
    let service = Service::answering([page("wsi-aaaaaaaaa", None, "two"), page("wsi-bbbbbbbbb", Some(9), "")]).await;
    let ran = run(
        &service,
        "audit at 36h --account 012345678901 --region r --image i --with w -o csv",
    )
    .await
    .ok();
    assert_eq!(
        ran.out,
        "account_id,region,image_id,shared_account_id,start_time,start_index,end_time,end_index,\
         basis_change_id,expire_time,basis_archived\r\n\
         012345678901,eu-central-1,wsi-aaaaaaaaa,999999999999,,3,,,,,false\r\n\
         012345678901,eu-central-1,wsi-bbbbbbbbb,999999999999,,3,,9,,,false\r\n"
    );
    let requests: Vec<_> = service.asked().into_iter().map(at).collect();
    assert_eq!(requests[0].time, requests[1].time);
    assert_eq!(
        (requests[0].page_token.as_str(), requests[1].page_token.as_str()),
        ("", "two")
    );
    let expected = GetSharePermissionsAtRequest {
        time: requests[0].time,
        since: None,
        account_id: "012345678901".into(),
        region: "r".into(),
        image_id: "i".into(),
        shared_account_id: "w".into(),
        page_size: 100,
        page_token: String::new(),
    };
    assert_eq!(requests[0], expected);
}

#[tokio::test]
async fn at_now_leaves_the_time_to_the_service_and_repeats_it_with_later_pages() {
    let time = Some(pbjson_types::Timestamp {
        seconds: 1_800_000_000,
        nanos: 5000,
    });
    let page = |next: &str| {
        Answer::At(GetSharePermissionsAtResponse {
            permissions: vec![PastSharePermission::default()],
            next_page_token: next.into(),
            time,
        })
    };
    let service = Service::answering([page("two"), page("")]).await;
    run(&service, "audit at now").await.ok();
    let times: Vec<_> = service.asked().into_iter().map(|asked| at(asked).time).collect();
    assert_eq!(times, [None, time]);
}

fn at(asked: Asked) -> GetSharePermissionsAtRequest {
    match asked {
        Asked::At(request) => request,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_without_a_csv_form_is_refused_before_any_request() {
    for line in [format!("get {WHICH} -o csv"), "checkpoint --account 1 -o csv".into()] {
        let service = Service::answering([]).await;
        let (code, text) = run(&service, &line).await.failure();
        assert_eq!(code, 2);
        assert!(text.starts_with("this command has no CSV form; "), "{text}");
        assert_eq!(service.asked(), []);
    }
}

#[test]
fn an_invalid_time_is_refused() {
    for line in [
        "audit list --since yesterday",
        "audit at 2026-13-01",
        "audit watch --position 012345678901",
    ] {
        let words = std::iter::once("sharewarden").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}
