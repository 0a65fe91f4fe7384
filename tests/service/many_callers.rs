//! 10,000 concurrent callers: each gets an answer, and the memory of the server stays bounded.

use std::{collections::BTreeMap, fs};

use sharewarden::proto::v1::GrantSharePermissionRequest;
use sharewarden_testkit::{postgres::database, stack::*};

use crate::processes::ServerProcess;

const CALLERS: usize = 10_000;
const CONNECTIONS: usize = 20;

/// The server runs at most 250 calls at once and answers OVERLOADED to the others.
const LIMITS: &str = "server.max_calls = 250
log.filter = \"warn,sharewarden=info,sharewarden::forwarder=warn,sharewarden::grpc::call=warn\"
";

/// More than 250 calls need, and far less than 10,000 calls would take.
const MAX_MEBIBYTES: u64 = 200;

/// A value of `/proc/<pid>/status`, in MiB.
fn mebibytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024
}

/// Calls with all callers at once, and counts each answer.
async fn call_with_all(clients: &[Client], round: usize) -> BTreeMap<String, usize> {
    let calls: Vec<_> = (0..CALLERS)
        .map(|number| {
            let mut client = clients[number % clients.len()].clone();
            let request = as_tester(GrantSharePermissionRequest {
                shared_account_id: format!("{round}{number:0>11}"),
                ..grant()
            });
            tokio::spawn(async move { client.grant_share_permission(request).await })
        })
        .collect();
    let mut answers = BTreeMap::new();
    for call in calls {
        let answer = tokio::time::timeout(TIMEOUT, call)
            .await
            .expect("each caller gets an answer in time");
        let answer = answer.unwrap().map_or_else(|status| reason(&status), |_| "OK".into());
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_concurrent_callers_are_all_answered_in_bounded_memory() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let config = config_text(database.url(), &simulator.url(), LIMITS);
    let mut served = ServerProcess::start(&config).await;
    let pid = served.pid();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(served.client().await);
    }
    let before = mebibytes(pid, "VmRSS");
    let mut peaks = Vec::new();
    for round in 1..=2 {
        let answers = tokio::select! {
            answers = call_with_all(&clients, round) => answers,
            () = served.read_log() => panic!("the log ended"),
        };
        let (peak, after) = (mebibytes(pid, "VmHWM"), mebibytes(pid, "VmRSS"));
        println!(
            "{CALLERS} concurrent callers, round {round}: {answers:?}; RSS in MiB: {before} before, {peak} peak, {after} after"
        );
        let expected = ["OK", "OVERLOADED", "CHANGE_PENDING", "CHANGE_UNCONFIRMED"];
        assert!(
            answers.keys().all(|answer| expected.contains(&answer.as_str())),
            "{answers:?}"
        );
        assert!(answers["OK"] > 0 && answers["OVERLOADED"] > 0, "{answers:?}");
        peaks.push(peak);
    }
    assert!(
        peaks.iter().all(|peak| *peak <= MAX_MEBIBYTES),
        "peaks in MiB: {peaks:?}"
    );
    drop(clients);
    served.stop().await;
    simulator.shutdown().await;
}
