//! Looks at AWS on request: at one image, and what the last look showed of a permission.

use sharewarden::clock::Clock;
use sharewarden_client::proto::v1::*;
use sharewarden_testkit::stack::*;

use crate::drift::{OFTEN, OPEN, outsider, recipient, told};

/// Compares on request, and confirms at once.
pub(crate) const ONCE: &str = "drift.enabled = true\ndrift.interval = \"1d\"\ndrift.confirm_after = \"100ms\"\n";

#[tokio::test]
async fn one_image_is_looked_at_on_request_and_the_others_are_not() {
    let stack = Stack::start_with(ONCE).await;
    let (code, _, error) = told(&stack, "drift scan").await;
    assert_eq!(code, Some(0), "{error}");
    let outsider = outsider(&stack);
    outsider.set(IMAGE, &recipient(1), true).await;
    outsider.set("wsi-devtool01", &recipient(2), true).await;
    let reads = stack.calls_of(DESCRIBE);
    let one = format!("drift scan --account {ACCOUNT} --region {REGION} --image");
    let (code, listed, error) = told(&stack, &format!("{one} {IMAGE} -o csv")).await;
    assert_eq!(code, Some(10), "{error}");
    assert!(error.contains("differ about 1 permission;"), "{error}");
    assert_eq!(listed.lines().count(), 1 + 1, "{listed}");
    assert_eq!(
        stack.calls_of(DESCRIBE),
        reads + 2,
        "it was seen twice, and no other image was read"
    );
    let (code, _, error) = told(&stack, &format!("{one} {IMAGE}")).await;
    assert_eq!(code, Some(10), "it is still open: {error}");
    let (code, _, error) = told(&stack, &format!("{one} wsi-nobodyhasit")).await;
    assert_eq!(code, Some(3), "{error}");
    let (code, _, error) = told(&stack, &format!("drift scan --region {REGION} --image {IMAGE}")).await;
    assert_eq!(code, Some(2), "the account is missing: {error}");
    stack.end().await;
}

#[tokio::test]
async fn a_list_of_differences_has_an_exit_code_on_request() {
    let stack = Stack::start_with(OFTEN).await;
    outsider(&stack).set(IMAGE, &recipient(1), true).await;
    until(&stack.pool, OPEN, 1).await;
    assert_eq!(told(&stack, "drift list").await.0, Some(0));
    let (code, listed, error) = told(&stack, "drift list --exit-code -o csv").await;
    assert_eq!((code, listed.lines().count()), (Some(10), 1 + 1), "{error}");
    let (code, _, error) = told(&stack, "drift list --exit-code --image wsi-devtool01").await;
    assert_eq!(code, Some(0), "{error}");
    stack.end().await;
}

/// The last look at a permission of the test's image.
async fn last_look(stack: &Stack, with: &str) -> Option<LastLook> {
    let GrantSharePermissionRequest {
        account_id,
        region,
        image_id,
        ..
    } = grant();
    let request = GetSharePermissionRequest {
        account_id,
        region,
        image_id,
        shared_account_id: with.to_owned(),
    };
    let answer = stack.client().await.get_share_permission(as_tester(request)).await;
    answer.unwrap().into_inner().last_look
}

#[tokio::test]
async fn a_permission_says_when_aws_was_last_looked_at_and_what_it_showed() {
    let stack = Stack::start_with("").await;
    stack.grant_many(0, 1).await;
    let with = nth_grant(0).shared_account_id;
    assert_eq!(last_look(&stack, &with).await, None, "AWS was never looked at");
    let mut stack = stack;
    stack.stop_server().await;
    stack.start_server(ONCE, Clock::system()).await;
    assert_eq!(told(&stack, "drift scan").await.0, Some(0));
    let look = last_look(&stack, &with).await.unwrap();
    assert_eq!(look.access(), Access::Shared);

    outsider(&stack).set(IMAGE, &with, false).await;
    let before = last_look(&stack, &with).await.unwrap();
    assert_eq!(before, look, "nobody looked since");
    assert_eq!(told(&stack, "drift scan").await.0, Some(10));
    let missing = last_look(&stack, &with).await.unwrap();
    assert_eq!(missing.access(), Access::NotShared);
    assert!(missing.look_time.unwrap().seconds >= look.look_time.unwrap().seconds);
    let image = format!("{ACCOUNT}/{REGION}/{IMAGE}");
    for command in ["get", "why"] {
        let (code, shown, error) = told(&stack, &format!("{command} {image} -w {with}")).await;
        assert_eq!(code, Some(0), "{error}");
        assert!(
            shown.contains("Last look at AWS") && shown.contains("NOT_SHARED"),
            "{shown}"
        );
    }

    // What AWS showed before a change says nothing about it.
    stack
        .client()
        .await
        .grant_share_permission(as_tester(nth_grant(0)))
        .await
        .unwrap();
    assert_eq!(last_look(&stack, &with).await.unwrap().access(), Access::Unspecified);
    assert_eq!(told(&stack, "drift scan").await.0, Some(0));
    assert_eq!(last_look(&stack, &with).await.unwrap().access(), Access::Shared);
    stack.end().await;
}
