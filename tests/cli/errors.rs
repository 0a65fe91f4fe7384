//! Errors: one line with a hint, and an exit code.

use std::time::Duration;

use sharewarden::proto::v1::ErrorReason;
use tokio::net::TcpSocket;
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::{
    answers::{error, granted, info},
    harness::{WHICH, run, run_at},
    service::{Answer, Service},
};

async fn failing(line: &str, status: Status) -> (u8, String) {
    let service = Service::answering([Answer::Refuse(status)]).await;
    run(&service, line).await.failure()
}

#[tokio::test]
async fn every_violation_is_shown_with_its_option() {
    let mut details = info(ErrorReason::InvalidFields, &[]);
    details.set_bad_request(vec![
        FieldViolation::new("account_id", "must match ^[0-9]{12}$"),
        FieldViolation::new("shared_account_id", "must not be\nthe owner"),
        FieldViolation::new("new_field", "is odd"),
    ]);
    let status = Status::with_error_details(Code::InvalidArgument, "3 fields break their rules.", details);
    let (code, text) = failing(&format!("grant {WHICH} --reason x"), status).await;
    let expected = "\
3 fields break their rules (INVALID_FIELDS); correct these fields, then run the command again
  --account (account_id): must match ^[0-9]{12}$
  --with (shared_account_id): must not be the owner
  new_field: is odd";
    assert_eq!((code, text.as_str()), (2, expected));
}

