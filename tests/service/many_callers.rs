//! Ten thousand callers at once: each gets an answer, and the memory of the server stays bounded.

use std::{collections::BTreeMap, fs};

use sharewarden::proto::v1::GrantSharePermissionRequest;
use sharewarden_testkit::{postgres::database, stack::*};

use crate::processes::Served;

const CALLERS: usize = 10_000;
const CONNECTIONS: usize = 20;

/// So many calls are taken at once; the others are told so.
const LIMITS: &str = "server.max_calls = 250
log.filter = \"warn,sharewarden=info,sharewarden::forwarder=warn,sharewarden::grpc::call=warn\"
";

/// Far more than is needed, and far less than ten thousand calls under way would take.
const MOST_MEBIBYTES: u64 = 200;

/// A figure of `/proc/<pid>/status`, in MiB.
fn mebibytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024
}

/// All callers at once; how often each answer was given.
async fn crowd(clients: &[Client], round: usize) -> BTreeMap<String, usize> {
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
        let answer = tokio::time::timeout(TIMEOUT, call).await.expect("no caller hangs");
        let answer = answer.unwrap().map_or_else(|status| reason(&status), |_| "OK".into());
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_concurrent_callers_are_all_answered_in_bounded_memory() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let config = config_text(database.url(), &simulator.url(), LIMITS);
    let mut served = Served::start(&config).await;
    let pid = served.pid();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(served.client().await);
    }
    let before = mebibytes(pid, "VmRSS");
    let mut peaks = Vec::new();
    for round in 1..=2 {
        let answers = tokio::select! {
            answers = crowd(&clients, round) => answers,
            () = served.read_log() => panic!("the log ended"),
        };
        let (peak, after) = (mebibytes(pid, "VmHWM"), mebibytes(pid, "VmRSS"));
        println!(
            "{CALLERS} callers at once, round {round}: {answers:?}; RSS in MiB: {before} before, {peak} peak, {after} after"
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
        peaks.iter().all(|peak| *peak <= MOST_MEBIBYTES),
        "MiB at the peaks: {peaks:?}"
    );
    drop(clients);
    served.stop().await;
    simulator.shutdown().await;
}
