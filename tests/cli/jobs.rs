//! Jobs: `grant --from-file`, `revoke --all-recipients` and `revoke --all-images`. What is asked, sent and printed.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sharewarden::proto::v1::*;
use sharewarden_testkit::stack::{ACCOUNT, IMAGE, REGION, Stack, TIMEOUT, until};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    answers::error,
    closed_outputs::program,
    harness::{Ran, parse, records, run, run_answering, run_bare, run_in, run_words},
    service::{Answer, Asked, Service},
};

const HEAD: &str = "account,region,image,recipient,reason,ticket\n";

fn permission(recipient: u64, state: share_permission::State) -> SharePermission {
    SharePermission {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: format!("{recipient:012}"),
        state: state.into(),
        generation: 1,
        ..SharePermission::default()
    }
}

fn listed(recipients: impl IntoIterator<Item = u64>) -> Answer {
    Answer::List(ListSharePermissionsResponse {
        permissions: recipients
            .into_iter()
            .map(|recipient| permission(recipient, share_permission::State::Shared))
            .collect(),
        ..Default::default()
    })
}

/// The name that a job puts into its request ids.
fn known() -> Answer {
    Answer::Identity(GetCallerIdentityResponse {
        principal: "alice".into(),
        ..Default::default()
    })
}

/// The answer to a check of a revoke.
fn checked() -> Answer {
    Answer::Revoke(RevokeSharePermissionResponse {
        permission: Some(permission(1, share_permission::State::Shared)),
        ..Default::default()
    })
}

