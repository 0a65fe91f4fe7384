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

/// Runs a command line of the shell on a terminal of 100 columns. Returns whether it succeeded, and what the terminal got.
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
fn short_work_has_no_bar() {
    let (ledger, folder) = (Ledger::of(20), tempfile::tempdir().unwrap());
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, ledger.export()).unwrap();
    let program = env!("CARGO_BIN_EXE_sharewarden");
    let (file, key) = (file.display(), ledger.vkey());
    let (succeeded, seen) = seen_on_a_terminal(&format!("{program} audit verify --export {file} --key '{key}'"));
    assert!(succeeded && seen.contains("entries 0 to 19"), "{seen:?}");
    assert!(!seen.contains("/20 entries"), "{seen:?}");
}

/// What a terminal gets from a job whose only revoke is not answered, with this at the end of the command line.
async fn seen_of_a_job_without_an_answer(end: &str) -> String {
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
        "{} revoke --all-images --with 999999999999 -m x --yes --server {} --principal x --timeout 5s {end}",
        env!("CARGO_BIN_EXE_sharewarden"),
        service.url()
    );
    tokio::task::spawn_blocking(move || seen_on_a_terminal(&line).1)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_has_a_bar_on_a_terminal_and_nowhere_else_and_never_without_a_total() {
    let bar = "0/1 shares";
    let folder = tempfile::tempdir().unwrap();
    let to_file = format!("-o json > {}", folder.path().join("out").display());
    // With the answer in a file, the bar is still on standard error.
    let (seen, seen_beside_a_file, seen_by_a_program) = tokio::join!(
        seen_of_a_job_without_an_answer(""),
        seen_of_a_job_without_an_answer(&to_file),
        seen_of_a_job_without_an_answer("2>&1 | cat"),
    );
    assert!(
        seen.contains("0/1 shares; no answer of the service for 3 s"),
        "{seen:?}"
    );
    assert!(!seen.contains("0/0 "), "a bar of nothing is full: {seen:?}");
    assert!(seen_beside_a_file.contains(bar), "{seen_beside_a_file:?}");
    assert!(
        !seen_by_a_program.contains(bar) && seen_by_a_program.contains("error: "),
        "{seen_by_a_program:?}"
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
