//! `audit watch`: prints new entries across disconnects, without a gap or a duplicate.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use sharewarden::{
    clock::Clock,
    proto::v1::{watch_audit_entries_request::Start, watch_audit_entries_response::Event, *},
};
use tonic::{Code, Status};

use crate::{
    answers::error,
    harness::run,
    ledger::{ACCOUNT, Ledger},
    service::{Answer, Asked, Service},
    service_audit::Streamed,
};

const OTHER: &str = "111111111111";

fn started(positions: &[(&str, u64)]) -> WatchAuditEntriesResponse {
    let positions = positions.iter().map(|&(account, next)| position(account, next));
    let started = WatchStarted {
        positions: positions.collect(),
    };
    WatchAuditEntriesResponse {
        event: Some(Event::Started(started)),
    }
}

fn position(account: &str, next_index: u64) -> WatchPosition {
    WatchPosition {
        account_id: account.into(),
        next_index,
    }
}

fn entries(ledger: &Ledger, indexes: &[usize]) -> WatchAuditEntriesResponse {
    let entries = WatchEntries {
        entries: indexes.iter().map(|&index| ledger.entry(index)).collect(),
    };
    WatchAuditEntriesResponse {
        event: Some(Event::Entries(entries)),
    }
}

fn heartbeat() -> WatchAuditEntriesResponse {
    WatchAuditEntriesResponse {
        event: Some(Event::Heartbeat(WatchHeartbeat::default())),
    }
}

fn watches(service: &Service) -> Vec<WatchAuditEntriesRequest> {
    let watch = |asked| match asked {
        Asked::Watch(request) => request,
        other => panic!("{other:?}"),
    };
    service.asked().into_iter().map(watch).collect()
}

fn printed(out: &str) -> Vec<(String, String)> {
    let place = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or("0").to_owned();
        (text("accountId"), text("logIndex"))
    };
    out.lines().map(place).collect()
}

#[tokio::test]
async fn a_watch_sends_its_start_positions() {
    let ledger = Ledger::of(8);
    let answer = || Answer::Watch(Streamed::ending([started(&[(ACCOUNT, 7)]), entries(&ledger, &[7])]));
    let service = Service::answering([answer(), answer()]).await;
    run(&service, "audit watch --limit 1").await.ok();
    let line =
        format!("audit watch --account {ACCOUNT} --account {OTHER} --position {ACCOUNT}:7 --from-beginning --limit 1");
    run(&service, &line).await.ok();
    let expected = [
        WatchAuditEntriesRequest {
            start: Start::Now.into(),
            ..WatchAuditEntriesRequest::default()
        },
        WatchAuditEntriesRequest {
            account_ids: vec![ACCOUNT.into(), OTHER.into()],
            positions: vec![position(ACCOUNT, 7)],
            start: Start::Beginning.into(),
        },
    ];
    assert_eq!(watches(&service), expected);
}

#[tokio::test]
async fn a_watch_continues_after_disconnects_without_gap_or_duplicate() {
    let (ledger, other) = (Ledger::of(8), Ledger::of_account(OTHER, 3));
    let first = [
        started(&[(ACCOUNT, 2)]),
        entries(&ledger, &[2, 3]),
        entries(&other, &[0]),
    ];
    // The service sends some entries again.
    let second = [
        started(&[(ACCOUNT, 3), (OTHER, 1)]),
        entries(&ledger, &[3, 4]),
        heartbeat(),
    ];
    let third = [
        started(&[(ACCOUNT, 5), (OTHER, 1)]),
        entries(&other, &[1, 2]),
        entries(&ledger, &[5]),
    ];
    let service = Service::answering([
        Answer::Watch(Streamed::ending(first).then(Status::unavailable("going away"))),
        Answer::Refuse(Status::unavailable("not there yet")),
        Answer::Watch(Streamed::ending(second)),
        Answer::Watch(Streamed::ending(third).then_silent()),
    ])
    .await;
    let ran = run(&service, "audit watch -o json --limit 7").await.ok();
    let expected = [
        (ACCOUNT, "2"),
        (ACCOUNT, "3"),
        (OTHER, "0"),
        (ACCOUNT, "4"),
        (OTHER, "1"),
        (OTHER, "2"),
        (ACCOUNT, "5"),
    ];
    let expected = expected.map(|(account, index)| (account.to_owned(), index.to_owned()));
    assert_eq!(printed(&ran.out), expected);
    assert!(ran.notes.contains("disconnected; reconnecting"), "{}", ran.notes);
    let again = |mine| WatchAuditEntriesRequest {
        account_ids: Vec::new(),
        positions: vec![position(ACCOUNT, mine), position(OTHER, 1)],
        start: Start::Beginning.into(),
    };
    assert_eq!(watches(&service)[1..], [again(4), again(4), again(5)]);
}

