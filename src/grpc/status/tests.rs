use std::{sync::Arc, time::Duration};

use tonic_types::StatusExt;

use crate::{
    domain::{
        Attempt, AwsOperation, Change, ChangeFailure, ChangeId, ChangeState, Classification, Intent, PermissionKey,
        ReplicaId, RequestId, Timestamp, example,
    },
    store::changes::Progress,
};

use super::{super::refusal, *};

fn key() -> PermissionKey {
    example::intent().key
}

fn change_id() -> ChangeId {
    "0192f0c1-7e6b-7a4e-8f00-000000000001".parse().unwrap()
}

fn request_id() -> RequestId {
    "0192f0c1-7e6b-7a4e-8f00-000000000002".parse().unwrap()
}

fn change(state: ChangeState, failure: Option<FailureReason>) -> Box<Change> {
    let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
    Box::new(Change {
        intent: Arc::new(Intent {
            change_id: change_id(),
            request_id: request_id(),
            ..example::intent()
        }),
        generation: 1,
        previous: None,
        previous_basis: None,
        state,
        attempts: Vec::new(),
        failure: failure.map(|reason| ChangeFailure {
            reason,
            code: Some("SomeException".into()),
            message: Some("secret arn:aws:iam::000011112222:role/sharer".into()),
        }),
        created_at: now,
        ended_at: Some(now),
    })
}

fn fault(kind: AwsErrorKind) -> Error {
    Error::Upstream(AwsError {
        kind,
        code: Some("SomeException".into()),
        message: Some("secret".into()),
    })
}

fn ended(change: Change) -> Box<UnsuccessfulChange> {
    let request_id = change.intent.request_id;
    Box::new(UnsuccessfulChange { change, request_id })
}

fn failed(reason: FailureReason) -> Error {
    let mut change = change(ChangeState::Failed, Some(reason));
    if let (FailureReason::PolicyDenied, Some(failure)) = (reason, &mut change.failure) {
        failure.message = Some("not on the list".into());
    }
    Error::Failed(ended(*change))
}

/// The error, the code, the reason, and the seconds of its RetryInfo.
type Row = (Error, Code, &'static str, Option<u64>);

fn failure_rows() -> Vec<Row> {
    use FailureReason::*;
    vec![
        (failed(ImageNotFound), Code::NotFound, "IMAGE_NOT_FOUND", None),
        (
            failed(ImageUnavailable),
            Code::FailedPrecondition,
            "IMAGE_UNAVAILABLE",
            Some(60),
        ),
        (
            failed(OperationNotSupported),
            Code::FailedPrecondition,
            "OPERATION_NOT_SUPPORTED",
            None,
        ),
        (
            failed(UpstreamAccessDenied),
            Code::FailedPrecondition,
            "UPSTREAM_ACCESS_DENIED",
            None,
        ),
        (
            failed(UpstreamInvalidParameter),
            Code::InvalidArgument,
            "UPSTREAM_INVALID_PARAMETER",
            None,
        ),
        (
            failed(UpstreamRefused),
            Code::FailedPrecondition,
            "UPSTREAM_REFUSED",
            None,
        ),
        (
            failed(UpstreamThrottled),
            Code::ResourceExhausted,
            "UPSTREAM_THROTTLED",
            Some(10),
        ),
        (
            failed(UpstreamUnavailable),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
            Some(10),
        ),
        (failed(PolicyDenied), Code::PermissionDenied, "POLICY_DENIED", None),
    ]
}

fn rows() -> Vec<Row> {
    let denied = |log_index| Error::Denied {
        intent: Arc::new(example::intent()),
        rule: "not on the list".into(),
        log_index,
    };
    let throttled = AwsErrorKind::Throttled {
        retry_after: Some(Duration::from_secs(7)),
    };
    let not_configured = Error::NotConfigured {
        account: key().account,
        region: key().region,
    };
    let reused = Error::RequestIdReused {
        request_id: request_id(),
        change_id: change_id(),
    };
    let pending = Error::Pending(still_pending(None));
    let corrupt = StoreError::Corrupt {
        table: "change",
        problem: "secret".into(),
    };
    let mut rows = vec![
        (not_configured, Code::FailedPrecondition, "ACCOUNT_NOT_CONFIGURED", None),
        (denied(Some(7)), Code::PermissionDenied, "POLICY_DENIED", None),
        (denied(None), Code::PermissionDenied, "POLICY_DENIED", None),
        (reused, Code::InvalidArgument, "REQUEST_ID_REUSED", None),
        (
            Error::PermissionNotFound(key()),
            Code::NotFound,
            "PERMISSION_NOT_FOUND",
            None,
        ),
        (
            Error::ChangeNotFound(key().account, change_id()),
            Code::NotFound,
            "CHANGE_NOT_FOUND",
            None,
        ),
        (pending, Code::DeadlineExceeded, "CHANGE_PENDING", None),
        (
            Error::Superseded(ended(*change(ChangeState::Superseded, None))),
            Code::Aborted,
            "CHANGE_SUPERSEDED",
            None,
        ),
        (
            Error::Failed(ended(*change(ChangeState::Failed, None))),
            Code::Internal,
            "INTERNAL",
            None,
        ),
        (
            fault(AwsErrorKind::NotSent),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
            Some(10),
        ),
        (
            fault(AwsErrorKind::Unknown),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
            Some(10),
        ),
        (fault(throttled), Code::ResourceExhausted, "UPSTREAM_THROTTLED", Some(7)),
        (
            StoreError::Timeout(Duration::from_secs(1)).into(),
            Code::Unavailable,
            "AUDIT_STORE_UNAVAILABLE",
            Some(1),
        ),
        (
            StoreError::Schema("secret".into()).into(),
            Code::Internal,
            "INTERNAL",
            None,
        ),
        (corrupt.into(), Code::Internal, "INTERNAL", None),
        (
            CommitError::Unavailable.into(),
            Code::Unavailable,
            "AUDIT_STORE_UNAVAILABLE",
            Some(1),
        ),
        (
            CommitError::Overloaded.into(),
            Code::ResourceExhausted,
            "OVERLOADED",
            Some(1),
        ),
        (
            CommitError::Stopping.into(),
            Code::Unavailable,
            "SERVER_STOPPING",
            Some(1),
        ),
        (Error::UnexpectedAnswer, Code::Internal, "INTERNAL", None),
    ];
    for &reason in FailureReason::ALL {
        let (_, code, name, retry) =
            failure_rows().remove(FailureReason::ALL.iter().position(|r| *r == reason).unwrap());
        rows.push((fault(AwsErrorKind::Refused(reason)), code, name, retry));
    }
    rows.extend(failure_rows());
    rows
}

#[test]
fn every_error_has_the_code_the_reason_and_the_retry_info_of_the_table() {
    for (error, code, reason, retry) in rows() {
        let name = format!("{error:?}");
        let status = of(error);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(status.code(), code, "{name}");
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (reason, "sharewarden.v1"),
            "{name}"
        );
        let delay = details.retry_info().map(|info| info.retry_delay.unwrap());
        assert_eq!(delay, retry.map(Duration::from_secs), "{name}");
    }
}

