//! The classification of each answer of AWS.

use std::time::Duration;

use sharewarden::domain::{Access, AwsError, AwsErrorKind, FailureReason, FailureReason::*};

use crate::{
    assert_fault, connect, fault, key,
    upstream::{ScriptedAnswer, Upstream, answer, error},
};

/// The result of a grant with this answer. Fails unless the grant is sent exactly once.
async fn grant(bytes: String) -> sharewarden::domain::AwsResponse<()> {
    let upstream = Upstream::answering(bytes).await;
    let response = connect(&upstream.url)
        .await
        .update_image_permission(&key(), Access::Shared, || true)
        .await;
    assert_eq!(upstream.seen().len(), 1, "{response:?}");
    response
}

async fn refused(status: u16, code: &str) -> AwsError {
    fault(grant(error(status, code, "the message")).await)
}

#[tokio::test]
async fn an_empty_200_and_an_empty_object_are_accepted() {
    for body in ["", "{}"] {
        let response = grant(answer(200, &[], body)).await;
        assert_eq!(response.result, Ok(()), "{body:?}");
        assert_eq!(response.aws_request_id.as_deref(), Some("request-1"));
    }
}

#[tokio::test]
async fn the_request_carries_the_change_and_is_signed_for_its_region() {
    for (access, allow) in [(Access::Shared, true), (Access::NotShared, false)] {
        let upstream = Upstream::answering(answer(200, &[], "{}")).await;
        connect(&upstream.url)
            .await
            .update_image_permission(&key(), access, || true)
            .await
            .result
            .unwrap();
        let seen = &upstream.seen()[0];
        assert_eq!(seen.operation(), "UpdateWorkspaceImagePermission");
        assert_eq!(
            seen.json(),
            serde_json::json!({
                "ImageId": "wsi-basewin11", "AllowCopyImage": allow, "SharedAccountId": "000011112222"
            })
        );
        assert!(
            seen.header("authorization")
                .contains("/eu-central-1/workspaces/aws4_request")
        );
        assert!(
            seen.header("user-agent").contains("app/sharewarden-"),
            "{}",
            seen.header("user-agent")
        );
    }
}

#[tokio::test]
async fn an_unreadable_200_is_unknown() {
    for body in ["<html>Please log in</html>", "{\"ImageId\":", "[]", "null", "\0"] {
        assert_fault(
            grant(answer(200, &[], body)).await,
            AwsErrorKind::Unknown,
            "UnreadableAnswer",
        );
    }
}

#[tokio::test]
async fn a_success_other_than_200_is_unknown() {
    for status in [202, 204] {
        assert_fault(
            grant(answer(status, &[], "")).await,
            AwsErrorKind::Unknown,
            "UnreadableAnswer",
        );
    }
}

#[tokio::test]
async fn a_redirect_is_unknown() {
    let bytes = answer(307, &[("Location", "http://127.0.0.1:9/")], "");
    assert_fault(grant(bytes).await, AwsErrorKind::Unknown, "Http307");
}