#[tokio::test]
async fn an_entry_that_the_service_leaves_out_is_a_failure() {
    let ledger = Ledger::of(8);
    let sent = [started(&[(ACCOUNT, 2)]), entries(&ledger, &[3])];
    let service = Service::answering([Answer::Watch(Streamed::ending(sent))]).await;
    let (code, text) = run(&service, "audit watch").await.failure();
    assert_eq!(code, 1);
    assert!(
        text.starts_with("account 012345678901: the service left out entry 2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_permanent_error_ends_a_watch() {
    let metadata = [("account_id", ACCOUNT), ("log_index", "3")];
    let tampered = error(
        Code::DataLoss,
        ErrorReason::LedgerTampered,
        "entry 3 is wrong",
        &metadata,
    );
    let streamed = Streamed::ending([started(&[])]).then(tampered);
    let service = Service::answering([Answer::Watch(streamed)]).await;
    let (code, text) = run(&service, "audit watch").await.failure();
    assert_eq!(code, 9);
    assert!(
        text.starts_with("entry 3 is wrong (LEDGER_TAMPERED); do not trust the store"),
        "{text}"
    );
    let away = || Answer::Refuse(Status::unavailable("away"));
    let service = Service::answering([away(), away(), away(), away()]).await;
    let (code, _) = run(&service, "audit watch").await.failure();
    assert_eq!((code, service.asked().len()), (6, 3));
}

#[tokio::test]
async fn two_positions_for_one_account_are_refused() {
    let service = Service::answering([]).await;
    let line = format!("audit watch --position {ACCOUNT}:7 --position {OTHER}:1 --position {ACCOUNT}:9");
    let (code, text) = run(&service, &line).await.failure();
    assert_eq!(code, 2);
    assert!(
        text.contains(&format!("names account {ACCOUNT} twice: 7 and 9")),
        "{text}"
    );
    assert_eq!(service.asked(), []);
}

#[tokio::test]
async fn a_watch_without_a_heartbeat_reconnects() {
    let ledger = Ledger::of(8);
    let silent = |index: usize| {
        let sent = [started(&[(ACCOUNT, 2)]), entries(&ledger, &[index])];
        Answer::Watch(Streamed::ending(sent).then_silent())
    };
    let service = Service::answering([silent(2), silent(3)]).await;
    let ran = run(&service, "audit watch -o json --limit 2 --silence 3s").await.ok();
    let expected = [(ACCOUNT, "2"), (ACCOUNT, "3")].map(|(account, index)| (account.to_owned(), index.to_owned()));
    assert_eq!(printed(&ran.out), expected);
    let again = position(ACCOUNT, 3);
    assert_eq!(watches(&service)[1].positions, [again]);
    assert!(
        ran.notes.contains("no entry and no heartbeat arrived within 3s"),
        "{}",
        ran.notes
    );
}

#[tokio::test]
async fn a_service_that_ends_each_watch_is_retried_with_backoff() {
    let ledger = Ledger::of(8);
    let ending = || Answer::Watch(Streamed::ending([started(&[(ACCOUNT, 2)])]));
    let last = Answer::Watch(Streamed::ending([started(&[(ACCOUNT, 2)]), entries(&ledger, &[2])]));
    let service = Service::answering([ending(), ending(), ending(), last]).await;
    let clock = Clock::system();
    let begun = clock.monotonic_now();
    run(&service, "audit watch --limit 1").await.ok();
    let took = clock.monotonic_now().since(begun);
    // Backoff delays are at least half of 200, 400 and 800 ms.
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

#[tokio::test]
async fn csv_is_printed_record_by_record_under_one_head() {
    let ledger = Ledger::of(8);
    let sent = [started(&[]), entries(&ledger, &[0]), entries(&ledger, &[1])];
    let service = Service::answering([Answer::Watch(Streamed::ending(sent))]).await;
    let ran = run(&service, "audit watch --limit 2 -o csv").await.ok();
    assert_eq!(ran.out.matches("account_id,log_index,").count(), 1);
    assert_eq!(ran.out.matches("\r\n012345678901,").count(), 2);
}

#[tokio::test]
async fn ctrl_c_ends_a_watch_cleanly() {
    let ledger = Ledger::of(8);
    let sent = [started(&[]), entries(&ledger, &[0])];
    let service = Service::answering([Answer::Watch(Streamed::ending(sent).then_silent())]).await;
    let url = service.url();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sharewarden"))
            .args([
                "audit",
                "watch",
                "-o",
                "json",
                "--principal",
                "tester",
                "--server",
                &url,
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        (line, child.wait_with_output().unwrap())
    });
    let (line, output) = ended.await.unwrap();
    assert!(line.contains("\"canonical\""), "{line}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && notes.is_empty(), "{notes}");
}
