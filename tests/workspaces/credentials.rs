//! The credentials of a call: whose they are, where they come from, and what happens without them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use secrecy::SecretString;
use sharewarden::{
    config::AccountConfig,
    domain::{Access, AwsErrorKind, FailureReason},
    workspaces::{AwsConnectError, IdentityProblemKind, WorkSpaces},
};

use crate::{
    ACCOUNT, REGION, account, account_settings, assert_fault, connect, fault, key, region, settings,
    upstream::{ReceivedRequest, ScriptedAnswer, Upstream, answer},
};

const OTHER: &str = "444455556666";

pub(crate) fn assumed(id: &str) -> ScriptedAnswer {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>ASIA{id}</AccessKeyId><SecretAccessKey>assumed-secret</SecretAccessKey>\
         <SessionToken>session-token-of-{id}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         <AssumedRoleUser><Arn>arn:aws:sts::{id}:assumed-role/images/sharewarden</Arn>\
         <AssumedRoleId>AROAEXAMPLE:sharewarden</AssumedRoleId></AssumedRoleUser>\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    ScriptedAnswer::Send(answer(200, &[("Content-Type", "text/xml")], &body))
}

pub(crate) fn sts_error(status: u16, code: &str, message: &str) -> ScriptedAnswer {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    ScriptedAnswer::Send(answer(status, &[("Content-Type", "text/xml")], &body))
}

pub(crate) fn identity(id: &str) -> ScriptedAnswer {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{id}:user/x</Arn><UserId>AIDAEXAMPLE</UserId><Account>{id}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    ScriptedAnswer::Send(answer(200, &[("Content-Type", "text/xml")], &body))
}

pub(crate) fn accepted() -> ScriptedAnswer {
    ScriptedAnswer::Send(answer(200, &[], "{}"))
}

pub(crate) fn is(request: &ReceivedRequest, action: &str) -> bool {
    request.body.contains(&format!("Action={action}&"))
}

pub(crate) fn with_role(id: &str) -> AccountConfig {
    AccountConfig {
        on_drift: Default::default(),
        role_arn: Some(format!("arn:aws:iam::{id}:role/images")),
        external_id: Some(SecretString::from("the-external-id")),
        ..account_settings(id)
    }
}

/// The result of a grant with this answer to AssumeRole. Fails if WorkSpaces is called.
async fn without_role(
    play: impl Fn() -> ScriptedAnswer + Send + Sync + 'static,
) -> sharewarden::domain::AwsResponse<()> {
    let sts = Upstream::start(move |_| play()).await;
    let upstream = Upstream::start(|_| accepted()).await;
    let mut settings = settings(&sts.url);
    settings.accounts = vec![with_role(ACCOUNT)];
    settings.aws.endpoint_url = Some(upstream.url.clone());
    settings.forwarder.attempt_timeout = Duration::from_secs(2);
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let response = workspaces
        .update_image_permission(&key(), Access::Shared, || true)
        .await;
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(sts.seen().len(), 1, "AssumeRole is not retried either");
    response
}

#[tokio::test]
async fn an_account_with_a_role_is_called_with_the_role_and_the_role_is_assumed_once() {
    let sts = Upstream::start(|_| assumed(ACCOUNT)).await;
    let upstream = Upstream::start(|_| accepted()).await;
    let mut account = with_role(ACCOUNT);
    account.regions.push(region("us-east-1"));
    let mut settings = settings(&sts.url);
    settings.accounts = vec![account];
    settings.aws.endpoint_url = Some(upstream.url.clone());
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    for name in [REGION, "us-east-1", REGION] {
        let mut key = key();
        key.region = region(name);
        workspaces
            .update_image_permission(&key, Access::Shared, || true)
            .await
            .result
            .unwrap();
    }

    let asked = sts.seen();
    assert_eq!(asked.len(), 1, "credentials are shared by the account's Regions");
    assert!(is(&asked[0], "AssumeRole"));
    for part in [
        "RoleSessionName=sharewarden",
        "ExternalId=the-external-id",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fimages",
    ] {
        assert!(asked[0].body.contains(part), "{}", asked[0].body);
    }
    assert!(asked[0].header("authorization").contains("Credential=AKIAEXAMPLE/"));
    for call in upstream.seen() {
        assert!(call.header("authorization").contains("Credential=ASIA111122223333/"));
        assert_eq!(call.header("x-amz-security-token"), "session-token-of-111122223333");
    }
}

