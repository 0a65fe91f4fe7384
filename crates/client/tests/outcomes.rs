//! A grant of the client takes effect at most once and reports the true outcome, through disconnects and slow answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

use std::time::Duration;

use sharewarden_client::{
    Client, ConnectOptions, Error, Outcome, Reason, ShareStub, Telling,
    proto::v1::{ErrorReason, GetChangeRequest, GrantSharePermissionResponse, ListSharePermissionsRequest, change},
};
use sharewarden_testkit::{
    proxy::{Proxy, ProxyCounts, Rule},
    stack::{ACCOUNT, Stack, TIMEOUT, UPDATE, grant, late},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

async fn client(address: std::net::SocketAddr, timeout: Duration) -> Client {
    let options = ConnectOptions {
        principal: Some("tester@example.com".parse().unwrap()),
        timeout,
        ..ConnectOptions::new(format!("http://{address}").parse().unwrap())
    };
    Client::connect(&options).await.unwrap()
}

async fn until(proxy: &Proxy, reached: impl Fn(ProxyCounts) -> bool) {
    let reached = async {
        while !reached(proxy.counts()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
}

/// Asserts success, one request in the ledger and one call to AWS. Returns the answer.
async fn succeeded_once(stack: &Stack, outcome: Outcome<GrantSharePermissionResponse>) -> GrantSharePermissionResponse {
    let Outcome::Succeeded(answer) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(answer.change.as_ref().unwrap().state(), change::State::Succeeded);
    assert_eq!(stack.calls_of(UPDATE), 1);
    let kinds = stack.kinds(ACCOUNT).await;
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "change.requested").count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "change.succeeded").count(),
        1,
        "{kinds:?}"
    );
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_lost_before_the_service_read_it_is_retried() {
    let stack = Stack::start().await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = client(proxy.address(), TIMEOUT).await;
    // A connection that the proxy has not accepted yet would not be cut.
    until(&proxy, |counts| counts.connections == 1).await;
    proxy.set(Rule::BlackHole);
    proxy.cut();
    until(&proxy, |counts| counts.cut == 1).await;
    let granting = tokio::spawn(async move { client.grant(grant()).await });
    // The proxy accepts the request and does not forward it.
    until(&proxy, |counts| counts.connections >= 2).await;
    assert!(stack.ledger(ACCOUNT).await.is_empty());
    proxy.cut();
    proxy.set(Rule::Pass);
    let answer = succeeded_once(&stack, granting.await.unwrap()).await;
    assert!(!answer.replayed, "the service had not seen it before");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_says_nothing_any_more_is_noticed_long_before_the_timeout() {
    let stack = Stack::start().await;
    let proxy = Proxy::start_plain(stack.address).await;
    let options = ConnectOptions {
        principal: Some("tester@example.com".parse().unwrap()),
        timeout: TIMEOUT,
        tries: 1,
        ..ConnectOptions::new(format!("http://{}", proxy.address()).parse().unwrap())
    };
    proxy.set(Rule::BlackHole);
    let client = Client::connect(&options).await.unwrap();
    let list = async |mut stub: ShareStub, request| stub.list_share_permissions(request).await;
    let call = client.call(client.deadline(), ListSharePermissionsRequest::default(), list);
    // Without keepalive, the call would wait for its whole timeout.
    let error = tokio::time::timeout(TIMEOUT / 3, call)
        .await
        .expect("it is noticed")
        .unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
    proxy.set(Rule::Pass);
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_fetched_with_the_same_request_id() {
    let stack = Stack::start().await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = client(proxy.address(), TIMEOUT).await;
    stack.fault(UPDATE, 1, late(500));
    let granting = tokio::spawn(async move { client.grant(grant()).await });
    stack.wait_for_calls(UPDATE, 1).await;
    proxy.cut();
    let answer = succeeded_once(&stack, granting.await.unwrap()).await;
    assert!(answer.replayed, "the first try was accepted");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_change_is_followed_to_its_end() {
    let stack = Stack::start_with("server.max_wait = \"200ms\"\n").await;
    let client = client(stack.address, TIMEOUT).await;
    stack.fault(UPDATE, 1, late(1_000));
    let answer = succeeded_once(&stack, client.grant(grant()).await).await;
    assert!(answer.replayed, "the first answer was CHANGE_PENDING");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_hears_what_a_pending_change_waits_for() {
    let operator = "roles = [{ principal = \"*\", roles = [\"operator\"] }]\n";
    let stack = Stack::start_with(operator).await;
    let client = client(stack.address, TIMEOUT).await;
    stack.hold();
    let mut told = Vec::new();
    let mut tell = |error: &Error| {
        told.push(error.clone());
        stack.release();
    };
    let telling = Telling {
        every: Duration::from_millis(500),
        tell: &mut tell,
    };
    let Outcome::Succeeded(answer) = client.grant_telling(grant(), Some(telling)).await else {
        panic!("the call to AWS was released");
    };
    assert!(answer.replayed, "the first answer was CHANGE_PENDING");
    assert_eq!(told[0].reason, Some(Reason::Known(ErrorReason::ChangePending)));
    assert_eq!(told[0].metadata["aws_error_code"], "ThrottlingException");
    stack.end().await;
}

/// A person waits with few tries, while the service is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_change_is_followed_through_a_break_that_outlasts_all_tries() {
    let stack = Stack::start_with("server.max_wait = \"300ms\"\n").await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = hasty_client(&proxy).await;
    stack.fault(UPDATE, 1, late(2_000));
    let mut is_told = Some(|| {
        proxy.set(Rule::Refuse);
        proxy.cut();
    });
    let mut tell = |_: &Error| {
        if let Some(away) = is_told.take() {
            away();
        }
    };
    let telling = Telling {
        every: TIMEOUT,
        tell: &mut tell,
    };
    let (outcome, ()) = tokio::join!(
        client.grant_telling(grant(), Some(telling)),
        back_after_all_tries(&proxy)
    );
    let answer = succeeded_once(&stack, outcome).await;
    assert!(answer.replayed, "the first try was accepted");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_left_is_not_sent_more_often_than_the_maximum() {
    let stack = Stack::start().await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = hasty_client(&proxy).await;
    drop(proxy);
    // The client finds out that its connection has ended.
    let list = async |mut stub: ShareStub, request| stub.list_share_permissions(request).await;
    let refused = async {
        loop {
            let error = client
                .call(client.deadline(), ListSharePermissionsRequest::default(), list)
                .await;
            if error.is_err_and(|error| error.message.contains("refused")) {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, refused).await.unwrap();
    let outcome = tokio::time::timeout(TIMEOUT / 3, client.grant(grant())).await;
    assert!(matches!(outcome, Ok(Outcome::Unresolved { .. })), "{outcome:?}");
    assert!(stack.ledger(ACCOUNT).await.is_empty());
    stack.end().await;
}

const FEW_TRIES: u32 = 2;

async fn hasty_client(proxy: &Proxy) -> Client {
    let options = ConnectOptions {
        principal: Some("tester@example.com".parse().unwrap()),
        timeout: TIMEOUT,
        tries: FEW_TRIES,
        ..ConnectOptions::new(format!("http://{}", proxy.address()).parse().unwrap())
    };
    Client::connect(&options).await.unwrap()
}

/// Lets the connections pass again, after more of them were refused than the client may try.
async fn back_after_all_tries(proxy: &Proxy) {
    let refused = proxy.counts().refused;
    until(proxy, |counts| counts.refused > refused + u64::from(FEW_TRIES)).await;
    proxy.set(Rule::Pass);
}

/// After a break, the service is asked at once what the change waits for, and not only at the end of the change.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_change_is_told_again_after_a_break() {
    let stack = Stack::start_with("server.max_wait = \"5m\"\n").await;
    let proxy = Proxy::start_plain(stack.address).await;
    let client = client(proxy.address(), TIMEOUT).await;
    stack.hold();
    let mut told = 0;
    let mut tell = |_: &Error| {
        told += 1;
        if told == 1 {
            proxy.set(Rule::Refuse);
            proxy.cut();
        } else {
            stack.release();
        }
    };
    let telling = Telling {
        // Long enough that the service answers before the try is cut short, also on a slow machine.
        every: Duration::from_secs(4),
        tell: &mut tell,
    };
    let granted = async {
        let back = async {
            until(&proxy, |counts| counts.refused > 0).await;
            proxy.set(Rule::Pass);
        };
        tokio::join!(client.grant_telling(grant(), Some(telling)), back).0
    };
    // A try that is not cut short waits for the whole timeout, because the call to AWS is released when it is told.
    let outcome = tokio::time::timeout(TIMEOUT / 3, granted).await;
    assert!(matches!(outcome, Ok(Outcome::Succeeded(_))), "{outcome:?}");
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_unknown_at_the_timeout_can_be_fetched_later() {
    let stack = Stack::start().await;
    let hasty = client(stack.address, Duration::from_secs(4)).await;
    stack.hold();
    let outcome = hasty.grant(grant()).await;
    let Outcome::Unresolved { request_id, error } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.reason, Some(Reason::Known(ErrorReason::ChangePending)), "{error}");
    let request = GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id: error.change_id.unwrap(),
    };
    let seen = hasty.follow(request).await.unwrap();
    assert_eq!(seen.change.unwrap().state(), change::State::Pending);
    stack.release();
    let mut again = grant();
    again.request_id = request_id;
    let outcome = client(stack.address, TIMEOUT).await.grant(again).await;
    let Outcome::Succeeded(answer) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(answer.replayed);
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_its_reason_and_the_wrong_fields() {
    let stack = Stack::start().await;
    let client = client(stack.address, TIMEOUT).await;
    let mut request = grant();
    request.image_id = "no image".into();
    request.request_id = Uuid::from_u128(7).to_string();
    let outcome = client.grant(request.clone()).await;
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.known_reason(), Some(ErrorReason::InvalidFields), "{error}");
    assert_eq!(error.violations[0].field, "image_id");
    assert_eq!(error.request_id, Some(request.request_id));
    stack.end().await;
}

#[test]
fn a_reason_that_this_version_does_not_know_keeps_its_name() {
    let error_of = |reason: &str, domain: &str| {
        let details = ErrorDetails::with_error_info(reason, domain, [("change_id".to_owned(), "id".to_owned())]);
        let status = Status::with_error_details(Code::FailedPrecondition, "It is full moon.", details);
        Error::from(&status)
    };
    let newer = error_of("FULL_MOON", "sharewarden.v1");
    assert_eq!(newer.reason, Some(Reason::Unknown("FULL_MOON".into())));
    assert_eq!(
        (newer.to_string().as_str(), newer.change_id.as_deref()),
        ("It is full moon (FULL_MOON)", Some("id"))
    );
    let other = error_of("IMAGE_NOT_FOUND", "example.com");
    assert_eq!(other.reason, None);
    assert_eq!(other.to_string(), "It is full moon (FailedPrecondition)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_longer_than_the_service_reads_is_an_authentication_error() {
    let stack = Stack::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "t".repeat(20_000)).unwrap();
    let options = ConnectOptions {
        token_file: Some(file.path().to_owned()),
        ..ConnectOptions::new(format!("http://{}", stack.address).parse().unwrap())
    };
    let client = Client::connect(&options).await.unwrap();
    let Outcome::Failed(error) = client.grant(grant()).await else {
        panic!("a token of 20 KB was accepted");
    };
    assert_eq!(error.code, Code::Unauthenticated, "{error}");
    assert!(error.message.contains("the token is too long"), "{error}");
    stack.end().await;
}