fn revoked() -> Answer {
    Answer::Revoke(RevokeSharePermissionResponse {
        change: Some(Change {
            change_id: "01987654-3210-7000-8000-000000000001".into(),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn refused() -> Answer {
    let status = error(
        Code::PermissionDenied,
        ErrorReason::PolicyDenied,
        "not yours",
        &[("log_index", "7")],
    );
    Answer::Refuse(status)
}

/// The revokes that the service received, without and with `validate_only`.
fn revokes(service: &Service) -> (Vec<RevokeSharePermissionRequest>, usize) {
    let revokes = service.asked().into_iter().filter_map(|asked| match asked {
        Asked::Revoke(request) => Some(request),
        _ => None,
    });
    let (checks, sent): (Vec<_>, Vec<_>) = revokes.partition(|request| request.validate_only);
    (sent, checks.len())
}

const ALL_RECIPIENTS: &str = "revoke 012345678901/eu-central-1/wsi-0123456789 --all-recipients -m gone -t T-1";

async fn answering(service: &Service, line: &str, answer: &'static str) -> Ran {
    run_answering(parse(&service.url(), line), Some(answer)).await
}

#[tokio::test]
async fn a_job_without_a_terminal_is_refused_unless_it_is_confirmed_on_the_command_line() {
    let service = Service::answering([]).await;
    let (code, text) = run(&service, ALL_RECIPIENTS).await.failure();
    assert_eq!(code, 2);
    assert!(
        text.contains("no terminal to ask on; nothing was sent") && text.contains("--yes"),
        "{text}"
    );
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn a_job_shows_what_it_will_do_and_sends_nothing_without_a_yes() {
    for answer in ["n\n", "\n", "", "yess\n"] {
        let service = Service::answering([listed(1..=2), known(), checked(), refused()]).await;
        let ran = answering(&service, ALL_RECIPIENTS, answer).await;
        let (code, text) = ran.failure();
        assert_eq!(
            (code, text.as_str()),
            (1, "not confirmed; nothing was sent; answer y to begin the job")
        );
        for shown in [
            "000000000001",
            "000000000002",
            "PLANNED",
            "REFUSED",
            "not yours (POLICY_DENIED)",
            "2 shares: 1 to change, 1 refused. Go on? [y/N] ",
        ] {
            assert!(ran.notes.contains(shown), "{shown} in {}", ran.notes);
        }
        assert_eq!(ran.out, "");
        assert_eq!(revokes(&service), (vec![], 2));
    }
    let service = Service::answering([listed([1]), known(), checked(), revoked()]).await;
    answering(&service, ALL_RECIPIENTS, "Y\n").await.ok();
    assert_eq!(revokes(&service).0.len(), 1);
}

#[tokio::test]
async fn all_recipients_of_an_image_are_revoked_with_a_result_by_share_and_the_worst_exit_code() {
    let unavailable = error(
        Code::ResourceExhausted,
        ErrorReason::UpstreamThrottled,
        "slow down",
        &[],
    );
    let service = Service::answering([
        listed(1..=3),
        known(),
        checked(),
        checked(),
        checked(),
        revoked(),
        refused(),
        Answer::Refuse(unavailable),
    ])
    .await;
    let ran = run(&service, &format!("{ALL_RECIPIENTS} --yes -o csv")).await;
    let (code, text) = ran.failure();
    assert_eq!(code, 4, "{text}");
    assert!(
        text.starts_with("3 shares: 1 succeeded, 2 failed; run the same command again"),
        "{text}"
    );
    let Asked::List(filter) = &service.asked()[0] else {
        panic!("{:?}", service.asked()[0]);
    };
    assert_eq!(
        (
            filter.account_id.as_str(),
            filter.image_id.as_str(),
            filter.shared_account_id.as_str()
        ),
        ("012345678901", "wsi-0123456789", "")
    );
    let (sent, _) = revokes(&service);
    let mut rows = records(&ran.out);
    assert_eq!(rows.len(), 3);
    rows.sort_by_key(|row| row["result"].to_string());
    assert_eq!(rows[2]["result"], "SUCCEEDED");
    assert_eq!(rows[2]["change_id"], "01987654-3210-7000-8000-000000000001");
    for request in &sent {
        assert_eq!((request.reason.as_str(), request.ticket.as_str()), ("gone", "T-1"));
        assert!(
            rows.iter().any(|row| row["request_id"] == request.request_id.as_str()),
            "{rows:?}"
        );
    }
}

#[tokio::test]
async fn a_plan_says_what_aws_is_expected_to_say() {
    let expected = |code: finding::Code, severity: finding::Severity, message: &str| {
        Answer::Revoke(RevokeSharePermissionResponse {
            permission: Some(permission(1, share_permission::State::Shared)),
            findings: vec![Finding {
                code: code.into(),
                severity: severity.into(),
                message: message.into(),
            }],
            ..Default::default()
        })
    };
    let answers = || {
        [
            listed(1..=2),
            known(),
            expected(
                finding::Code::ImageNotAvailable,
                finding::Severity::Error,
                "The image is PENDING",
            ),
            expected(
                finding::Code::NotChecked,
                finding::Severity::Warning,
                "AWS does not answer",
            ),
        ]
    };
    let pending = "AWS would refuse this: The image is PENDING (IMAGE_NOT_AVAILABLE)";
    let unknown = "AWS does not answer (NOT_CHECKED)";
    let service = Service::answering(answers()).await;
    let ran = run(&service, &format!("{ALL_RECIPIENTS} --dry-run -o json")).await.ok();
    let shares = &ran.json()["shares"];
    assert_eq!(
        (&shares[0]["findings"], &shares[1]["findings"]),
        (&[pending].into(), &[unknown].into())
    );
    // Above the question, too.
    let service = Service::answering(answers()).await;
    let notes = answering(&service, ALL_RECIPIENTS, "n\n").await.notes;
    for told in [pending, unknown] {
        let line = format!("warning: {told}\n");
        assert_eq!(notes.matches(&line).count(), 1, "{line} in {notes}");
    }
}

#[tokio::test]
async fn the_defaults_of_the_environment_do_not_narrow_a_partners_leaving() {
    let line = "revoke --all-images --with 000000000001 -m left --dry-run -o json";
    let service = Service::answering([listed([1]), known(), checked()]).await;
    let variables = [
        ("SHAREWARDEN_ACCOUNT", "012345678901"),
        ("SHAREWARDEN_REGION", "eu-central-1"),
    ];
    let ran = run_in(&service, &variables, line).await.ok();
    let Asked::List(filter) = &service.asked()[0] else {
        panic!("{:?}", service.asked()[0]);
    };
    let expected = ListSharePermissionsRequest {
        shared_account_id: "000000000001".into(),
        page_size: 500,
        ..Default::default()
    };
    assert_eq!(filter, &expected);
    let row = &ran.json()["shares"][0];
    assert_eq!(
        (&row["result"], &row["previousState"]),
        (&"PLANNED".into(), &"SHARED".into())
    );
    assert_eq!(revokes(&service).0, []);

    let service = Service::answering([listed([]), known()]).await;
    run(&service, &format!("{line} -a 012345678901 -r eu-central-1"))
        .await
        .ok();
    let Asked::List(filter) = &service.asked()[0] else {
        panic!("{:?}", service.asked()[0]);
    };
    assert_eq!(
        (filter.account_id.as_str(), filter.region.as_str()),
        ("012345678901", "eu-central-1")
    );
}

#[test]
fn a_job_is_one_command_and_not_two() {
    for line in [
        "revoke --all-images -m x",
        "revoke --all-images --image wsi-0123456789 --with 000000000001 -m x",
        "revoke wsi-0123456789 --all-recipients --with 000000000001 -m x",
        "revoke wsi-0123456789 --all-recipients --all-images -m x",
        "revoke wsi-0123456789 --all-recipients",
        "revoke wsi-0123456789 --with 000000000001 -m x --yes",
        "grant wsi-0123456789 --with 000000000001 -m x --dry-run",
        "grant wsi-0123456789 --from-file shares.csv",
        "grant --from-file shares.csv -m x",
        "grant wsi-0123456789 -m x",
        "grant wsi-0123456789 --with 000000000001",
    ] {
        let words = ["sharewarden"].into_iter().chain(line.split(' '));
        let parsed = <crate::harness::Cli as clap::Parser>::try_parse_from(words);
        assert!(parsed.is_err(), "{line}");
    }
}

fn file(folder: &Path, rows: &str) -> PathBuf {
    let file = folder.join("shares.csv");
    fs::write(&file, format!("{HEAD}{rows}")).unwrap();
    file
}

/// An empty id would select the shares of everyone: a variable that is not set must not end in a revoke of all of them.
#[tokio::test]
async fn an_empty_or_wrong_id_selects_no_shares() {
    for (wrong, option) in [
        ("--all-images --with=", "--with: must be"),
        ("--all-images --with 1", "--with: must be"),
        ("--all-images --with 000000000001 --account=", "--account: must be"),
        ("--all-images --with 000000000001 --region=", "--region: must be"),
        ("--all-recipients --image=", "--image: must be"),
    ] {
        let service = Service::answering([]).await;
        let refused = run(&service, &format!("revoke {wrong} -m left --yes")).await;
        let (code, text) = refused.failure();
        assert_eq!(code, 2, "{wrong}: {text}");
        assert!(
            text.contains(option) && text.contains("nothing was sent"),
            "{wrong}: {text}"
        );
        assert!(service.asked().is_empty(), "{wrong}");
    }
}

#[tokio::test]
async fn wrong_rows_of_a_file_are_all_reported_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let rows =
        "12345678901,eu-central-1,wsi-0123456789,000000000001,r,\n012345678901,EU,wsi-0123456789,000000000002,,\n";
    let file = file(folder.path(), rows);
    // No service listens here.
    let words = ["grant", "--from-file", file.to_str().unwrap(), "--yes"];
    let (code, text) = run_words("http://127.0.0.1:1", &words).await.failure();
    assert_eq!(code, 2);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].ends_with(
            "shares.csv: 2 of 2 rows are wrong; nothing was sent; correct these rows, then run the command again"
        ),
        "{text}"
    );
    assert!(lines[1].starts_with("  line 2, account: must be "), "{text}");
    assert!(lines[1].contains("leading zero lost"), "{text}");
    assert!(
        lines[2].starts_with("  line 3, region: must be an AWS Region"),
        "{text}"
    );
    assert!(lines[3].starts_with("  line 3, reason: must be a reason"), "{text}");
}

fn signal(running: &Child, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

/// The output of a process that has no reason to wait.
async fn ended(running: Child) -> Output {
    let process = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap());
    match tokio::time::timeout(TIMEOUT, output).await {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process(process, Signal::KILL).unwrap();
            panic!("the program still runs");
        }
    }
}

/// The program with a job on a scripted service.
fn all_recipients(service: &Service) -> Child {
    let words =
        "revoke 012345678901/eu-central-1/wsi-0123456789 --all-recipients -m gone --yes -o json --principal alice";
    let mut command = program(words);
    command
        .env("SHAREWARDEN_SERVER", service.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_job_does_not_wait_for_a_delay_of_the_service_and_tells_all_it_knows() {
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3600)));
    details.set_error_info(
        "OVERLOADED",
        "sharewarden.v1",
        [("limit".to_owned(), "queue".to_owned())],
    );
    let overloaded = Status::with_error_details(Code::ResourceExhausted, "the queue is full", details);
    let service = Service::answering([listed([1]), known(), checked(), Answer::Refuse(overloaded)]).await;
    let running = all_recipients(&service);
    let sent = async {
        while revokes(&service).0.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, sent).await.unwrap();
    signal(&running, Signal::INT);
    let output = ended(running).await;
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{notes}");
    for part in [
        "1 share: 1 not sent",
        "run the same command again: it does what is left",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["shares"][0]["result"], "NOT_SENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_after_a_job_ends_the_program_as_usual() {
    // More than a pipe holds, so that the program waits for a reader of its results.
    const SHARES: u64 = 400;
    for ending in [Signal::INT, Signal::TERM] {
        let mut answers = vec![listed(1..=SHARES), known()];
        answers.extend((0..SHARES).map(|_| checked()));
        answers.extend((0..SHARES).map(|_| revoked()));
        let service = Service::answering(answers).await;
        let mut running = all_recipients(&service);
        let results = running.stdout.take().unwrap();
        let printing = async {
            while rustix::io::ioctl_fionread(&results).unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, printing).await.unwrap();
        signal(&running, ending);
        let output = ended(running).await;
        assert_eq!(output.status.signal(), Some(ending.as_raw()), "{output:?}");
    }
}

/// The program with a job on a stack.
fn job(stack: &Stack, file: &Path) -> Command {
    let mut command = program("--principal tester@example.com --timeout 2s -o json grant --yes --from-file");
    command
        .arg(file)
        .env("SHAREWARDEN_SERVER", format!("http://{}", stack.address))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_job_says_what_is_left_and_the_same_command_does_it() {
    let stack = Stack::start().await;
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..50)
        .map(|number| format!("{ACCOUNT},{REGION},{IMAGE},5{number:011},onboarding,T-1\n"))
        .collect();
    let file = file(folder.path(), &rows);
    stack.hold();
    let running = job(&stack, &file).spawn().unwrap();
    until(&stack.pool, "SELECT count(*) FROM change", 32).await;
    signal(&running, Signal::INT);
    let output = ended(running).await;
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{notes}");
    assert!(notes.contains("stopping: no further change is sent"), "{notes}");
    for part in [
        "the job stopped early: 50 shares: 32 without a known outcome, 18 not sent",
        "run the same command again: it does what is left, and no change takes effect twice",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["shares"].as_array().unwrap().len(), 50);

    stack.release();
    let mut again = job(&stack, &file);
    let output = tokio::task::spawn_blocking(move || again.output().unwrap())
        .await
        .unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{notes}");
    let kinds = stack.kinds(ACCOUNT).await;
    let count = |name| kinds.iter().filter(|kind| *kind == name).count();
    assert_eq!(
        (count("change.requested"), count("change.succeeded"), kinds.len()),
        (50, 50, 100)
    );
    stack.end().await;
}

#[tokio::test]
async fn a_file_takes_a_missing_account_and_region_from_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shares.csv");
    // The recipient is the default account, so the value that a row gets shows in its fault.
    fs::write(&path, "image,recipient,reason\nwsi-0123456789,111122223333,r\n").unwrap();
    let line = |more: &str| {
        format!(
            "--server http://127.0.0.1:1 grant {more} --yes --from-file {}",
            path.display()
        )
    };
    let said = async |variables: &[(&str, &str)], more: &str| run_bare(variables, &line(more)).await.failure().1;
    let own = "line 2, recipient: must not be the account that owns the image";
    let missing = said(&[], "").await;
    assert!(missing.contains("line 1: the column account is missing"), "{missing}");
    let region = said(&[("SHAREWARDEN_ACCOUNT", "111122223333")], "").await;
    assert!(region.contains("line 1: the column region is missing"), "{region}");
    let variables = [("SHAREWARDEN_ACCOUNT", "111122223333"), ("AWS_REGION", "eu-central-1")];
    let of_variables = said(&variables, "").await;
    assert!(of_variables.contains(own), "{of_variables}");
    let of_options = said(&[], "-a 111122223333 -r eu-central-1").await;
    assert!(of_options.contains(own), "{of_options}");
    // An option wins, and a value of the row wins over both.
    let other = said(&variables, "-a 444455556666").await;
    assert!(other.contains("cannot connect"), "{other}");
    let rows = "account,region,image,recipient,reason\n,,wsi-0123456789,111122223333,r\n\
                444455556666,,wsi-0123456789,444455556666,r\n";
    fs::write(&path, rows).unwrap();
    let both = said(&variables, "").await;
    assert!(both.contains("2 of 2 rows are wrong") && both.contains(own), "{both}");
}

#[tokio::test]
async fn a_refusal_is_not_answered_with_the_advice_to_run_the_same_command_again() {
    let service = Service::answering([listed([1]), known(), checked(), refused()]).await;
    let line = "revoke 012345678901/eu-central-1/wsi-0123456789 --all-recipients -m x --yes";
    let (code, text) = run(&service, line).await.failure();
    assert_eq!(code, 4, "{text}");
    assert!(!text.contains("run the same command again"), "{text}");
    assert!(text.contains("solve the causes before"), "{text}");
}
