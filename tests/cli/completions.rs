//! Completion by the program: what a shell gets, and what it does not wait for.

use std::{
    fs,
    process::{Child, Output, Stdio},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Pid, Signal, kill_process},
};
use sharewarden::proto::v1::*;
use sharewarden_testkit::stack::TIMEOUT;

use crate::{
    closed_outputs::program,
    service::{Answer, Asked, Service},
};

/// Completes the last of the words, as bash asks for it. Returns the candidates.
async fn completed(service: &Service, words: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = program("--");
    command
        .arg("sharewarden")
        .args(words)
        .env("SHAREWARDEN_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n")
        .env("SHAREWARDEN_SERVER", service.url())
        .env("SHAREWARDEN_PRINCIPAL", "tester")
        .env("SHAREWARDEN_CONFIG_FILE", "")
        .env("HOME", "/nowhere")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped());
    let output = ended(command.spawn().unwrap()).await;
    assert!(output.status.success(), "{output:?}");
    let found = String::from_utf8(output.stdout).unwrap();
    found.lines().map(str::to_owned).collect()
}

async fn ended(running: Child) -> Output {
    let process = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap());
    match tokio::time::timeout(TIMEOUT, output).await {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process(process, Signal::KILL).unwrap();
            panic!("the completion still runs");
        }
    }
}

fn accounts() -> Answer {
    let account = |id: &str, recipient: &str| Account {
        account_id: id.into(),
        regions: vec!["eu-central-1".into()],
        recipients: Some(Recipients {
            anyone: false,
            account_ids: vec![recipient.into()],
        }),
        privileges: vec![],
    };
    Answer::Accounts(ListAccountsResponse {
        accounts: vec![
            account("012345678901", "000000000001"),
            account("111122223333", "000000000002"),
        ],
        next_page_token: String::new(),
    })
}

const DEFAULTS: [(&str, &str); 2] = [
    ("SHAREWARDEN_ACCOUNT", "111122223333"),
    ("SHAREWARDEN_REGION", "eu-central-1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_those_of_the_account_in_share() {
    let share = "012345678901/eu-central-1/wsi-0123456789";
    for (words, recipient) in [
        (["grant", share, "--with", ""], "000000000001"),
        (["grant", "wsi-0123456789", "--with", ""], "000000000002"),
    ] {
        let service = Service::answering([accounts()]).await;
        assert_eq!(completed(&service, &words, &DEFAULTS).await, [recipient], "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_asks_nothing_more_when_its_time_is_over() {
    let service = Service::answering([Answer::Never, accounts()]).await;
    let found = completed(&service, &["grant", ""], &DEFAULTS).await;
    assert!(!found.iter().any(|word| word.starts_with("wsi-")), "{found:?}");
    assert!(
        matches!(service.asked()[..], [Asked::Accounts(_)]),
        "{:?}",
        service.asked()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_completed_also_if_the_images_come_too_late() {
    let service = Service::answering([accounts(), Answer::Never]).await;
    let found = completed(&service, &["grant", "0"], &DEFAULTS).await;
    assert_eq!(found, ["012345678901/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_blocks_does_not_block_the_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("token");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let service = Service::answering([accounts()]).await;
    let token_file = pipe.to_str().unwrap();
    let found = completed(&service, &["grant", "--token-file", token_file, "0"], &DEFAULTS).await;
    assert_eq!(found, [""; 0]);
    fs::remove_file(&pipe).unwrap();
}
