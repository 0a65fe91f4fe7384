//! Changes that take longer than the call: the error shows the command that continues, and `change show --wait` waits.

use sharewarden::proto::v1::*;
use tonic::{Code, Status};

use crate::{
    answers::{CHANGE_ID, change, error},
    closed_outputs::program,
    harness::{WHICH, run},
    service::{Answer, Asked, Service},
};

fn polls(states: &[change::State]) -> Vec<Answer> {
    let answer = |&state: &change::State| {
        Answer::Change(GetChangeResponse {
            change: Some(change(state)),
        })
    };
    states.iter().map(answer).collect()
}

#[tokio::test]
async fn the_error_of_a_pending_change_shows_the_command_that_follows_it() {
    let metadata = [("change_id", CHANGE_ID)];
    let status = error(
        Code::DeadlineExceeded,
        ErrorReason::ChangePending,
        "still going",
        &metadata,
    );
    let service = Service::answering([Answer::Refuse(status)]).await;
    let (code, text) = run(&service, &format!("grant {WHICH} --reason x --principal bob"))
        .await
        .failure();
    let expected = format!(
        "still going (CHANGE_PENDING); it continues; follow it with: sharewarden change show \
         --server http://{} --principal bob --account 012345678901 {CHANGE_ID} --wait",
        service.address
    );
    assert_eq!((code, text), (5, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_follows_leaves_out_what_the_environment_has() {
    let metadata = [("change_id", CHANGE_ID)];
    let status = error(
        Code::DeadlineExceeded,
        ErrorReason::ChangePending,
        "still going",
        &metadata,
    );
    let service = Service::answering([Answer::Refuse(status)]).await;
    let output = program(&format!("grant {WHICH} --reason x"))
        .env("SHAREWARDEN_SERVER", service.url())
        .env("SHAREWARDEN_PRINCIPAL", "bob")
        .output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    let expected = format!("with: sharewarden change show --account 012345678901 {CHANGE_ID} --wait");
    assert!(said.trim_end().ends_with(&expected), "{said}");
}

#[tokio::test]
async fn the_error_of_a_grant_without_an_answer_shows_the_command_that_repeats_it() {
    const SHARE: &str = "012345678901/eu-central-1/wsi-0123456789 --with 999999999999";
    let service = Service::answering([Answer::Never]).await;
    let line = format!("grant {WHICH} --reason it's_due --ticket OPS-1 --timeout 1s");
    let (code, text) = run(&service, &line).await.failure();
    let Asked::Grant(request) = &service.asked()[0] else {
        panic!("not a grant");
    };
    assert_eq!(code, 5);
    assert!(
        text.starts_with("no answer came within 1s (DeadlineExceeded); "),
        "{text}"
    );
    let command = format!(
        "sharewarden grant --server http://{} --principal tester {SHARE} --reason 'it'\\''s due' --ticket OPS-1 --request-id {}",
        service.address, request.request_id
    );
    assert!(text.ends_with(&command), "{text}");
}

/// The transport can lose a request without an error, for example when a load balancer forgets its connection.
#[tokio::test]
async fn a_grant_that_nobody_answers_is_sent_again_with_the_same_request_id_long_before_the_timeout() {
    let granted = GrantSharePermissionResponse {
        change: Some(change(change::State::Succeeded)),
        ..GrantSharePermissionResponse::default()
    };
    let service = Service::answering([Answer::Never, Answer::Grant(granted)]).await;
    run(&service, &format!("grant {WHICH} --reason x --timeout 5m"))
        .await
        .ok();
    let asked = service.asked();
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
}

#[tokio::test]
async fn the_error_of_an_interrupted_revoke_shows_the_command_that_repeats_it() {
    for status in [
        Status::unknown("reset"),
        Status::unavailable("gone"),
        Status::internal("?"),
    ] {
        let again = || Answer::Refuse(Status::new(status.code(), status.message()));
        let service = Service::answering([again(), again(), again()]).await;
        let (_, text) = run(&service, &format!("revoke {WHICH} --reason x --request-id my-id"))
            .await
            .failure();
        assert!(text.contains(": sharewarden revoke --server"), "{text}");
        assert!(text.ends_with(" --reason x --request-id my-id"), "{text}");
    }
}

#[tokio::test]
async fn the_error_of_validate_only_shows_no_command() {
    let service = Service::answering([Answer::Refuse(Status::unknown("reset"))]).await;
    let (_, text) = run(&service, &format!("grant {WHICH} --reason x --validate-only"))
        .await
        .failure();
    assert!(!text.contains("sharewarden grant"), "{text}");
}

#[tokio::test]
async fn wait_polls_until_the_change_has_ended() {
    use change::State::{Pending, Succeeded};
    let service = Service::answering(polls(&[Pending, Pending, Succeeded])).await;
    let ran = run(&service, "change show --account 012345678901 some-id --wait")
        .await
        .ok();
    assert!(ran.out.contains("State       SUCCEEDED\n"), "{}", ran.out);
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn without_wait_a_pending_change_is_printed_at_once() {
    let service = Service::answering(polls(&[change::State::Pending])).await;
    let ran = run(&service, "change show --account 012345678901 some-id").await.ok();
    assert!(ran.out.contains("State       PENDING\n"), "{}", ran.out);
}

#[tokio::test]
async fn wait_exits_with_the_code_of_the_grant() {
    let failed = Change {
        error_reason: ErrorReason::ImageNotFound.into(),
        error_code: "ResourceNotFoundException".into(),
        error_message: "no such image".into(),
        ..change(change::State::Failed)
    };
    let service = Service::answering([Answer::Change(GetChangeResponse { change: Some(failed) })]).await;
    let ran = run(&service, "change show --account 012345678901 some-id --wait -o json").await;
    let (code, text) = ran.failure();
    assert_eq!(code, 3);
    assert!(
        text.starts_with("the change has failed: ResourceNotFoundException: no such image (IMAGE_NOT_FOUND); "),
        "{text}"
    );
    assert_eq!(ran.json()["change"]["state"], "STATE_FAILED");

    let superseded = Change {
        error_reason: ErrorReason::ChangeSuperseded.into(),
        ..change(change::State::Superseded)
    };
    let service = Service::answering([Answer::Change(GetChangeResponse {
        change: Some(superseded),
    })])
    .await;
    let (code, text) = run(&service, "change show --account 012345678901 some-id --wait")
        .await
        .failure();
    assert_eq!(code, 8);
    assert!(
        text.starts_with("the change was superseded (CHANGE_SUPERSEDED); "),
        "{text}"
    );
}

#[tokio::test]
async fn wait_stops_at_the_timeout_and_prints_the_last_state() {
    let mut answers = polls(&[change::State::Pending]);
    answers.push(Answer::Never);
    let service = Service::answering(answers).await;
    let ran = run(
        &service,
        "change show --account 012345678901 some-id --wait --timeout 2s",
    )
    .await;
    let (code, text) = ran.failure();
    assert_eq!(code, 5);
    assert!(
        text.starts_with("the change has not ended within 2s; it is still in progress; follow it with: "),
        "{text}"
    );
    assert!(text.ends_with(" --account 012345678901 some-id --wait"), "{text}");
    assert!(ran.out.contains("State       PENDING\n"), "{}", ran.out);
}
