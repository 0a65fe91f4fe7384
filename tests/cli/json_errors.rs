//! With `-o json` an error is one JSON document on standard error, also if no service was called.

use serde_json::{Value, json};
use sharewarden::{cli::failure_in_json, proto::v1::ErrorReason};
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::{
    answers::info,
    closed_outputs::program,
    harness::{WHICH, run},
    service::{Answer, Service},
};

async fn error_of(line: &str, status: Status) -> Value {
    let service = Service::answering([Answer::Refuse(status)]).await;
    let failure = run(&service, line).await.result.unwrap_err();
    serde_json::from_str(&failure_in_json(&failure)).unwrap()
}

/// The exit code of the program, and its standard error as JSON.
fn error_of_program(arguments: &str) -> (Option<i32>, Value) {
    let output = program(arguments).output().unwrap();
    assert!(output.stdout.is_empty(), "{arguments}");
    let said = String::from_utf8(output.stderr).unwrap();
    (
        output.status.code(),
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments}: {error}: {said}")),
    )
}

#[tokio::test]
async fn an_error_of_the_service_has_its_code_reason_metadata_and_exit_code() {
    let mut details = info(
        ErrorReason::ChangePending,
        &[("change_id", "c"), ("account_id", "012345678901")],
    );
    details.set_retry_info(Some(std::time::Duration::from_millis(1500)));
    let status = Status::with_error_details(Code::DeadlineExceeded, "Change c is in progress; follow it.", details);
    let error = error_of(&format!("grant {WHICH} --reason x --timeout 1s"), status).await;
    let command = error["error"]["nextCommand"].as_str().unwrap().to_owned();
    assert!(
        command.starts_with("sharewarden change ") && command.contains("--account 012345678901"),
        "{command}"
    );
    let expected = json!({"error": {
        "code": "DEADLINE_EXCEEDED",
        "reason": "CHANGE_PENDING",
        "message": "Change c is in progress",
        "hint": "it continues (wait at least 1s 500ms)",
        "metadata": {"account_id": "012345678901", "change_id": "c"},
        "retryDelay": "1.5s",
        "nextCommand": command,
        "exitCode": 5,
    }});
    assert_eq!(error, expected);
}

#[tokio::test]
async fn the_violations_of_a_request_are_a_list() {
    let mut details = info(ErrorReason::InvalidFields, &[]);
    details.set_bad_request(vec![FieldViolation::new("account_id", "must match ^[0-9]{12}$")]);
    let status = Status::with_error_details(Code::InvalidArgument, "1 field breaks its rule.", details);
    let error = error_of("list", status).await;
    let violation = json!({"field": "account_id", "option": "--account", "description": "must match ^[0-9]{12}$"});
    assert_eq!(error["error"]["violations"], json!([violation]));
}

#[test]
fn usage_errors_and_local_failures_are_json_too() {
    for (arguments, exit, code, reason, said) in [
        (
            "list -o json --no-such-option",
            2,
            "INVALID_ARGUMENT",
            "USAGE",
            "--no-such-option",
        ),
        (
            "--output=json grant",
            2,
            "INVALID_ARGUMENT",
            "USAGE",
            "required arguments",
        ),
        (
            "-ojson no-such-command",
            2,
            "INVALID_ARGUMENT",
            "USAGE",
            "no-such-command",
        ),
        (
            "list --server ftp://x -o json",
            2,
            "INVALID_ARGUMENT",
            "USAGE",
            "begin it with http://",
        ),
        (
            "list --principal x --server https://127.0.0.1:1 --tls-ca /nowhere.pem -o json",
            2,
            "INVALID_ARGUMENT",
            "LOCAL",
            "/nowhere.pem",
        ),
        (
            "list -o json --principal x --server http://127.0.0.1:1",
            6,
            "UNAVAILABLE",
            "CONNECTION",
            "nothing listens there",
        ),
    ] {
        let (status, document) = error_of_program(arguments);
        let error = &document["error"];
        assert_eq!(status, Some(exit), "{document}");
        assert_eq!(error["exitCode"], exit, "{document}");
        assert_eq!(
            (error["code"].as_str(), error["reason"].as_str()),
            (Some(code), Some(reason)),
            "{document}"
        );
        assert!(error["message"].as_str().unwrap().contains(said), "{document}");
        assert!(error["metadata"].is_object(), "{document}");
    }
}

#[test]
fn commands_without_a_service_print_their_errors_as_json_too() {
    let archive = "audit archive --before 2026-01 --to /nowhere";
    for command in [
        "serve",
        "migrate",
        "config check",
        archive,
        "audit confirm --account 111122223333",
    ] {
        let (status, document) = error_of_program(&format!("{command} --config /nowhere.toml -o json"));
        let error = &document["error"];
        assert_eq!((status, &error["exitCode"]), (Some(1), &json!(1)), "{document}");
        assert_eq!(
            (&error["code"], &error["reason"]),
            (&json!("UNKNOWN"), &json!("LOCAL")),
            "{document}"
        );
        assert!(
            error["message"].as_str().unwrap().contains("/nowhere.toml"),
            "{document}"
        );

        let output = program(&format!("{command} -o csv")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("this command has no CSV form"), "{command}: {said}");
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
    let (status, document) = error_of_program("key show --name n --key-file /nowhere.pem -o json");
    assert_eq!(
        (status, &document["error"]["reason"]),
        (Some(2), &json!("LOCAL")),
        "{document}"
    );
}

#[test]
fn without_json_a_usage_error_has_its_usage() {
    let output = program("list -o table --no-such-option").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Usage: sharewarden list"), "{said}");
}