#[tokio::test]
async fn each_kind_of_error_has_its_exit_code() {
    use ErrorReason as R;
    let cases = [
        (R::Unspecified, Code::Unknown, 1),
        (R::InvalidFields, Code::InvalidArgument, 2),
        (R::RequestIdReused, Code::InvalidArgument, 2),
        (R::InvalidPageToken, Code::InvalidArgument, 6),
        (R::Unauthenticated, Code::Unauthenticated, 4),
        (R::PolicyDenied, Code::PermissionDenied, 4),
        (R::AccountNotConfigured, Code::FailedPrecondition, 7),
        (R::ImageNotFound, Code::NotFound, 3),
        (R::PermissionNotFound, Code::NotFound, 3),
        (R::ChangeNotFound, Code::NotFound, 3),
        (R::ImageUnavailable, Code::FailedPrecondition, 6),
        (R::OperationNotSupported, Code::FailedPrecondition, 7),
        (R::UpstreamAccessDenied, Code::FailedPrecondition, 7),
        (R::UpstreamInvalidParameter, Code::InvalidArgument, 2),
        (R::UpstreamRefused, Code::FailedPrecondition, 7),
        (R::ChangePending, Code::DeadlineExceeded, 5),
        (R::UpstreamThrottled, Code::ResourceExhausted, 6),
        (R::UpstreamUnavailable, Code::Unavailable, 6),
        (R::ChangeSuperseded, Code::Aborted, 8),
        (R::Overloaded, Code::ResourceExhausted, 6),
        (R::Internal, Code::Internal, 1),
    ];
    for (reason, grpc, exit) in cases {
        let (code, text) = failing(&format!("get {WHICH}"), error(grpc, reason, "it\nfailed", &[])).await;
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        assert_eq!(code, exit, "{text}");
        assert!(text.starts_with(&format!("it failed ({name}); ")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn an_error_without_a_known_reason_shows_its_code() {
    let cases = [
        (Code::NotFound, 3),
        (Code::PermissionDenied, 4),
        (Code::Unimplemented, 1),
        (Code::Unknown, 1),
    ];
    for (grpc, exit) in cases {
        let (code, text) = failing("list", Status::new(grpc, "")).await;
        assert_eq!(code, exit, "{text}");
        assert!(text.contains(&format!("({grpc:?}); ")), "{text}");
    }
}

#[tokio::test]
async fn the_retry_delay_of_the_service_is_shown() {
    let mut details = info(ErrorReason::Overloaded, &[]);
    details.set_retry_info(Some(Duration::from_secs(7)));
    let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
    let (code, text) = failing("list", status).await;
    assert_eq!(code, 6);
    assert!(text.ends_with("try again (wait at least 7s)"), "{text}");
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_the_address() {
    // Bound, so that no other process takes the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let (code, text) = run_at(&format!("http://{address}"), &format!("grant {WHICH} --reason x"))
        .await
        .failure();
    assert_eq!(code, 6);
    assert!(
        text.starts_with(&format!("cannot connect to http://{address}: Connection refused")),
        "{text}"
    );
    assert!(text.contains("check --server or SHAREWARDEN_SERVER"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn an_unavailable_service_is_retried_with_the_same_request_id() {
    let away = || error(Code::Unavailable, ErrorReason::AuditStoreUnavailable, "away", &[]);
    let service = Service::answering([Answer::Refuse(away()), Answer::Refuse(away()), Answer::Grant(granted())]).await;
    run(&service, &format!("grant {WHICH} --reason x")).await.ok();
    let asked = service.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| *request == asked[0]));
}

#[tokio::test]
async fn retries_stop_after_three_tries_or_if_the_delay_exceeds_the_timeout() {
    let away = || {
        Answer::Refuse(error(
            Code::Unavailable,
            ErrorReason::AuditStoreUnavailable,
            "away",
            &[],
        ))
    };
    let service = Service::answering([away(), away(), away(), Answer::Grant(granted())]).await;
    let (code, _) = run(&service, &format!("grant {WHICH} --reason x")).await.failure();
    assert_eq!((code, service.asked().len()), (6, 3));

    let mut details = info(ErrorReason::AuditStoreUnavailable, &[]);
    details.set_retry_info(Some(Duration::from_secs(60)));
    let status = Status::with_error_details(Code::Unavailable, "away", details);
    let service = Service::answering([Answer::Refuse(status)]).await;
    let (code, _) = run(&service, &format!("grant {WHICH} --reason x --timeout 30s"))
        .await
        .failure();
    assert_eq!((code, service.asked().len()), (6, 1));
}

#[tokio::test]
async fn an_overloaded_service_is_retried_if_it_gives_a_delay() {
    let mut details = info(ErrorReason::Overloaded, &[]);
    details.set_retry_info(Some(Duration::from_millis(1)));
    let busy = Status::with_error_details(Code::ResourceExhausted, "busy", details);
    let service = Service::answering([Answer::Refuse(busy), Answer::Grant(granted())]).await;
    run(&service, &format!("grant {WHICH} --reason x")).await.ok();
    let asked = service.asked();
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
}

#[tokio::test]
async fn a_rejected_retry_leaves_the_outcome_of_the_first_try_unknown() {
    let expired = || {
        Answer::Refuse(error(
            Code::Unauthenticated,
            ErrorReason::Unauthenticated,
            "no token",
            &[],
        ))
    };
    let line = format!("grant {WHICH} --reason x --request-id my-id");
    let service = Service::answering([Answer::Refuse(Status::unknown("reset")), expired()]).await;
    let (exit, text) = run(&service, &line).await.failure();
    assert_eq!((exit, service.asked().len()), (4, 2));
    assert!(text.ends_with("--request-id my-id"), "{text}");

    let service = Service::answering([expired()]).await;
    let (_, text) = run(&service, &line).await.failure();
    assert!(!text.contains("my-id"), "nothing was accepted: {text}");
}

#[tokio::test]
async fn an_aws_call_that_the_service_has_retried_is_not_retried() {
    for (code, reason) in [
        (Code::Unavailable, ErrorReason::UpstreamUnavailable),
        (Code::ResourceExhausted, ErrorReason::Overloaded),
    ] {
        let refuse = Answer::Refuse(error(code, reason, "no", &[]));
        let service = Service::answering([refuse, Answer::Grant(granted())]).await;
        let (exit, _) = run(&service, &format!("grant {WHICH} --reason x")).await.failure();
        assert_eq!((exit, service.asked().len()), (6, 1));
    }
}

#[test]
fn a_usage_names_what_a_form_of_the_command_requires_and_no_variable() {
    for (arguments, usages) in [
        (
            "revoke --all-images",
            &[
                "Usage: sharewarden revoke [OPTIONS] --with <ACCOUNT_ID> --reason <TEXT> [SHARE]",
                "sharewarden revoke [OPTIONS] --all-recipients --reason <TEXT> [SHARE]",
                "sharewarden revoke [OPTIONS] --all-images --with <ACCOUNT_ID> --reason <TEXT>",
            ][..],
        ),
        (
            "grant",
            &[
                "Usage: sharewarden grant [OPTIONS] --with <ACCOUNT_ID> --reason <TEXT> [SHARE]",
                "sharewarden grant [OPTIONS] --from-file <FILE>",
            ],
        ),
        ("list --no-such-option", &["Usage: sharewarden list [OPTIONS]"]),
        ("change show", &["Usage: sharewarden change show [OPTIONS] <CHANGE_ID>"]),
        ("migrate --no-such-option", &["Usage: sharewarden migrate [OPTIONS]"]),
    ] {
        let output = crate::closed_outputs::program(arguments)
            .env("SHAREWARDEN_SERVER", "http://127.0.0.1:1")
            .env("SHAREWARDEN_CONFIG", "/nowhere.toml")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let from = said.find("Usage: ").unwrap();
        let printed: Vec<_> = said[from..]
            .split("\n\n")
            .next()
            .unwrap()
            .lines()
            .map(str::trim)
            .collect();
        assert_eq!(printed, usages, "{arguments}");
    }
}

#[test]
fn an_option_has_one_name() {
    for arguments in [
        "list --recipient 000011112222",
        "list --from 000011112222",
        "get wsi-basewin11 --shared-account 000011112222",
        "audit list --from 000011112222",
    ] {
        let output = crate::closed_outputs::program(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(said.contains("unexpected argument"), "{arguments}: {said}");
    }
}
