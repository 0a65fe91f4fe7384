//! Roles and tokens, end to end: refused changes are recorded, and reads end when the token expires.

use serde_json::json;
use sharewarden_client::proto::v1::{
    GetChangeRequest, ListSharePermissionsRequest, WatchAuditEntriesRequest, audit_service_client::AuditServiceClient,
    share_permission_service_client::SharePermissionServiceClient,
};
use sharewarden_testkit::{
    credentials::{AUDIENCE, ISSUER, ServerFiles, TokenKey, claims, jwks, now},
    stack::*,
};
use tonic::{Code, Request};

fn as_principal<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", name.parse().unwrap());
    request
}

const ROLES: &str = "roles = [
    { principal = \"build-*\", roles = [\"operator\"], accounts = [\"111122223333\"] },
    { principal = \"reader\", roles = [\"viewer\"] },
    { principal = \"auditor\", roles = [\"auditor\"] },
]
";

#[tokio::test]
async fn a_change_that_no_role_of_the_principal_allows_is_refused_and_recorded_and_does_nothing() {
    let stack = Stack::start_with(ROLES).await;
    let mut client = stack.client().await;
    for (name, role) in [("reader", "operator"), ("auditor", "operator")] {
        let granted = client
            .grant_share_permission(as_principal(name, grant()))
            .await
            .unwrap_err();
        let revoked = client
            .revoke_share_permission(as_principal(name, revoke()))
            .await
            .unwrap_err();
        for status in [granted, revoked] {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert_eq!(reason(&status), "POLICY_DENIED");
            let rule = detail(&status, "rule");
            assert!(rule.contains(name) && rule.contains(role), "{rule}");
        }
    }
    // An operator of one account has no role in another account.
    let mut elsewhere = grant();
    elsewhere.account_id = OTHER_ACCOUNT.into();
    elsewhere.shared_account_id = OTHER_RECIPIENT.into();
    let status = client
        .grant_share_permission(as_principal("build-7", elsewhere))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "POLICY_DENIED");

    let ledger = stack.ledger(ACCOUNT).await;
    let recorded: Vec<_> = ledger
        .iter()
        .map(|entry| {
            (
                entry["kind"].as_str().unwrap(),
                entry["body"]["principal"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        recorded,
        [
            ("change.denied", "reader"),
            ("change.denied", "reader"),
            ("change.denied", "auditor"),
            ("change.denied", "auditor")
        ]
    );
    assert!(
        ledger[0]["body"]["denied_by"]
            .as_str()
            .unwrap()
            .contains("needs the role operator")
    );
    assert_eq!(stack.kinds(OTHER_ACCOUNT).await, ["change.denied"]);
    assert_eq!(stack.calls_of(UPDATE), 0, "nothing reached AWS");

    // A principal with the role may grant. An operator may not read.
    client
        .grant_share_permission(as_principal("build-7", grant()))
        .await
        .unwrap();
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    let status = client
        .list_share_permissions(as_principal("build-7", ListSharePermissionsRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "POLICY_DENIED");
    client
        .list_share_permissions(as_principal("reader", ListSharePermissionsRequest::default()))
        .await
        .unwrap();
    assert_eq!(stack.kinds(ACCOUNT).await.len(), 6, "refused reads are not recorded");
    stack.end().await;
}

#[tokio::test]
async fn validate_only_without_a_role_is_refused_and_not_recorded() {
    let stack = Stack::start_with(ROLES).await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.validate_only = true;
    let status = client
        .grant_share_permission(as_principal("reader", request))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "POLICY_DENIED");
    assert!(stack.kinds(ACCOUNT).await.is_empty());
    stack.end().await;
}

/// Configuration for tokens of an issuer, with its keys in a file.
fn token_config(files: &ServerFiles, key: &TokenKey) -> String {
    let file = files.write("jwks.json", &jwks(&[key]));
    format!(
        "auth.modes = [\"jwt\"]
auth.jwt.issuer = \"{ISSUER}\"
auth.jwt.audience = \"{AUDIENCE}\"
auth.jwt.jwks = \"{}\"
auth.jwt.leeway = \"0s\"
",
        file.display()
    )
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn the_subject_of_a_token_is_recorded_as_the_principal() {
    let (files, key) = (ServerFiles::new(), TokenKey::es256("one"));
    let stack = Stack::start_with(&token_config(&files, &key)).await;
    let mut client: Client = SharePermissionServiceClient::connect(format!("http://{}", stack.address))
        .await
        .unwrap();
    let token = key.sign(&claims(json!({})));
    let granted = client
        .grant_share_permission(with_token(&token, grant()))
        .await
        .unwrap();
    let change = granted.into_inner().change.unwrap();
    assert_eq!(change.principal, "pipeline@example.com");
    assert!(
        stack
            .ledger(ACCOUNT)
            .await
            .iter()
            .all(|entry| entry["body"]["principal"] == "pipeline@example.com")
    );
    let request = GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id: change.change_id,
    };
    client.get_change(with_token(&token, request.clone())).await.unwrap();
    let status = client.get_change(as_principal("root", request)).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::Unauthenticated,
        "the principal header is not enough"
    );
    stack.end().await;
}

#[tokio::test]
async fn a_watch_ends_when_its_token_expires() {
    let (files, key) = (ServerFiles::new(), TokenKey::es256("one"));
    let stack = Stack::start_with(&token_config(&files, &key)).await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", stack.address)).unwrap();
    let mut audit = AuditServiceClient::new(channel.connect().await.unwrap());
    let token = key.sign(&claims(json!({"exp": now().unix_timestamp() + 3})));
    let mut watch = audit
        .watch_audit_entries(with_token(&token, WatchAuditEntriesRequest::default()))
        .await
        .unwrap()
        .into_inner();
    let ended = async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(TIMEOUT, ended)
        .await
        .expect("the watch ends in time");
    assert_eq!(status.code(), Code::Unauthenticated);
    let again = audit
        .watch_audit_entries(with_token(&token, WatchAuditEntriesRequest::default()))
        .await;
    assert_eq!(again.unwrap_err().code(), Code::Unauthenticated);
    drop(audit);
    stack.end().await;
}
