//! Reads over several pages.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use sharewarden::{
    domain::{
        Access, AwsErrorKind, FailureReason, Timestamp,
        image::{Image, Ownership},
    },
    workspaces::WorkSpaces,
};

use crate::{
    ACCOUNT, REGION, account, assert_fault, connect, key, region, settings,
    upstream::{ReceivedRequest, ScriptedAnswer, Upstream, answer, error},
};

fn json_answer(body: &Value) -> ScriptedAnswer {
    ScriptedAnswer::Send(answer(
        200,
        &[("Content-Type", "application/x-amz-json-1.1")],
        &body.to_string(),
    ))
}

/// The page that the token in the request selects: the first without a token, then "1", "2", ...
fn page(request: &ReceivedRequest, pages: &[Vec<&str>]) -> ScriptedAnswer {
    let index: usize = request.json()["NextToken"]
        .as_str()
        .map_or(0, |token| token.parse().unwrap());
    let permissions: Vec<_> = pages[index]
        .iter()
        .map(|account| json!({ "SharedAccountId": account }))
        .collect();
    let mut body = json!({ "ImageId": "wsi-basewin11", "ImagePermissions": permissions });
    if index + 1 < pages.len() {
        body["NextToken"] = json!((index + 1).to_string());
    }
    json_answer(&body)
}

async fn read(body: Value) -> sharewarden::domain::AwsResponse<Access> {
    let upstream = Upstream::start(move |_| json_answer(&body)).await;
    connect(&upstream.url).await.read_access(&key()).await.0
}

#[tokio::test]
async fn access_is_found_on_any_page_and_reading_ends_there() {
    let upstream = Upstream::start(|request| {
        page(
            request,
            &[
                vec!["222222222222"],
                vec!["333333333333", "000011112222"],
                vec!["444444444444"],
            ],
        )
    })
    .await;
    let response = connect(&upstream.url).await.read_access(&key()).await.0;
    assert_eq!(response.result, Ok(Access::Shared));
    assert_eq!(response.aws_request_id.as_deref(), Some("request-1"));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].operation(), "DescribeWorkspaceImagePermissions");
    assert_eq!(seen[0].json(), json!({ "ImageId": "wsi-basewin11", "MaxResults": 25 }));
    assert_eq!(
        seen[1].json(),
        json!({ "ImageId": "wsi-basewin11", "MaxResults": 25, "NextToken": "1" })
    );
}

#[tokio::test]
async fn not_shared_is_reported_only_after_the_last_page() {
    let upstream =
        Upstream::start(|request| page(request, &[vec!["222222222222"], vec![], vec!["333333333333"]])).await;
    let response = connect(&upstream.url).await.read_access(&key()).await.0;
    assert_eq!(response.result, Ok(Access::NotShared));
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn an_error_on_a_later_page_is_the_result_of_the_read() {
    let upstream = Upstream::start(|request| match request.json()["NextToken"].as_str() {
        None => page(request, &[vec![], vec![]]),
        Some(_) => ScriptedAnswer::Send(error(400, "ResourceNotFoundException", "gone")),
    })
    .await;
    let response = connect(&upstream.url).await.read_access(&key()).await.0;
    assert_fault(
        response,
        AwsErrorKind::Refused(FailureReason::ImageNotFound),
        "ResourceNotFoundException",
    );
}

#[tokio::test]
async fn an_answer_without_data_is_not_read_as_not_shared() {
    for body in [
        json!({}),
        json!({ "ImageId": "wsi-another00", "ImagePermissions": [] }),
        json!({ "ImageId": "wsi-basewin11", "ImagePermissions": "none" }),
    ] {
        assert_fault(read(body).await, AwsErrorKind::Unknown, "UnreadableAnswer");
    }
    let upstream = Upstream::answering(answer(200, &[], "")).await;
    let response = connect(&upstream.url).await.read_access(&key()).await.0;
    assert_fault(response, AwsErrorKind::Unknown, "UnreadableAnswer");
}

#[tokio::test]
async fn an_answer_with_only_the_image_or_only_the_list_is_read_as_not_shared() {
    for body in [
        json!({ "ImageId": "wsi-basewin11" }),
        json!({ "ImagePermissions": [] }),
        json!({ "ImageId": "wsi-basewin11", "ImagePermissions": [{}], "NextToken": "" }),
    ] {
        assert_eq!(read(body.clone()).await.result, Ok(Access::NotShared), "{body}");
    }
}

#[tokio::test]
async fn a_repeated_page_token_ends_the_read() {
    let response = read(json!({ "ImageId": "wsi-basewin11", "ImagePermissions": [], "NextToken": "again" })).await;
    assert_fault(response, AwsErrorKind::Unknown, "RepeatedToken");
}

#[tokio::test]
async fn endless_pages_end_the_read() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| {
        let next = count.fetch_add(1, Ordering::Relaxed).to_string();
        json_answer(&json!({ "ImageId": "wsi-basewin11", "ImagePermissions": [], "NextToken": next }))
    })
    .await;
    let response = connect(&upstream.url).await.read_access(&key()).await.0;
    assert_fault(response, AwsErrorKind::Unknown, "TooManyPages");
    assert_eq!(upstream.seen().len(), 1000);
}

