//! Authentication by the Authorization header.

use aws_credential_types::Credentials;
use sharewarden_simulator::{Account, Partition, Simulator};

use crate::harness::*;

const DATE: &str = "20260131T000000Z";

/// Lists images with these authentication headers. Returns status and code.
async fn list(sim: &Simulator, headers: &[(&str, &str)]) -> (u16, String) {
    let plain = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "WorkspacesService.DescribeWorkspaceImages"),
    ];
    let answer = http(sim, "POST /", &[&plain, headers].concat(), b"{}").await.unwrap();
    let code = if answer.status == 200 {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

#[tokio::test]
async fn a_made_up_key_belongs_to_the_account_in_it() {
    let sim = start().await;
    for key in ["AKIA111122223333", "AKIA111122223333XYZ7"] {
        let header = authorization(key, FRANKFURT, "workspaces");
        assert_eq!(
            list(&sim, &[("Authorization", &header), ("X-Amz-Date", DATE)]).await.0,
            200
        );
    }
    assert!(sim.calls().iter().all(|call| call.account.as_deref() == Some(OWNER)));
    assert!(sim.calls().iter().all(|call| call.region.as_deref() == Some(FRANKFURT)));
}

#[tokio::test]
async fn a_listed_key_belongs_to_its_account_until_it_is_removed() {
    let sim = start().await;
    let keys = ["AKIAIOSFODNN7EXAMPLE".to_owned()].into();
    sim.add_account(Account {
        access_keys: keys,
        ..Account::new("191919191919")
    })
    .unwrap();
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "any secret", None, None, "test");
    client_with(&sim, keys, FRANKFURT)
        .describe_workspace_images()
        .send()
        .await
        .unwrap();
    assert_eq!(sim.calls()[0].account.as_deref(), Some("191919191919"));

    sim.add_account(Account::new("191919191919")).unwrap();
    let header = authorization("AKIAIOSFODNN7EXAMPLE", FRANKFURT, "workspaces");
    let refused = list(&sim, &[("Authorization", &header), ("X-Amz-Date", DATE)]).await;
    assert_eq!(refused, (400, "UnrecognizedClientException".into()));
}

#[tokio::test]
async fn unknown_keys_are_refused() {
    let sim = start().await;
    for key in [
        "AKIA999988887777",
        "AKIAIOSFODNN7EXAMPLE",
        "AKIA111122223333abc",
        "ASIA111122223333ABCDEFGH",
        "short",
    ] {
        let header = authorization(key, FRANKFURT, "workspaces");
        let refused = list(&sim, &[("Authorization", &header), ("X-Amz-Date", DATE)]).await;
        assert_eq!(refused, (400, "UnrecognizedClientException".into()), "{key}");
    }
}

#[tokio::test]
async fn keys_do_not_work_in_another_partition() {
    let sim = start().await;
    sim.add_account(Account::new("202020202020").in_partition(Partition::China))
        .unwrap();
    for (account, region) in [
        (OWNER, "cn-northwest-1"),
        (OWNER, "us-gov-west-1"),
        ("202020202020", FRANKFURT),
    ] {
        let answer = client(&sim, account, region).describe_workspace_images().send().await;
        assert_eq!(code(answer.unwrap_err()), "UnrecognizedClientException");
    }
}

#[tokio::test]
async fn a_call_without_authorization_is_refused() {
    let sim = start().await;
    assert_eq!(
        list(&sim, &[]).await,
        (400, "MissingAuthenticationTokenException".into())
    );
    assert_eq!(sim.calls()[0].account, None);
}

#[tokio::test]
async fn a_malformed_authorization_is_an_incomplete_signature() {
    let sim = start().await;
    let good = authorization("AKIA111122223333", FRANKFURT, "workspaces");
    for bad in [
        "Basic dXNlcjpwYXNz".to_owned(),
        "AWS4-HMAC-SHA256 ".to_owned(),
        good.replace("Signature=", "Signatur="),
        good.replace("Signature=0", "Signature=x"),
        good.replace("SignedHeaders=host;", "SignedHeaders="),
        good.replace("/aws4_request", ""),
        good.replace("eu-central-1", "EU_CENTRAL"),
        "AWS4-HMAC-SHA256 ,,,=,=/////".to_owned(),
    ] {
        let refused = list(&sim, &[("Authorization", &bad), ("X-Amz-Date", DATE)]).await;
        assert_eq!(refused, (400, "IncompleteSignatureException".into()), "{bad}");
    }
    assert_eq!(
        list(&sim, &[("Authorization", &good)]).await.1,
        "IncompleteSignatureException"
    );
    assert_eq!(
        list(&sim, &[("Authorization", &good), ("X-Amz-Date", "today")]).await.1,
        "IncompleteSignatureException"
    );
}

#[tokio::test]
async fn a_credential_of_another_service_or_day_is_an_invalid_signature() {
    let sim = start().await;
    let sts = authorization("AKIA111122223333", FRANKFURT, "sts");
    let refused = list(&sim, &[("Authorization", &sts), ("X-Amz-Date", DATE)]).await;
    assert_eq!(refused, (400, "InvalidSignatureException".into()));
    let good = authorization("AKIA111122223333", FRANKFURT, "workspaces");
    let refused = list(&sim, &[("Authorization", &good), ("X-Amz-Date", "20250131T000000Z")]).await;
    assert_eq!(refused, (400, "InvalidSignatureException".into()));
}