#[test]
fn messages_are_sentences_that_repeat_neither_drivers_nor_aws() {
    for (error, ..) in rows() {
        let status = of(error);
        let text = format!("{status:?}");
        assert!(!text.contains("secret"), "{text}");
        assert!(status.message().ends_with('.'), "{text}");
        // The command line says what to do with its own options instead of the part after the last semicolon.
        assert!(status.message().contains("; "), "what happened; what to do: {text}");
    }
}

#[test]
fn a_request_that_joined_a_change_gets_its_own_request_id() {
    for reason in [FailureReason::PolicyDenied, FailureReason::ImageNotFound] {
        let Error::Failed(mut ended) = failed(reason) else {
            panic!()
        };
        ended.request_id = RequestId(uuid::Uuid::from_u128(7));
        let status = of(Error::Failed(ended));
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["request_id"], "00000000-0000-0000-0000-000000000007");
        assert!(status.message().contains("had joined"), "{status:?}");
        let asks_again = status
            .message()
            .contains("send the request again with a new request id");
        assert_eq!(asks_again, reason == FailureReason::PolicyDenied, "{status:?}");
    }
}

#[test]
fn every_failure_reason_has_the_same_name_in_the_api() {
    for &failure in FailureReason::ALL {
        assert_eq!(refusal::name(reason(failure)), failure.as_str());
    }
}

