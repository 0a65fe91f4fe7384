//! The progress bar of the program: on a terminal, and nowhere else.

use std::{
    fs,
    process::{Command, Stdio},
};

use sharewarden::proto::v1::*;

use crate::{
    answers::permission,
    ledger::Ledger,
    service::{Answer, Service},
};

/// Runs a command line of the shell, which succeeds, on a terminal of 100 columns. Returns what the terminal got.
fn on_a_terminal(line: &str) -> String {
    let (succeeded, seen) = seen_on_a_terminal(line);
    assert!(succeeded, "{seen}");
    seen
}

fn seen_on_a_terminal(line: &str) -> (bool, String) {
    let output = Command::new("script")
        .args(["-qefc", &format!("stty cols 100; {line}"), "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_progress_bar_is_drawn_on_a_terminal_and_nowhere_else_and_never_without_a_total() {
    let (ledger, folder) = (Ledger::of(20), tempfile::tempdir().unwrap());
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, ledger.export()).unwrap();
    let line = format!(
        "{} audit verify --export {} --key '{}'",
        env!("CARGO_BIN_EXE_sharewarden"),
        file.display(),
        ledger.vkey()
    );
    let bar = "/20 entries";
    let seen = on_a_terminal(&line);
    assert!(seen.contains(bar) && seen.contains("entries 0 to 19"), "{seen:?}");
    assert!(!seen.contains("0/0 "), "a bar of nothing is full: {seen:?}");
    // With the answer in a file, the bar is still on standard error.
    let seen = on_a_terminal(&format!("{line} -o json > {}", folder.path().join("out").display()));
    assert!(seen.contains(bar), "{seen:?}");
    let seen = on_a_terminal(&format!("{line} -o json 2>&1 | cat"));
    assert!(!seen.contains(bar) && seen.contains("treeSize"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_says_when_no_answer_comes() {
    let identity = GetCallerIdentityResponse {
        principal: "x".into(),
        ..Default::default()
    };
    let listed = ListSharePermissionsResponse {
        permissions: vec![permission(share_permission::State::Shared)],
        ..Default::default()
    };
    let service = Service::answering([Answer::List(listed), Answer::Identity(identity), Answer::Never]).await;
    let line = format!(
        "{} revoke --all-images --with 999999999999 -m x --yes --server {} --principal x --timeout 5s",
        env!("CARGO_BIN_EXE_sharewarden"),
        service.url()
    );
    let seen = tokio::task::spawn_blocking(move || seen_on_a_terminal(&line).1)
        .await
        .unwrap();
    assert!(
        seen.contains("0/1 shares; no answer of the service for 3 s"),
        "{seen:?}"
    );
}

#[test]
fn a_command_that_gets_no_answer_says_on_a_terminal_what_it_waits_for() {
    // Connections wait in the queue of the listener, and nobody accepts them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let program = env!("CARGO_BIN_EXE_sharewarden");
    let share = "111122223333/eu-central-1/wsi-basewin11 --with 000011112222";
    for command in [
        "list".to_owned(),
        "health".to_owned(),
        format!("get {share}"),
        format!("grant {share} -m x"),
    ] {
        let line = format!("{program} {command} --server {server} --principal x --timeout 1500ms");
        let waiting = format!("waiting for an answer of {server}, at most 1s 500ms (--timeout)");
        let (succeeded, seen) = seen_on_a_terminal(&line);
        assert!(!succeeded && seen.contains(&waiting), "{command}: {seen:?}");
        let (_, seen) = seen_on_a_terminal(&format!("{line} 2>&1 | cat"));
        assert!(!seen.contains("waiting for"), "{command}: {seen:?}");
    }
}