#[tokio::test]
async fn an_answer_cut_short_is_unknown_whatever_its_status() {
    for status in [200, 400, 500] {
        let cut = format!("HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\n{{");
        let upstream = Upstream::start(move |_| ScriptedAnswer::SendAndClose(cut.clone())).await;
        let response = connect(&upstream.url)
            .await
            .update_image_permission(&key(), Access::Shared, || true)
            .await;
        assert_fault(response, AwsErrorKind::Unknown, "TruncatedAnswer");
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[tokio::test]
async fn refusals_keep_the_code_the_message_and_the_request_id_of_aws() {
    let response = grant(error(400, "ResourceNotFoundException", "The image is gone")).await;
    assert_eq!(response.aws_request_id.as_deref(), Some("request-1"));
    let fault = fault(response);
    assert_eq!(fault.code.as_deref(), Some("ResourceNotFoundException"));
    assert_eq!(fault.message.as_deref(), Some("The image is gone"));
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    let codes: &[(&str, FailureReason)] = &[
        ("ResourceNotFoundException", ImageNotFound),
        ("ResourceUnavailableException", ImageUnavailable),
        ("OperationNotSupportedException", OperationNotSupported),
        ("AccessDeniedException", UpstreamAccessDenied),
        ("AccessDenied", UpstreamAccessDenied),
        ("UnrecognizedClientException", UpstreamAccessDenied),
        ("InvalidClientTokenId", UpstreamAccessDenied),
        ("InvalidSignatureException", UpstreamAccessDenied),
        ("ExpiredToken", UpstreamAccessDenied),
        ("ExpiredTokenException", UpstreamAccessDenied),
        ("SignatureDoesNotMatch", UpstreamAccessDenied),
        ("IncompleteSignature", UpstreamAccessDenied),
        ("MissingAuthenticationToken", UpstreamAccessDenied),
        ("MissingAuthenticationTokenException", UpstreamAccessDenied),
        ("OptInRequired", UpstreamAccessDenied),
        ("NotAuthorized", UpstreamAccessDenied),
        ("RequestExpired", UpstreamAccessDenied),
        ("InvalidParameterValuesException", UpstreamInvalidParameter),
        ("InvalidParameterValue", UpstreamInvalidParameter),
        ("ValidationException", UpstreamInvalidParameter),
        ("SerializationException", UpstreamInvalidParameter),
        ("MissingParameter", UpstreamInvalidParameter),
        ("ResourceLimitExceededException", UpstreamRefused),
        ("UnknownOperationException", UpstreamRefused),
        ("SomethingNewException", UpstreamRefused),
    ];
    for (code, reason) in codes {
        for status in [400, 403] {
            let fault = refused(status, code).await;
            assert_eq!(fault.kind, AwsErrorKind::Refused(*reason), "{status} {code}");
            assert_eq!(fault.code.as_deref(), Some(*code));
            assert_eq!(fault.message.as_deref(), Some("the message"));
        }
    }
}

#[tokio::test]
async fn a_4xx_without_a_code_is_refused_under_its_status() {
    for body in ["", "<html>Forbidden</html>"] {
        let response = grant(answer(403, &[], body)).await;
        assert_fault(response, AwsErrorKind::Refused(UpstreamRefused), "Http403");
    }
}

#[tokio::test]
async fn failures_of_aws_are_unknown() {
    for status in [500, 502, 503, 504] {
        assert_fault(
            grant(answer(status, &[], "")).await,
            AwsErrorKind::Unknown,
            &format!("Http{status}"),
        );
        assert_eq!(
            refused(status, "ServiceUnavailableException").await.kind,
            AwsErrorKind::Unknown
        );
        assert_eq!(
            refused(status, "ResourceNotFoundException").await.kind,
            AwsErrorKind::Unknown
        );
    }
    for code in ["InternalFailure", "RequestTimeout", "ServiceUnavailable"] {
        assert_eq!(refused(400, code).await.kind, AwsErrorKind::Unknown, "{code}");
    }
    assert_fault(grant(answer(408, &[], "")).await, AwsErrorKind::Unknown, "Http408");
}

#[tokio::test]
async fn throttling_is_known_by_its_codes_and_by_429() {
    let throttled = AwsErrorKind::Throttled { retry_after: None };
    let codes = [
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "RequestThrottled",
        "RequestThrottledException",
        "LimitExceededException",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
    ];
    for code in codes {
        for status in [400, 429, 503] {
            assert_eq!(refused(status, code).await.kind, throttled, "{status} {code}");
        }
    }
    assert_fault(grant(answer(429, &[], "")).await, throttled, "Http429");
    assert_eq!(refused(429, "SomethingNewException").await.kind, throttled);
}

#[tokio::test]
async fn throttling_keeps_the_retry_after_time() {
    let date = "Sun, 22 Nov 2026 16:00:00 GMT";
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let headers: &[(Headers<'_>, Option<u64>)] = &[
        (&[("Retry-After", "7")], Some(7000)),
        (&[("x-amz-retry-after", "1500"), ("Retry-After", "7")], Some(1500)),
        (
            &[("Date", date), ("Retry-After", "Sun, 22 Nov 2026 16:01:30 GMT")],
            Some(90_000),
        ),
        (
            &[("Date", date), ("Retry-After", "Sun, 22 Nov 2026 15:00:00 GMT")],
            Some(0),
        ),
        (&[("Retry-After", "Sun, 22 Nov 2026 16:01:30 GMT")], None),
        (&[("Retry-After", "soon")], None),
        (&[("Retry-After", "-5")], None),
        (&[("Retry-After", "18446744073709551615")], Some(u64::MAX)),
    ];
    for (headers, milliseconds) in headers {
        let retry_after = match milliseconds {
            Some(u64::MAX) => Some(Duration::from_secs(u64::MAX)),
            other => other.map(Duration::from_millis),
        };
        let response = grant(answer(429, headers, "")).await;
        assert_fault(response, AwsErrorKind::Throttled { retry_after }, "Http429");
    }
}

#[tokio::test]
async fn long_codes_and_messages_are_truncated() {
    let fault = fault(grant(error(400, &"C".repeat(1000), &"é".repeat(5000))).await);
    assert_eq!(fault.code.unwrap().len(), 128);
    assert_eq!(fault.message.unwrap(), "é".repeat(1024));
}
