//! No secret reaches an error or the log, whatever AWS or STS sends.

use sharewarden::{
    domain::Access,
    telemetry,
    workspaces::{LOG_DIRECTIVES, WorkSpaces},
};
use sharewarden_testkit::log::Log;
use tracing::level_filters::LevelFilter;

use crate::{
    ACCOUNT,
    credentials::{assumed, sts_error, with_role},
    fault, key, settings,
    upstream::{ScriptedAnswer, Upstream, answer, error},
};

/// A `log.filter` for everything, and by name for the targets that the room limits.
const EVERYTHING: &str = "trace,aws_smithy_runtime::client=trace,aws_config::sts=trace";

/// The error of a grant by an account with a role, with the log at level `trace`. STS and AWS send these answers.
async fn grant(
    sts: impl Fn() -> ScriptedAnswer + Send + Sync + 'static,
    workspaces: impl Fn() -> ScriptedAnswer + Send + Sync + 'static,
) -> String {
    let log = Log::of_this_thread(telemetry::filter(EVERYTHING, &LOG_DIRECTIVES).unwrap());
    let sts = Upstream::start(move |_| sts()).await;
    let upstream = Upstream::start(move |_| workspaces()).await;
    let mut settings = settings(&sts.url);
    settings.accounts = vec![with_role(ACCOUNT)];
    settings.aws.endpoint_url = Some(upstream.url.clone());
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    let fault = fault(
        workspaces
            .update_image_permission(&key(), Access::Shared, || true)
            .await,
    );
    format!("{fault:?}\n{settings:?}\n{workspaces:?}\n{}", log.text())
}

#[track_caller]
fn assert_silent(text: &str) {
    assert!(text.contains("sharewarden::workspaces"), "the log was captured: {text}");
    for secret in ["base-secret", "assumed-secret", "session-token-of", "the-external-id"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn a_line_that_another_thread_came_to_first_is_captured() {
    let log = Log::of_this_thread(LevelFilter::WARN);
    let say = || tracing::warn!("somebody was here");
    std::thread::spawn(say).join().unwrap();
    assert_eq!(log.text(), "", "that was on another thread");
    say();
    assert_eq!(log.text().matches("somebody was here").count(), 1);
}

/// AWS's answer to a wrong signature: the request as it should have been signed, with the session token.
const CANONICAL: &str = "The request signature we calculated does not match the signature you provided. \
    The Canonical String for this request should have been 'POST\n/\n\nhost:workspaces\n\
    x-amz-security-token:session-token-of-111122223333\n'";

#[tokio::test]
async fn an_answer_that_quotes_the_signed_request_is_withheld() {
    for code in [
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "SomethingNewException",
    ] {
        assert_silent(
            &grant(
                || assumed(ACCOUNT),
                move || ScriptedAnswer::Send(error(403, code, CANONICAL)),
            )
            .await,
        );
        assert_silent(&grant(move || sts_error(403, code, CANONICAL), || ScriptedAnswer::Reset).await);
    }
}

#[tokio::test]
async fn credentials_in_an_unreadable_answer_of_sts_are_not_logged() {
    let credentials = "<Credentials><SecretAccessKey>assumed-secret</SecretAccessKey>\
        <SessionToken>session-token-of-x</SessionToken>";
    let broken = [
        format!("<AssumeRoleResponse><AssumeRoleResult>{credentials}"),
        format!(
            "<AssumeRoleResponse><AssumeRoleResult>{credentials}<Expiration>session-token-of-y</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
        "<AssumeRoleResponse>&assumed-secret;</AssumeRoleResponse>".into(),
    ];
    for body in broken {
        let sts = move || ScriptedAnswer::Send(answer(200, &[("Content-Type", "text/xml")], &body));
        assert_silent(&grant(sts, || ScriptedAnswer::Reset).await);
    }
}

#[tokio::test]
async fn a_refusal_of_sts_is_logged_without_secrets() {
    assert_silent(&grant(|| sts_error(403, "AccessDenied", "no"), || ScriptedAnswer::Reset).await);
}

#[tokio::test]
async fn unknown_outcomes_are_logged_without_secrets() {
    assert_silent(&grant(|| assumed(ACCOUNT), || ScriptedAnswer::Reset).await);
    assert_silent(&grant(|| assumed(ACCOUNT), || ScriptedAnswer::Send(answer(500, &[], "x"))).await);
}