#[tokio::test]
async fn a_read_is_bounded_over_all_of_its_pages() {
    let upstream = Upstream::start(|_| ScriptedAnswer::Hang).await;
    let mut settings = settings(&upstream.url);
    settings.forwarder.read_timeout = Duration::from_millis(200);
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    assert_fault(workspaces.read_access(&key()).await.0, AwsErrorKind::Unknown, "Timeout");
}

#[tokio::test]
async fn images_are_listed_over_all_pages() {
    let upstream = Upstream::start(|request| match request.json()["NextToken"].as_str() {
        None => json_answer(&json!({ "Images": [
            { "ImageId": "wsi-basewin11", "Name": "base", "Description": "d", "State": "AVAILABLE",
              "OperatingSystem": { "Type": "WINDOWS" }, "RequiredTenancy": "DEFAULT",
              "OwnerAccountId": ACCOUNT, "Created": 1763827200.5 }
        ], "NextToken": "more" })),
        Some(_) => json_answer(&json!({ "Images": [
            { "ImageId": "wsi-broken001", "State": "ERROR", "ErrorCode": "C", "ErrorMessage": "m" }
        ] })),
    })
    .await;
    let workspaces = connect(&upstream.url).await;
    let response = workspaces
        .list_images(account(ACCOUNT), &region(REGION), Ownership::Shared)
        .await;
    let nothing = String::new;
    let expected = vec![
        Image {
            id: "wsi-basewin11".into(),
            name: "base".into(),
            description: "d".into(),
            state: "AVAILABLE".into(),
            operating_system: "WINDOWS".into(),
            required_tenancy: "DEFAULT".into(),
            owner_account: ACCOUNT.into(),
            created_at: Timestamp::parse("2025-11-22T16:00:00.500000Z"),
            error_code: nothing(),
            error_message: nothing(),
        },
        Image {
            id: "wsi-broken001".into(),
            name: nothing(),
            description: nothing(),
            state: "ERROR".into(),
            operating_system: nothing(),
            required_tenancy: nothing(),
            owner_account: nothing(),
            created_at: None,
            error_code: "C".into(),
            error_message: "m".into(),
        },
    ];
    assert_eq!(response.result, Ok(expected));
    let seen = upstream.seen();
    assert_eq!(seen[0].json(), json!({ "ImageType": "SHARED", "MaxResults": 25 }));
    assert_eq!(
        seen[1].json(),
        json!({ "ImageType": "SHARED", "MaxResults": 25, "NextToken": "more" })
    );
}

#[tokio::test]
async fn a_crowd_that_lists_images_takes_turns_with_aws() {
    let upstream = Upstream::start(|_| ScriptedAnswer::Hang).await;
    let mut settings = settings(&upstream.url);
    settings.forwarder.read_timeout = Duration::from_millis(500);
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let (account, region) = (account(ACCOUNT), region(REGION));
    let lists = (0..50).map(|_| workspaces.list_images(account, &region, Ownership::Owned));
    for response in futures_util::future::join_all(lists).await {
        assert_eq!(
            response.result.unwrap_err().kind,
            AwsErrorKind::Unknown,
            "the read ends within its timeout"
        );
    }
    // Two reads run at a time. When the first two time out, the others have no time left.
    assert!(upstream.seen().len() <= 4, "{}", upstream.seen().len());
}

#[tokio::test]
async fn owned_images_are_requested_with_the_type_owned() {
    let upstream = Upstream::start(|_| json_answer(&json!({ "Images": [] }))).await;
    let workspaces = connect(&upstream.url).await;
    let response = workspaces
        .list_images(account(ACCOUNT), &region(REGION), Ownership::Owned)
        .await;
    assert_eq!(response.result, Ok(vec![]));
    assert_eq!(
        upstream.seen()[0].json(),
        json!({ "ImageType": "OWNED", "MaxResults": 25 })
    );
}
