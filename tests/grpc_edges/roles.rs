//! Roles, which are checked before the message is read, and the quota of one principal.

use sharewarden::{config::ServerConfig, grpc::PRINCIPAL, policy::roles::Role};
use sharewarden_client::proto::v1::{audit_service_client::AuditServiceClient, *};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::server::{Guard, Server, binding, from_tester};

fn as_one<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(PRINCIPAL, name.parse().unwrap());
    request
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn nothing_is_allowed_without_a_role_and_each_role_allows_its_own() {
    let roles = vec![
        binding("viewer", &[Role::Viewer]),
        binding("operator", &[Role::Operator]),
        binding("auditor", &[Role::Auditor]),
    ];
    let server = Server::start_guarded(
        ServerConfig::default(),
        Guard {
            roles,
            ..Guard::default()
        },
    )
    .await;
    let mut client = server.client().await;
    let mut audit = AuditServiceClient::new(server.channel().await);
    let denied = (Code::PermissionDenied, "POLICY_DENIED".to_owned());
    for (name, reads, exports) in [
        ("nobody", false, false),
        ("viewer", true, false),
        ("operator", false, false),
        ("auditor", true, true),
    ] {
        let listed = client.list_images(as_one(name, Default::default())).await;
        assert_eq!(listed.is_ok(), reads, "{name}");
        if let Err(status) = listed {
            assert_eq!(reason(&status), denied);
            let missing = if name == "nobody" { "no role binding" } else { "viewer" };
            assert!(
                status.message().contains(name) && status.message().contains(missing),
                "{status:?}"
            );
        }
        // An allowed call gets the error that its message has no account.
        let proof = audit
            .get_checkpoint(as_one(name, Default::default()))
            .await
            .unwrap_err();
        let export = audit
            .export_audit_entries(as_one(name, Default::default()))
            .await
            .unwrap_err();
        for status in [proof, export] {
            let expected = if exports {
                (Code::InvalidArgument, "INVALID_FIELDS".to_owned())
            } else {
                denied.clone()
            };
            assert_eq!(reason(&status), expected, "{name}");
        }
    }
    let refused = server.refused();
    assert_eq!(
        (&refused[..3], &refused[3..]),
        (&["unbound_principal"; 3][..], &["role"; 5][..])
    );
    drop((client, audit));
    server.stop().await;
}

/// A grant that no role allows is otherwise passed on, so that its refusal is recorded.
#[tokio::test]
async fn a_grant_of_a_principal_that_no_role_binding_names_is_refused_and_counted_and_takes_no_quota() {
    let guard = Guard {
        roles: vec![binding("build-*", &[Role::Operator])],
        ..Guard::default()
    };
    let config = ServerConfig {
        calls_per_second_per_principal: 1,
        ..ServerConfig::default()
    };
    let server = Server::start_guarded(config, guard).await;
    let mut client = server.client().await;
    for _ in 0..20 {
        let granted = client
            .grant_share_permission(as_one("nobody", Default::default()))
            .await;
        let status = granted.unwrap_err();
        assert_eq!(reason(&status), (Code::PermissionDenied, "POLICY_DENIED".into()));
        assert_eq!(server.refused(), ["unbound_principal"]);
    }
    client
        .grant_share_permission(as_one("build-7", Default::default()))
        .await
        .unwrap();
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_role_in_some_accounts_allows_only_calls_about_these_accounts() {
    let mut scoped = binding("scoped", &[Role::Viewer, Role::Auditor]);
    scoped.accounts = Some(["111122223333".parse().unwrap()].into());
    let guard = Guard {
        roles: vec![scoped],
        ..Guard::default()
    };
    let server = Server::start_guarded(ServerConfig::default(), guard).await;
    let mut audit = AuditServiceClient::new(server.channel().await);
    let denied = (Code::PermissionDenied, "POLICY_DENIED".to_owned());
    for account in ["", "444455556666", "1111"] {
        let request = GetCheckpointRequest {
            account_id: account.into(),
            ..Default::default()
        };
        let status = audit.get_checkpoint(as_one("scoped", request)).await.unwrap_err();
        assert_eq!(reason(&status), denied, "{account:?}");
        assert!(status.message().contains("111122223333"), "{status:?}");
        let request = WatchAuditEntriesRequest {
            account_ids: [account]
                .into_iter()
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .collect(),
            ..Default::default()
        };
        let status = audit.watch_audit_entries(as_one("scoped", request)).await.unwrap_err();
        assert_eq!(reason(&status), denied, "{account:?}");
    }
    // The call passed the policy, and failed because there is no store.
    let request = GetCheckpointRequest {
        account_id: "111122223333".into(),
        ..Default::default()
    };
    let status = audit.get_checkpoint(as_one("scoped", request)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    drop(audit);
    server.stop().await;
}

#[tokio::test]
async fn a_principal_above_its_rate_is_told_when_to_retry_and_others_are_not_affected() {
    let server = Server::start_with(ServerConfig {
        calls_per_second_per_principal: 2,
        ..ServerConfig::default()
    })
    .await;
    let mut client = server.client().await;
    let refused = loop {
        if let Err(status) = client.list_images(from_tester(Default::default())).await {
            break status;
        }
    };
    assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    let details = refused.get_error_details();
    let delay = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(delay.as_millis() <= 500, "{delay:?}");
    let pushback: u64 = refused
        .metadata()
        .get("grpc-retry-pushback-ms")
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=1000).contains(&pushback), "{pushback}");
    client.list_images(as_one("another", Default::default())).await.unwrap();
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn one_principal_cannot_take_all_slots() {
    let server = Server::start_with(ServerConfig {
        max_calls_per_principal: 1,
        ..ServerConfig::default()
    })
    .await;
    let mut client = server.client().await;
    let mut first = client.clone();
    let under_way = tokio::spawn(async move { first.get_change(from_tester(Default::default())).await });
    server.endless.notified().await;
    let refused = client.list_images(from_tester(Default::default())).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::ResourceExhausted, "OVERLOADED".into()));
    client.list_images(as_one("another", Default::default())).await.unwrap();
    under_way.abort();
    let _ = under_way.await;
    let room = async { while client.list_images(from_tester(Default::default())).await.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), room)
        .await
        .expect("a slot is free again");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn oversized_metadata_is_refused_and_the_connection_stays_open() {
    let server = Server::start_with(ServerConfig {
        max_header_size: 4096,
        ..ServerConfig::default()
    })
    .await;
    let mut client = server.client().await;
    let mut request = from_tester(ListImagesRequest::default());
    request
        .metadata_mut()
        .insert("x-large", "x".repeat(8192).parse().unwrap());
    client.list_images(request).await.unwrap_err();
    client.list_images(from_tester(Default::default())).await.unwrap();
    drop(client);
    server.stop().await;
}
