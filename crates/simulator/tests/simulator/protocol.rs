//! Bodies, headers and errors on the wire, and random bytes.

use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};

use crate::harness::*;

const JSON: (&str, &str) = ("Content-Type", "application/x-amz-json-1.1");

#[tokio::test]
async fn an_error_has_its_type_in_body_and_header_and_a_request_id() {
    let sim = start().await;
    let body = r#"{"ImageId":"wsi-nosuch000","AllowCopyImage":true,"SharedAccountId":"210987654321"}"#;
    let answer = operation(&sim, "UpdateWorkspaceImagePermission", body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(answer.header("x-amzn-errortype"), Some("ResourceNotFoundException"));
    assert_eq!(answer.code(), "ResourceNotFoundException");
    assert_eq!(answer.json()["ResourceId"], "wsi-nosuch000");
    assert!(answer.json()["message"].is_string());
    assert_eq!(
        answer.header("x-amzn-requestid"),
        Some(sim.calls()[0].request_id.as_str())
    );
}

#[tokio::test]
async fn a_success_has_a_request_id_and_the_current_date() {
    let sim = start().await;
    let answer = operation(&sim, "DescribeWorkspaceImages", "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(
        answer.header("x-amzn-requestid"),
        Some(sim.calls()[0].request_id.as_str())
    );
    let date = answer.header("date").unwrap();
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = time::PrimitiveDateTime::parse(date, format).unwrap().assume_utc();
    assert!((date - sim.calls()[0].started_at).abs() < time::Duration::seconds(5));
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_serialization_error() {
    let sim = start().await;
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"ImageId\":",
        "\u{0}",
        deep.as_str(),
    ] {
        let refused = refusal(&sim, "DescribeWorkspaceImages", body).await;
        assert_eq!(refused, (400, "SerializationException".into()), "{body:.20}");
    }
}

#[tokio::test]
async fn an_unknown_operation_is_refused() {
    let sim = start().await;
    for name in ["CreateWorkspaces", "", "updateWorkspaceImagePermission"] {
        assert_eq!(
            refusal(&sim, name, "{}").await,
            (400, "UnknownOperationException".into())
        );
    }
    let answer = http(&sim, "POST /", &[JSON], b"{}").await.unwrap();
    assert_eq!(answer.code(), "UnknownOperationException");
    let other = ("X-Amz-Target", "DynamoDB_20120810.ListTables");
    assert_eq!(
        http(&sim, "POST /", &[JSON, other], b"{}").await.unwrap().code(),
        "UnknownOperationException"
    );
    assert_eq!(
        http(&sim, "GET /", &[], b"").await.unwrap().code(),
        "UnknownOperationException"
    );
    assert_eq!(
        http(&sim, "POST /elsewhere", &[JSON], b"{}").await.unwrap().code(),
        "UnknownOperationException"
    );
    let target = ("X-Amz-Target", "WorkspacesService.DescribeWorkspaceImages");
    let wrong = http(&sim, "POST /", &[("Content-Type", "application/json"), target], b"{}")
        .await
        .unwrap();
    assert_eq!(wrong.code(), "UnknownOperationException");
}

#[tokio::test]
async fn cbor_is_refused_with_a_clear_message() {
    let sim = start().await;
    let path = "POST /service/WorkspacesService/operation/DescribeWorkspaceImages";
    let headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
    let answer = http(&sim, path, &headers, b"\xa0").await.unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "UnknownOperationException")
    );
    assert!(answer.text().contains("cbor"), "{}", answer.text());
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let sim = start().await;
    let answer = operation(&sim, "DescribeWorkspaceImages", vec![b' '; 300 * 1024]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "RequestEntityTooLargeException")
    );
    assert!(answer.header("x-amzn-requestid").is_some());
}

/// Random bytes as connections, bodies, forms, targets and authorizations. Valid HTTP always gets a response, and
/// nothing panics.
#[tokio::test]
async fn random_bytes_never_break_the_simulator() {
    let sim = start().await;
    let mut runner = TestRunner::deterministic();
    let text = "[ -~]{0,60}";
    for _ in 0..150 {
        let bytes = vec(any::<u8>(), 0..200).new_tree(&mut runner).unwrap().current();
        let header = text.new_tree(&mut runner).unwrap().current();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), send(&sim, &bytes)).await;
        operation(&sim, "UpdateWorkspaceImagePermission", &bytes).await;
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        http(&sim, "POST /", &[form, ("Authorization", &header)], &bytes)
            .await
            .unwrap();
        let authorization = format!("AWS4-HMAC-SHA256 {header}");
        let headers = [
            JSON,
            ("X-Amz-Target", header.as_str()),
            ("Authorization", authorization.as_str()),
        ];
        http(&sim, "POST /", &headers, &bytes).await.unwrap();
    }
    let body = |value: &str| format!(r#"{{"ImageId":{value},"AllowCopyImage":{value},"SharedAccountId":{value}}}"#);
    for value in [
        "1e999",
        "-0",
        "\"\\ud800\"",
        "{\"a\":{}}",
        "99999999999999999999",
        "\"\\u0000\"",
    ] {
        let answer = operation(&sim, "UpdateWorkspaceImagePermission", body(value)).await;
        assert_eq!(answer.status, 400, "{value}");
    }
}
