//! Lists on a terminal: they fit it, and say what they leave out. Elsewhere they have all rows, columns and values.

use pbjson_types::Timestamp;
use sharewarden::{
    clock::Clock,
    proto::v1::{watch_audit_entries_response::Event, *},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    answers::{change, permission},
    harness::{WHICH, records, run, run_on_terminal},
    ledger::{ACCOUNT, Ledger},
    service::{Answer, Asked, Service},
    service_audit::Streamed,
};

const WIDE_CHARACTERS: &str = "標準の作業環境です。毎週月曜日に更新されます。質問は管理者へ 🎉 e\u{301}tat";

fn images() -> Answer {
    let image = |number: u64| Image {
        image_id: format!("wsi-{number:0>20}"),
        name: format!("{WIDE_CHARACTERS} {number}"),
        state: if number == 0 { "ERROR" } else { "AVAILABLE" }.into(),
        operating_system: "WINDOWS".into(),
        required_tenancy: "DEFAULT".into(),
        owner_account_id: "012345678901".into(),
        create_time: Some(sample_time()),
        description: format!(
            "a description with more words than fit, so that no terminal shows all of it, number {number}"
        ),
        error_code: if number == 0 { "ResourceNotFoundException" } else { "" }.into(),
        ..Image::default()
    };
    Answer::Images(ListImagesResponse {
        images: (0..3).map(image).collect(),
    })
}

fn sample_time() -> Timestamp {
    Timestamp {
        seconds: 1_767_323_045,
        nanos: 250_000_000,
    }
}

/// Permissions that differ in everything.
fn permissions(count: u64, next: &str) -> Answer {
    let one = |number: u64| SharePermission {
        account_id: format!("{number:0>12}"),
        region: format!("ap-southeast-{number}"),
        image_id: format!("wsi-{number:0>30}"),
        shared_account_id: format!("9{number:0>11}"),
        pending_change_id: format!("01987654-3210-7000-8000-{number:0>12}"),
        ..permission(match number % 3 {
            0 => share_permission::State::Shared,
            1 => share_permission::State::NotShared,
            _ => share_permission::State::Pending,
        })
    };
    Answer::List(ListSharePermissionsResponse {
        permissions: (0..count).map(one).collect(),
        next_page_token: next.into(),
    })
}

fn changes() -> Answer {
    let one = |number: u64| Change {
        account_id: format!("{number:0>12}"),
        region: format!("ap-southeast-{number}"),
        change_id: format!("01987654-3210-7000-8000-{number:0>12}"),
        error_reason: ErrorReason::ImageNotFound.into(),
        error_code: format!("ResourceNotFoundException{number}"),
        action: if number == 0 { Action::Grant } else { Action::Revoke }.into(),
        attempts: vec![Attempt::default(); usize::try_from(number).unwrap()],
        ..change(if number == 1 {
            change::State::Superseded
        } else {
            change::State::Failed
        })
    };
    Answer::Changes(ListChangesResponse {
        changes: (0..3).map(one).collect(),
        next_page_token: String::new(),
    })
}

fn entries() -> Vec<AuditEntry> {
    let ledger = Ledger::of(3);
    (0..3).map(|index| ledger.entry(index)).collect()
}

fn past() -> Answer {
    let one = |number: u64| PastSharePermission {
        account_id: format!("{number:0>12}"),
        region: format!("ap-southeast-{number}"),
        image_id: format!("wsi-{number:0>30}"),
        shared_account_id: format!("9{number:0>11}"),
        start_time: Some(sample_time()),
        start_index: number,
        ..PastSharePermission::default()
    };
    Answer::At(GetSharePermissionsAtResponse {
        permissions: (0..3).map(one).collect(),
        ..GetSharePermissionsAtResponse::default()
    })
}

fn counts() -> Answer {
    let one = |number: i64| SummaryCount {
        start_time: Some(sample_time()),
        account_id: format!("{number:0>12}"),
        region: format!("ap-southeast-{number}"),
        action: Action::Grant.into(),
        kind: "change.requested".into(),
        count: 5,
    };
    Answer::Summary(SummarizeAuditEntriesResponse {
        counts: (0..3).map(one).collect(),
        ..SummarizeAuditEntriesResponse::default()
    })
}