#[test]
fn the_metadata_describes_the_change() {
    let status = of(failed(FailureReason::ImageNotFound));
    let facts = status.get_details_error_info().unwrap().metadata;
    let expected = [
        ("account_id", "000011112222"),
        ("region", "eu-central-1"),
        ("image_id", "wsi-123456789"),
        ("shared_account_id", "210987654321"),
        ("action", "GRANT"),
        ("change_id", "0192f0c1-7e6b-7a4e-8f00-000000000001"),
        ("request_id", "0192f0c1-7e6b-7a4e-8f00-000000000002"),
        ("aws_error_code", "SomeException"),
    ];
    assert_eq!(
        facts,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
}

#[test]
fn a_refusal_by_the_policy_has_its_log_index_and_the_policies_that_decided() {
    let denied = |log_index| {
        let rule = "not on the list".into();
        of(Error::Denied {
            intent: Arc::new(example::intent()),
            rule,
            log_index,
        })
        .get_details_error_info()
        .unwrap()
        .metadata
    };
    assert_eq!(denied(Some(7)).get("log_index").map(String::as_str), Some("7"));
    assert_eq!(denied(None).get("log_index"), None);
    let decision = example::decision();
    let denied = denied(None);
    assert_eq!(denied.get("policies").map(String::as_str), Some("pipelines-share"));
    assert_eq!(denied.get("policy_set"), Some(&decision.policy_set.to_string()));
}

fn still_pending(progress: Option<Progress>) -> Box<ChangeStatus> {
    let change = change(ChangeState::Pending, None);
    Box::new(ChangeStatus {
        change: *change,
        progress,
    })
}

#[test]
fn a_pending_change_tells_the_last_answer_of_aws_and_what_is_next() {
    let time = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
    let refused = Attempt {
        operation: AwsOperation::UpdateWorkspaceImagePermission,
        started_at: time,
        duration: Duration::ZERO,
        classification: Classification::Refused,
        aws_request_id: Some("an-id".into()),
        error_code: Some("ResourceUnavailableException".into()),
    };
    let progress = Progress {
        in_doubt: false,
        lease: None,
        leased_since: None,
        next_attempt_at: Some(time),
        updated_at: time,
        behind: None,
    };
    let facts = |status: Box<ChangeStatus>| {
        let status = of(Error::Pending(status));
        (
            status.message().to_owned(),
            status.get_details_error_info().unwrap().metadata,
        )
    };
    let mut waiting = still_pending(Some(progress));
    waiting.change.attempts = vec![refused];
    let (message, metadata) = facts(waiting);
    assert!(
        message.contains("the last answer of AWS is ResourceUnavailableException"),
        "{message}"
    );
    let known = |name: &str| metadata.get(name).map(String::as_str);
    assert_eq!(known("aws_error_code"), Some("ResourceUnavailableException"));
    assert_eq!(known("aws_request_id"), Some("an-id"));
    assert_eq!(known("next_attempt_time"), Some(time.to_string().as_str()));
    assert_eq!(known("replica_id"), None);

    let replica = ReplicaId(uuid::Uuid::from_u128(7));
    let calling = Progress {
        lease: Some((replica, time)),
        leased_since: Some(time),
        next_attempt_at: None,
        ..progress
    };
    let (_, metadata) = facts(still_pending(Some(calling)));
    assert_eq!(metadata["replica_id"], replica.to_string());
    assert_eq!(metadata["lease_start_time"], time.to_string());
    assert!(!metadata.contains_key("next_attempt_time"));
}

#[test]
fn the_id_of_a_change_in_progress_is_also_a_trailer() {
    let status = of(Error::Pending(still_pending(None)));
    assert_eq!(
        status.metadata().get(CHANGE_ID).unwrap(),
        "0192f0c1-7e6b-7a4e-8f00-000000000001"
    );
}

#[test]
fn an_overload_sets_the_pushback_of_clients() {
    let status = of(CommitError::Overloaded.into());
    assert!((1000..=2000).contains(&pushback(&status).unwrap()));
    assert_eq!(
        status.get_error_details().retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(1))
    );
}

#[test]
fn automatic_retries_are_allowed_only_where_they_cannot_act_twice() {
    let store = |intent: &Arc<Intent>| {
        of(Error::Unconfirmed {
            intent: intent.clone(),
            store_unavailable: true,
        })
    };
    let mut intent = change(ChangeState::Pending, None).intent;
    let with_id = pushback(&store(&intent));
    Arc::make_mut(&mut intent).request_id = RequestId(intent.change_id.0);
    assert!(with_id.unwrap() >= 1000);
    assert_eq!(
        pushback(&store(&intent)),
        Some(-1),
        "the message has no id: again it would be another request"
    );

    assert_eq!(
        pushback(&of(failed(FailureReason::UpstreamThrottled))),
        Some(-1),
        "what has ended has ended"
    );
    assert!(pushback(&store_unavailable().into_status()).unwrap() >= 1000);
    assert_eq!(pushback(&of(Error::Pending(still_pending(None)))), None);
}

fn pushback(status: &Status) -> Option<i64> {
    let value = status.metadata().get("grpc-retry-pushback-ms")?;
    Some(value.to_str().unwrap().parse().unwrap())
}

#[test]
fn a_decoding_error_of_tonic_gets_a_reason_and_other_statuses_do_not_change() {
    for status in [Status::internal("failed to decode"), Status::out_of_range("too large")] {
        let status = completed(&status).unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_FIELDS");
    }
    let unknown = completed(&Status::unimplemented("no such method")).unwrap();
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "UNIMPLEMENTED");
    assert!(completed(&of(Error::UnexpectedAnswer)).is_none());
}