/// The process may be stopped meanwhile, for longer than its lease.
#[tokio::test]
async fn a_call_is_not_sent_if_the_lease_ended_while_it_waited_for_credentials() {
    let has_lease = Arc::new(AtomicBool::new(true));
    let held = has_lease.clone();
    let sts = Upstream::start(move |_| {
        held.store(false, Ordering::Relaxed);
        assumed(ACCOUNT)
    })
    .await;
    let upstream = Upstream::start(|_| accepted()).await;
    let mut settings = settings(&sts.url);
    settings.accounts = vec![with_role(ACCOUNT)];
    settings.aws.endpoint_url = Some(upstream.url.clone());
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let has_lease = move || has_lease.load(Ordering::Relaxed);
    let reply = workspaces
        .update_image_permission(&key(), Access::Shared, has_lease)
        .await;
    let fault = fault(reply);
    assert_eq!(
        (fault.kind, fault.code.as_deref()),
        (AwsErrorKind::NotSent, Some("LeaseEnded"))
    );
    assert_eq!(upstream.seen().len(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_role_refused_by_sts_is_refused_with_the_message_of_sts() {
    let response = without_role(|| sts_error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole")).await;
    let fault = fault(response);
    assert_eq!(fault.kind, AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied));
    assert_eq!(fault.code.as_deref(), Some("AccessDenied"));
    assert_eq!(
        fault.message.as_deref(),
        Some("not authorized to perform: sts:AssumeRole")
    );
}

#[tokio::test]
async fn without_credentials_a_call_is_not_sent() {
    let plays: [fn() -> ScriptedAnswer; 6] = [
        || sts_error(400, "Throttling", "slow"),
        || sts_error(503, "ServiceUnavailable", "away"),
        || ScriptedAnswer::Send(answer(200, &[], "<garbage")),
        || ScriptedAnswer::Reset,
        || ScriptedAnswer::Close,
        || ScriptedAnswer::Hang,
    ];
    for play in plays {
        assert_fault(
            without_role(play).await,
            AwsErrorKind::NotSent,
            "CredentialsUnavailable",
        );
    }
}

#[tokio::test]
async fn moving_workspaces_does_not_move_sts_and_an_account_can_be_moved_alone() {
    let everyone = Upstream::start(|_| accepted()).await;
    let alone = Upstream::start(|_| accepted()).await;
    let sts = Upstream::start(|_| assumed(OTHER)).await;
    let moved = AccountConfig {
        endpoint_url: Some(alone.url.clone()),
        ..with_role(OTHER)
    };
    let mut settings = settings(&sts.url);
    settings.accounts = vec![account_settings(ACCOUNT), moved];
    settings.aws.endpoint_url = Some(everyone.url.clone());
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    for id in [ACCOUNT, OTHER] {
        let mut key = key();
        key.account = account(id);
        workspaces
            .update_image_permission(&key, Access::Shared, || true)
            .await
            .result
            .unwrap();
    }
    assert_eq!((everyone.seen().len(), alone.seen().len(), sts.seen().len()), (1, 1, 1));
    assert!(
        everyone.seen()[0]
            .header("authorization")
            .contains("Credential=AKIAEXAMPLE/")
    );
    assert!(
        alone.seen()[0]
            .header("authorization")
            .contains("Credential=ASIA444455556666/")
    );
}

#[tokio::test]
async fn calls_for_many_accounts_at_once_are_each_signed_with_the_credentials_of_their_account() {
    const IDS: [&str; 3] = [ACCOUNT, OTHER, "999988887777"];
    let sts = Upstream::start(|request| {
        let of = |id: &&&str| request.body.contains(&format!("iam%3A%3A{id}%3Arole"));
        assumed(IDS.iter().find(of).expect("the role belongs to an account"))
    })
    .await;
    let upstream = Upstream::start(|_| accepted()).await;
    let mut settings = settings(&sts.url);
    settings.accounts = IDS.map(with_role).into();
    settings.aws.endpoint_url = Some(upstream.url.clone());
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let grants = (0..60).map(|number| {
        let mut key = key();
        key.account = account(IDS[number % IDS.len()]);
        key.image = format!("wsi-{}", key.account).parse().unwrap();
        let workspaces = &workspaces;
        async move {
            workspaces
                .update_image_permission(&key, Access::Shared, || true)
                .await
                .result
        }
    });
    let results = futures_util::future::join_all(grants).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 60);
    for request in seen {
        let image = request.json()["ImageId"].as_str().unwrap().to_owned();
        let (_, id) = image.split_once('-').unwrap();
        let signed_by = request.header("authorization");
        assert!(
            signed_by.contains(&format!("Credential=ASIA{id}/")),
            "{image}: {signed_by}"
        );
    }
}

#[tokio::test]
async fn credentials_of_the_right_accounts_are_verified() {
    let sts = Upstream::start(|request| match is(request, "AssumeRole") {
        true => assumed(OTHER),
        false if request.header("authorization").contains("ASIA") => identity(OTHER),
        false => identity(ACCOUNT),
    })
    .await;
    let mut settings = settings(&sts.url);
    settings.accounts = vec![account_settings(ACCOUNT), with_role(OTHER)];
    settings.aws.verify_identity = true;
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    assert!(workspaces.serves(account(OTHER), &region(REGION)));
    assert_eq!(sts.seen().len(), 3);
}

#[tokio::test]
async fn credentials_of_another_account_stop_the_start_and_every_wrong_account_is_named() {
    let sts = Upstream::start(|_| identity("999988887777")).await;
    let mut settings = settings(&sts.url);
    settings.accounts = [OTHER, "999988887777", ACCOUNT].map(account_settings).into();
    settings.aws.verify_identity = true;
    let error = WorkSpaces::connect(&settings).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 111122223333: the configured credentials belong to account 999988887777; \
         account 444455556666: the configured credentials belong to account 999988887777"
    );
}

/// A Region that an account has not enabled refuses its credentials.
#[tokio::test]
async fn credentials_are_verified_in_each_region_of_an_account() {
    let sts = Upstream::start(
        |request| match request.header("authorization").contains("/af-south-1/") {
            true => sts_error(403, "InvalidClientTokenId", "The security token is invalid"),
            false => identity(ACCOUNT),
        },
    )
    .await;
    let mut settings = settings(&sts.url);
    settings.aws.verify_identity = true;
    settings.accounts[0].regions.push(region("af-south-1"));
    let error = WorkSpaces::connect(&settings).await.unwrap_err().to_string();
    let refused = "account 111122223333: sts:GetCallerIdentity failed in af-south-1 (InvalidClientTokenId)";
    assert!(error.starts_with(refused), "{error}");
}

#[tokio::test]
async fn credentials_that_cannot_be_verified_stop_the_start_with_the_message_of_sts() {
    let sts = Upstream::start(|_| sts_error(403, "InvalidClientTokenId", "The security token is invalid")).await;
    let mut settings = settings(&sts.url);
    settings.aws.verify_identity = true;
    let error = WorkSpaces::connect(&settings).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 111122223333: sts:GetCallerIdentity failed in eu-central-1 (InvalidClientTokenId): The security token is invalid"
    );
    let AwsConnectError::Identity(problems) = error else {
        panic!("{error}")
    };
    assert!(matches!(&problems[0].kind, IdentityProblemKind::Unverified(_)));
}

