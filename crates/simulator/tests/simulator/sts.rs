//! GetCallerIdentity and AssumeRole.

use aws_credential_types::Credentials;
use aws_sdk_sts::types::Credentials as SessionCredentials;
use base64::{Engine, prelude::BASE64_STANDARD};
use sharewarden_simulator::{Account, Simulator};

use crate::harness::*;

const ROLE: &str = "arn:aws:iam::210987654321:role/team/ImageSharing";

async fn assume(sim: &Simulator, role: &str) -> Result<SessionCredentials, String> {
    let call = sts_client(sim, OWNER, FRANKFURT)
        .assume_role()
        .role_arn(role)
        .role_session_name("sharing");
    Ok(call.send().await.map_err(code)?.credentials().unwrap().clone())
}

fn keys(session: &SessionCredentials, token: &str) -> Credentials {
    Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        Some(token.to_owned()),
        None,
        "test",
    )
}

#[tokio::test]
async fn caller_identity_names_the_account_of_the_key() {
    let sim = start().await;
    let identity = sts_client(&sim, ZEROS, FRANKFURT)
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(identity.account(), Some(ZEROS));
    assert_eq!(identity.arn(), Some("arn:aws:iam::000011112222:user/simulator"));
    assert!(identity.user_id().is_some());
}

#[tokio::test]
async fn an_assumed_role_acts_for_the_account_of_the_role() {
    let sim = start().await;
    let session = assume(&sim, ROLE).await.unwrap();
    assert!(session.access_key_id().starts_with("ASIA"));
    let client = client_with(&sim, keys(&session, session.session_token()), FRANKFURT);
    client.describe_workspace_images().send().await.unwrap();
    assert_eq!(sim.calls().last().unwrap().account.as_deref(), Some(RECIPIENT));
}

#[tokio::test]
async fn assume_role_returns_the_session_name_and_duration() {
    let sim = start().await;
    let call = sts_client(&sim, OWNER, FRANKFURT)
        .assume_role()
        .role_arn(ROLE)
        .role_session_name("sharing");
    let answer = call.duration_seconds(900).send().await.unwrap();
    let user = answer.assumed_role_user().unwrap();
    assert_eq!(
        user.arn(),
        "arn:aws:sts::210987654321:assumed-role/ImageSharing/sharing"
    );
    let session = answer.credentials().unwrap();
    let lasts = session.expiration().secs() - time_of(&sim);
    assert!((890..=901).contains(&lasts), "{lasts}");
}

fn time_of(sim: &Simulator) -> i64 {
    sim.calls()[0].started_at.unix_timestamp()
}

#[tokio::test]
async fn a_session_works_only_with_its_own_token() {
    let sim = start().await;
    let (session, other) = (assume(&sim, ROLE).await.unwrap(), assume(&sim, ROLE).await.unwrap());
    for token in [other.session_token(), "nonsense", "AAAA"] {
        let client = client_with(&sim, keys(&session, token), FRANKFURT);
        let answer = client.describe_workspace_images().send().await;
        assert_eq!(code(answer.unwrap_err()), "UnrecognizedClientException");
    }
}

#[tokio::test]
async fn an_expired_session_has_its_own_error_code() {
    let sim = start().await;
    let session = assume(&sim, ROLE).await.unwrap();
    let token = BASE64_STANDARD.decode(session.session_token()).unwrap();
    let mut token: serde_json::Value = serde_json::from_slice(&token).unwrap();
    token["expires"] = 1_000_000.into();
    let client = client_with(
        &sim,
        keys(&session, &BASE64_STANDARD.encode(token.to_string())),
        FRANKFURT,
    );
    let answer = client.describe_workspace_images().send().await;
    assert_eq!(code(answer.unwrap_err()), "ExpiredTokenException");
}

#[tokio::test]
async fn sessions_outlive_a_restart() {
    let sim = start().await;
    let session = assume(&sim, ROLE).await.unwrap();
    sim.shutdown().await;
    let sim = start().await;
    let client = client_with(&sim, keys(&session, session.session_token()), FRANKFURT);
    client.describe_workspace_images().send().await.unwrap();
}

#[tokio::test]
async fn an_account_can_require_an_external_id() {
    let sim = start().await;
    sim.add_account(Account::new("232323232323").asking_external_id("letmein"))
        .unwrap();
    let role = "arn:aws:iam::232323232323:role/ImageSharing";
    let with = |external_id: Option<&str>| {
        let call = sts_client(&sim, OWNER, FRANKFURT)
            .assume_role()
            .role_arn(role)
            .role_session_name("sharing");
        call.set_external_id(external_id.map(str::to_owned)).send()
    };
    assert_eq!(code(with(None).await.unwrap_err()), "AccessDenied");
    assert_eq!(code(with(Some("wrong")).await.unwrap_err()), "AccessDenied");
    with(Some("letmein")).await.unwrap();
}

#[tokio::test]
async fn a_role_of_an_unknown_account_cannot_be_assumed() {
    let sim = start().await;
    let refused = assume(&sim, "arn:aws:iam::999988887777:role/ImageSharing").await;
    assert_eq!(refused.unwrap_err(), "AccessDenied");
    assert_eq!(
        assume(&sim, "arn:aws:iam::nobody:role/ImageSharing").await.unwrap_err(),
        "ValidationError"
    );
}

#[tokio::test]
async fn sts_errors_are_xml() {
    let sim = start().await;
    let sts = authorization("AKIA111122223333", FRANKFURT, "sts");
    let unknown = authorization("AKIA999988887777", FRANKFURT, "sts");
    let identity = "Action=GetCallerIdentity&Version=2011-06-15";
    for (authorization, body, status, code) in [
        (Some(&sts), identity, 200, "<Account>111122223333</Account>"),
        (None, identity, 403, "<Code>MissingAuthenticationToken</Code>"),
        (
            Some(&"garbled".to_owned()),
            identity,
            403,
            "<Code>IncompleteSignature</Code>",
        ),
        (Some(&unknown), identity, 403, "<Code>InvalidClientTokenId</Code>"),
        (
            Some(&sts),
            "Action=GetCallerIdentity",
            400,
            "<Code>InvalidAction</Code>",
        ),
        (Some(&sts), "Action=%3CGet%3E&Version=2011-06-15", 400, "&lt;Get&gt;"),
        (
            Some(&sts),
            "Action=AssumeRole&Version=2011-06-15",
            400,
            "<Code>ValidationError</Code>",
        ),
    ] {
        let mut headers = vec![
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("X-Amz-Date", "20260131T000000Z"),
        ];
        headers.extend(authorization.map(|value| ("Authorization", value.as_str())));
        let answer = http(&sim, "POST /", &headers, body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(code), "{}", answer.text());
        let id = answer.header("x-amzn-requestid").unwrap();
        assert!(answer.text().contains(&format!("<RequestId>{id}</RequestId>")));
        assert_eq!(answer.header("content-type"), Some("text/xml"));
    }
}