/// Each list with an answer of three different rows, and what the first column has in each row.
fn lists() -> Vec<(&'static str, Answer)> {
    let entries_answer = || ListAuditEntriesResponse {
        entries: entries(),
        ..ListAuditEntriesResponse::default()
    };
    let history = ListPermissionHistoryResponse {
        entries: entries(),
        ..ListPermissionHistoryResponse::default()
    };
    let started = WatchStarted {
        positions: vec![WatchPosition {
            account_id: ACCOUNT.into(),
            next_index: 0,
        }],
    };
    let watched = [
        Event::Started(started),
        Event::Entries(WatchEntries { entries: entries() }),
    ]
    .map(|event| WatchAuditEntriesResponse { event: Some(event) });
    vec![
        ("list", permissions(3, "")),
        ("change list", changes()),
        ("images --account 1 --region r", images()),
        ("audit list", Answer::Entries(entries_answer())),
        ("audit history", Answer::History(history)),
        ("audit at now", past()),
        (
            "audit watch --from-beginning --limit 3",
            Answer::Watch(Streamed::ending(watched)),
        ),
        (
            "audit summary --by hour --group-by account,region,action,kind",
            counts(),
        ),
    ]
}

#[tokio::test]
async fn every_list_fits_its_terminal_with_one_line_for_each_row() {
    for width in [40, 80, 120] {
        for (line, answer) in lists() {
            let service = Service::answering([answer]).await;
            let line = if line == "audit history" {
                format!("audit history {WHICH}")
            } else {
                line.to_owned()
            };
            let out = run_on_terminal(&service, width, &line).await.ok().out;
            let table = out.rsplit("\n\n").next().unwrap();
            assert_eq!(table.lines().count(), 4, "{line} at {width}:\n{out}");
            let widest = out.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= usize::from(width), "{line} at {width}: {widest}\n{out}");
        }
    }
}

#[tokio::test]
async fn images_at_80_columns_show_names_and_states() {
    let service = Service::answering([images()]).await;
    let ran = run_on_terminal(&service, 80, "images --account 1 --region r")
        .await
        .ok();
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "SYSTEM: WINDOWS  TENANCY: DEFAULT  OWNER: 012345678901  CREATED: 2026-01-02",
            "",
            "IMAGE             NAME              STATE      DESCRIPTION       ERROR",
            "wsi-0000000…0000  標準の作業環境…   ERROR      a description w…  ResourceNotFou…",
        ],
        "{}",
        ran.out
    );
    assert_eq!(ran.notes, "");
}

#[tokio::test]
async fn repeated_values_are_told_once_and_empty_columns_are_left_out() {
    let same = |image: &str| SharePermission {
        image_id: image.into(),
        ..permission(share_permission::State::Shared)
    };
    let answer = ListSharePermissionsResponse {
        permissions: vec![same("wsi-a00000000"), same("wsi-b0000000000")],
        ..ListSharePermissionsResponse::default()
    };
    let service = Service::answering([Answer::List(answer)]).await;
    let ran = run_on_terminal(&service, 80, "list").await.ok();
    let expected = "\
ACCOUNT: 012345678901  REGION: eu-central-1  RECIPIENT: 999999999999
STATE: SHARED  UPDATED: 2026-01-02

IMAGE
wsi-a00000000
wsi-b0000000000
";
    assert_eq!((ran.out.as_str(), ran.notes.as_str()), (expected, ""));
}

#[tokio::test]
async fn columns_that_do_not_fit_are_named_and_those_of_a_single_row_are_told_above() {
    let service = Service::answering([permissions(3, ""), permissions(1, "")]).await;
    let ran = run_on_terminal(&service, 50, "list").await.ok();
    let note = "note: columns that do not fit: PENDING CHANGE, REGION, ACCOUNT (--wide shows all, --columns some)\n";
    assert_eq!(ran.notes, note, "{}", ran.out);
    let ran = run_on_terminal(&service, 50, "list").await.ok();
    assert_eq!(ran.notes, "");
    assert!(ran.out.contains("REGION: ap-southeast-0"), "{}", ran.out);
}

