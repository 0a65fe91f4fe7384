//! Credentials from environment variables. A process has one environment, so each test starts this binary again with its own.

use std::process::Stdio;

use sharewarden::{
    domain::{Access, AwsErrorKind},
    workspaces::{BaseCredentials, WorkSpaces},
};
use tokio::process::Command;

use crate::{
    ACCOUNT,
    credentials::{accepted, assumed, identity, is, with_role},
    key, settings,
    upstream::Upstream,
};

/// The variable with the URL of a test's server. The test sets it for the process that it starts.
const URL: &str = "SHAREWARDEN_TEST_UPSTREAM";

/// No server listens at this address. No call may go there.
const ELSEWHERE: &str = "http://127.0.0.1:1";

#[tokio::test]
#[ignore = "the tests below start it, each in an environment of its own"]
async fn helper_that_grants_with_the_environment() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only way to pass a value to a process of libtest"
    )]
    let Ok(url) = std::env::var(URL) else { return };
    let mut settings = settings(&url);
    settings.accounts = vec![with_role(ACCOUNT)];
    settings.credentials = BaseCredentials::Environment;
    settings.aws.verify_identity = url != ELSEWHERE;
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let response = workspaces
        .update_image_permission(&key(), Access::Shared, || true)
        .await;
    match response.result {
        Ok(()) => println!("outcome=accepted"),
        Err(fault) if fault.kind == AwsErrorKind::NotSent => println!("outcome=not sent, {}", fault.code.unwrap()),
        Err(fault) => println!("outcome={fault:?}"),
    }
}

/// The result of a grant in a process with only this environment.
async fn outcome(url: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "environment::helper_that_grants_with_the_environment",
            "--ignored",
            "--nocapture",
        ])
        .env_clear()
        .env(URL, url)
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = text.lines().find_map(|line| line.split("outcome=").nth(1));
    outcome.map_or_else(
        || panic!("{text}{}", String::from_utf8_lossy(&output.stderr)),
        str::to_owned,
    )
}

#[tokio::test]
async fn endpoints_of_the_settings_win_over_those_of_the_environment() {
    let upstream = Upstream::start(|request| match request.operation() {
        "UpdateWorkspaceImagePermission" => accepted(),
        _ if is(request, "AssumeRole") => assumed(ACCOUNT),
        _ => identity(ACCOUNT),
    })
    .await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", ELSEWHERE),
        ("AWS_ENDPOINT_URL_STS", ELSEWHERE),
        ("AWS_ENDPOINT_URL_WORKSPACES", ELSEWHERE),
        ("AWS_MAX_ATTEMPTS", "9"),
    ];
    assert_eq!(outcome(&upstream.url, &environment).await, "accepted");
    let seen = upstream.seen();
    assert!(seen[0].header("authorization").contains("Credential=AKIAENVIRONMENT/"));
    // The role is assumed once, for the check of the identity and for the call.
    assert!(
        is(&seen[0], "AssumeRole") && is(&seen[1], "GetCallerIdentity"),
        "{seen:?}"
    );
    assert_eq!((seen.len(), seen[2].operation()), (3, "UpdateWorkspaceImagePermission"));
}

#[tokio::test]
async fn without_any_credentials_a_call_is_not_sent() {
    assert_eq!(outcome(ELSEWHERE, &[]).await, "not sent, CredentialsUnavailable");
}