#[tokio::test]
async fn a_start_survives_a_short_failure_of_sts() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let sts = Upstream::start(
        move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => sts_error(503, "ServiceUnavailable", "away"),
            _ => identity(ACCOUNT),
        },
    )
    .await;
    let mut settings = settings(&sts.url);
    settings.aws.verify_identity = true;
    assert!(WorkSpaces::connect(&settings).await.is_ok());
}

#[tokio::test]
async fn what_is_not_configured_is_not_served_and_not_sent() {
    let upstream = Upstream::start(|_| accepted()).await;
    let workspaces = connect(&upstream.url).await;
    assert!(workspaces.serves(account(ACCOUNT), &region(REGION)));
    assert!(!workspaces.serves(account(ACCOUNT), &region("us-east-1")));
    assert!(!workspaces.serves(account(OTHER), &region(REGION)));
    let mut key = key();
    key.account = account(OTHER);
    let response = workspaces.update_image_permission(&key, Access::Shared, || true).await;
    assert_fault(response, AwsErrorKind::NotSent, "NotConfigured");
    assert_fault(
        workspaces.read_access(&key).await.0,
        AwsErrorKind::NotSent,
        "NotConfigured",
    );
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn unusable_settings_are_refused_without_quoting_them() {
    for url in ["localhost:4566", "ftp://x", "/path", "http://user:pass word@x"] {
        let error = WorkSpaces::connect(&settings(url)).await.unwrap_err().to_string();
        assert!(
            error.starts_with("endpoint_url: must be") && !error.contains(url),
            "{error}"
        );
    }
    let mut settings = settings("http://127.0.0.1:1");
    settings.accounts[0].regions.clear();
    let error = WorkSpaces::connect(&settings).await.unwrap_err().to_string();
    assert_eq!(error, "account 111122223333: no Region is configured");
}