#[tokio::test]
async fn wide_and_a_pipe_have_all_columns_and_full_values() {
    let service = Service::answering([permissions(3, ""), permissions(3, "")]).await;
    let wide = run_on_terminal(&service, 40, "list --wide").await.ok().out;
    let piped = run(&service, "list").await.ok().out;
    assert_eq!(wide, piped);
    let first = wide.lines().nth(1).unwrap();
    assert_eq!(
        first.split_whitespace().collect::<Vec<_>>(),
        [
            "000000000000",
            "ap-southeast-0",
            "wsi-000000000000000000000000000000",
            "900000000000",
            "SHARED",
            "2026-01-02T03:04:05Z",
            "01987654-3210-7000-8000-000000000000"
        ]
    );
}

#[tokio::test]
async fn columns_are_chosen_by_their_names_in_tables_and_in_csv() {
    let service = Service::answering([permissions(2, ""), permissions(2, ""), permissions(2, "")]).await;
    let ran = run_on_terminal(&service, 80, "list --columns state,Pending_Change,account")
        .await
        .ok();
    let expected = "\
STATE       PENDING CHANGE                        ACCOUNT
SHARED      01987654-3210-7000-8000-000000000000  000000000000
NOT_SHARED  01987654-3210-7000-8000-000000000001  000000000001
";
    assert_eq!(ran.out, expected.replace("Pending_Change", "PENDING CHANGE"));
    let csv = run(&service, "list --columns state,image-id -o csv").await.ok().out;
    assert!(csv.starts_with("state,image_id\r\nSHARED,wsi-0"), "{csv}");
    assert_eq!(records(&csv).len(), 2);

    for (line, what) in [
        (
            "list --columns state,owner",
            "this list has no column \"owner\"; use account, region, image, ",
        ),
        (
            "list --sort size",
            "this list has no column \"size\"; use account, region, image, ",
        ),
        (
            "list --columns image -o csv",
            "this list has no column \"image\"; use account-id, region, image-id, ",
        ),
        ("list --columns image -o json", "--columns has no meaning for -o json"),
    ] {
        let (code, text) = run(&service, line).await.failure();
        assert!(code == 2 && text.starts_with(what), "{line}: {text}");
    }
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn a_list_is_sorted_by_a_column_over_all_pages() {
    let page = |numbers: [u64; 2], next: &str| {
        let permissions = numbers.map(|number| SharePermission {
            image_id: format!("wsi-{number}"),
            ..permission(share_permission::State::Shared)
        });
        Answer::List(ListSharePermissionsResponse {
            permissions: permissions.into(),
            next_page_token: next.into(),
        })
    };
    let pages = || [page([3, 1], "two"), page([4, 2], "")];
    let service = Service::answering(pages().into_iter().chain(pages()).chain(pages())).await;
    let ran = run_on_terminal(&service, 80, "list --columns image --sort image --limit 3")
        .await
        .ok();
    assert_eq!(ran.out, "IMAGE\nwsi-1\nwsi-2\nwsi-3\n");
    assert_eq!(ran.notes, "note: 3 of 4 permissions\n");
    let ran = run(&service, "list --columns image --sort -image").await.ok();
    assert_eq!(ran.out, "IMAGE\nwsi-4\nwsi-3\nwsi-2\nwsi-1\n");
    let json = run(&service, "list --sort image -o json").await.ok().json();
    assert_eq!(json["permissions"][0]["imageId"], "wsi-1");
}

#[tokio::test]
async fn numbers_are_sorted_by_their_value() {
    let one = |index: u64| PastSharePermission {
        start_index: index,
        ..PastSharePermission::default()
    };
    let answer = GetSharePermissionsAtResponse {
        permissions: [10, 9, 100].map(one).into(),
        ..GetSharePermissionsAtResponse::default()
    };
    let service = Service::answering([Answer::At(answer)]).await;
    let ran = run(&service, "audit at now --columns from-entry --sort from-entry")
        .await
        .ok();
    assert_eq!(ran.out, "FROM ENTRY\n9\n10\n100\n");
}

#[tokio::test]
async fn a_terminal_gets_100_rows_and_is_told_that_there_may_be_more() {
    let service = Service::answering([permissions(100, "more"), permissions(100, "more"), permissions(5, "")]).await;
    let ran = run_on_terminal(&service, 80, "list").await.ok();
    assert_eq!(ran.out.matches(" ap-").count(), 100, "{}", ran.out);
    assert!(
        ran.notes
            .starts_with("note: the first 100 permissions; there may be more; --all lists all\n"),
        "{}",
        ran.notes
    );
    assert_eq!(service.asked().len(), 1);
    let ran = run_on_terminal(&service, 80, "list --all").await.ok();
    assert_eq!(ran.out.matches(" ap-").count(), 105, "{}", ran.out);
    assert!(!ran.notes.contains("more"), "{}", ran.notes);
}

#[tokio::test]
async fn output_that_is_not_a_terminal_has_no_limit() {
    let service = Service::answering([permissions(100, "more"), permissions(5, "")]).await;
    let ran = run(&service, "list").await.ok();
    assert_eq!((ran.out.lines().count(), ran.notes.as_str()), (106, ""));
}

#[tokio::test]
async fn a_time_says_how_long_ago_it_is_on_a_terminal() {
    let now = Clock::system().now().to_offset_date_time().unix_timestamp();
    let at = |seconds_ago: i64| {
        Some(Timestamp {
            seconds: now - seconds_ago,
            nanos: 0,
        })
    };
    let one = |image: &str, seconds_ago| SharePermission {
        image_id: image.into(),
        update_time: at(seconds_ago),
        ..permission(share_permission::State::Shared)
    };
    let list = ListSharePermissionsResponse {
        permissions: vec![one("a", 200), one("b", 2 * 24 * 60 * 60 + 5)],
        ..ListSharePermissionsResponse::default()
    };
    let one = GetSharePermissionResponse {
        permission: Some(one("a", 200)),
        last_look: None,
    };
    let service = Service::answering([Answer::List(list), Answer::Get(one.clone()), Answer::Get(one)]).await;
    let ran = run_on_terminal(&service, 80, "list").await.ok();
    assert!(
        ran.out.ends_with("a      3 min ago\nb      2 days ago\n"),
        "{}",
        ran.out
    );
    let ran = run_on_terminal(&service, 80, &format!("get {WHICH}")).await.ok();
    assert!(ran.out.contains("Z (3 min ago)\n"), "{}", ran.out);
    let ran = run(&service, &format!("get {WHICH}")).await.ok();
    assert!(!ran.out.contains("ago"), "{}", ran.out);
}

#[tokio::test]
async fn a_long_text_of_one_object_wraps_between_words() {
    let long = Change {
        reason: "the build of the week, which all teams of the western region have asked for since March".into(),
        ..change(change::State::Succeeded)
    };
    let answer = GetChangeResponse { change: Some(long) };
    let service = Service::answering([Answer::Change(answer)]).await;
    let ran = run_on_terminal(&service, 40, "change show --account 012345678901 some-id")
        .await
        .ok();
    let expected = "\
Reason      the build of the week, which
            all teams of the western
            region have asked for since
            March
";
    assert!(ran.out.contains(expected), "{}", ran.out);
    // An id that is wider than its column is whole: it can be copied.
    assert!(
        ran.out.contains("Request id  11111111-2222-4333-8444-555555555555\n"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn permissions_that_no_answer_of_aws_confirmed_are_listed_only_on_request() {
    let page = |states: &[share_permission::State], next: &str| {
        Answer::List(ListSharePermissionsResponse {
            permissions: states.iter().map(|state| permission(*state)).collect(),
            next_page_token: next.into(),
        })
    };
    use share_permission::State::{Pending, Shared, Unknown};
    let service = Service::answering([
        page(&[Unknown, Shared], "two"),
        page(&[Unknown, Pending], ""),
        page(&[Unknown], ""),
        page(&[Unknown, Shared], ""),
    ])
    .await;
    let ran = run(&service, "list --columns state").await.ok();
    assert_eq!(ran.out, "STATE\nSHARED\nPENDING\n");
    let note = "note: 2 in the state UNKNOWN are not listed, because no answer of AWS confirmed them \
                (--state unknown lists them, --state any all)\n";
    assert_eq!(ran.notes, note);
    let ran = run(&service, "list --state unknown --columns state").await.ok();
    assert_eq!((ran.out.as_str(), ran.notes.as_str()), ("STATE\nUNKNOWN\n", ""));
    let ran = run(&service, "list --state any -o json").await.ok();
    assert_eq!(ran.json()["permissions"].as_array().unwrap().len(), 2);
    let states: Vec<_> = service
        .asked()
        .into_iter()
        .map(|asked| match asked {
            Asked::List(request) => request.state,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(states, [0, 0, Unknown.into(), 0]);
}
