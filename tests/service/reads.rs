//! Reads: permissions, changes, images and health.

use std::collections::BTreeSet;

use sharewarden_client::proto::v1::{
    GetChangeRequest, GetSharePermissionRequest, ImageOwnership, ListImagesRequest, ListSharePermissionsRequest,
    share_permission,
};
use sharewarden_simulator::{Effect, Image};
use sharewarden_testkit::stack::*;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;
use uuid::Uuid;

#[tokio::test]
async fn an_unknown_permission_or_change_is_not_found() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let request = GetSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
    };
    let missing = client.get_share_permission(as_tester(request)).await.unwrap_err();
    assert_eq!(
        (missing.code(), reason(&missing).as_str()),
        (Code::NotFound, "PERMISSION_NOT_FOUND")
    );
    let request = GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id: Uuid::new_v4().to_string(),
    };
    let missing = client.get_change(as_tester(request)).await.unwrap_err();
    assert_eq!(
        (missing.code(), reason(&missing).as_str()),
        (Code::NotFound, "CHANGE_NOT_FOUND")
    );
    stack.end().await;
}

#[tokio::test]
async fn pages_return_every_permission_once_and_filters_apply() {
    let stack = Stack::start().await;
    let mut calls = Vec::new();
    for number in 0..25 {
        let mut request = grant();
        request.shared_account_id = format!("5000000000{number:02}");
        if number % 5 == 0 {
            request.image_id = "wsi-devtool01".into();
        }
        calls.push(spawn_grant(stack.client().await, request));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let mut client = stack.client().await;
    let mut not_shared = revoke();
    not_shared.shared_account_id = "500000000001".into();
    client.revoke_share_permission(as_tester(not_shared)).await.unwrap();

    let mut seen = Vec::new();
    let mut request = ListSharePermissionsRequest {
        page_size: 7,
        ..Default::default()
    };
    loop {
        let page = client
            .list_share_permissions(as_tester(request.clone()))
            .await
            .unwrap()
            .into_inner();
        assert!(page.permissions.len() <= 7);
        seen.extend(
            page.permissions
                .into_iter()
                .map(|permission| (permission.image_id, permission.shared_account_id)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted() && seen.iter().collect::<BTreeSet<_>>().len() == 25);

    let count = async |request: ListSharePermissionsRequest| {
        let mut client = stack.client().await;
        client
            .list_share_permissions(as_tester(request))
            .await
            .unwrap()
            .into_inner()
            .permissions
            .len()
    };
    let all = ListSharePermissionsRequest::default;
    assert_eq!(
        count(ListSharePermissionsRequest {
            image_id: "wsi-devtool01".into(),
            ..all()
        })
        .await,
        5
    );
    assert_eq!(
        count(ListSharePermissionsRequest {
            shared_account_id: "500000000003".into(),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(ListSharePermissionsRequest {
            account_id: OTHER_ACCOUNT.into(),
            ..all()
        })
        .await,
        0
    );
    assert_eq!(
        count(ListSharePermissionsRequest {
            region: "us-east-1".into(),
            ..all()
        })
        .await,
        0
    );
    let with_state = |state: share_permission::State| ListSharePermissionsRequest {
        state: state.into(),
        ..all()
    };
    assert_eq!(count(with_state(share_permission::State::Shared)).await, 24);
    assert_eq!(count(with_state(share_permission::State::NotShared)).await, 1);
    assert_eq!(count(with_state(share_permission::State::Pending)).await, 0);
    stack.end().await;
}

#[tokio::test]
async fn a_page_token_that_was_altered_or_belongs_to_other_filters_is_refused() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    for shared_account_id in ["500000000001", "500000000002"] {
        let mut request = grant();
        request.shared_account_id = shared_account_id.into();
        client.grant_share_permission(as_tester(request)).await.unwrap();
    }
    let request = ListSharePermissionsRequest {
        page_size: 1,
        ..Default::default()
    };
    let page = client
        .list_share_permissions(as_tester(request.clone()))
        .await
        .unwrap()
        .into_inner();
    let token = page.next_page_token;
    let mut altered = token.clone().into_bytes();
    altered[10] = if altered[10] == b'A' { b'B' } else { b'A' };
    let wrong = [
        ListSharePermissionsRequest {
            page_token: String::from_utf8(altered).unwrap(),
            ..request.clone()
        },
        ListSharePermissionsRequest {
            page_token: "made up".into(),
            ..request.clone()
        },
        ListSharePermissionsRequest {
            page_token: token,
            region: REGION.into(),
            ..request.clone()
        },
    ];
    for request in wrong {
        let refused = client.list_share_permissions(as_tester(request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "INVALID_PAGE_TOKEN")
        );
    }
    let negative = ListSharePermissionsRequest {
        page_size: -1,
        ..Default::default()
    };
    let refused = client.list_share_permissions(as_tester(negative)).await.unwrap_err();
    assert_eq!(
        refused.get_details_bad_request().unwrap().field_violations[0].field,
        "page_size"
    );
    stack.end().await;
}

#[tokio::test]
async fn all_pages_of_images_are_read_from_aws() {
    let stack = Stack::start().await;
    for number in 0..60 {
        stack
            .simulator
            .add_image(Image::new(REGION, format!("wsi-many{number:05}"), ACCOUNT))
            .unwrap();
    }
    let mut client = stack.client().await;
    let mut images = async |account: &str, ownership: ImageOwnership| {
        let request = ListImagesRequest {
            account_id: account.into(),
            region: REGION.into(),
            ownership: ownership.into(),
        };
        Ok::<_, tonic::Status>(client.list_images(as_tester(request)).await?.into_inner().images)
    };
    let owned = images(ACCOUNT, ImageOwnership::Unspecified).await.unwrap();
    assert_eq!(
        owned.iter().map(|image| &image.image_id).collect::<BTreeSet<_>>().len(),
        63
    );
    let base = owned.iter().find(|image| image.image_id == IMAGE).unwrap();
    assert_eq!(
        (base.name.as_str(), base.state.as_str()),
        ("base-windows-11", "AVAILABLE")
    );
    assert_eq!(base.owner_account_id, ACCOUNT);
    assert!(images(OTHER_ACCOUNT, ImageOwnership::Shared).await.unwrap().is_empty());

    stack.fault(
        "DescribeWorkspaceImages",
        1,
        Effect::Throttle {
            http_status: 400,
            retry_after_seconds: Some(7),
        },
    );
    let refused = images(ACCOUNT, ImageOwnership::Owned).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "UPSTREAM_THROTTLED")
    );
    stack.end().await;
}

#[tokio::test]
async fn health_says_serving_when_postgres_answers_and_the_schema_is_current() {
    let stack = Stack::start().await;
    let channel = stack.client().await;
    drop(channel);
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", stack.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    for service in ["", "sharewarden.v1.SharePermissionService"] {
        let serving = wait_for_health(&mut health, service, ServingStatus::Serving);
        tokio::time::timeout(TIMEOUT, serving)
            .await
            .expect("the health is SERVING in time");
    }
    sqlx::query("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1")
        .execute(&stack.pool)
        .await
        .unwrap();
    let not_serving = wait_for_health(&mut health, "", ServingStatus::NotServing);
    tokio::time::timeout(TIMEOUT, not_serving)
        .await
        .expect("the health is NOT_SERVING in time");
    stack.end().await;
}

async fn wait_for_health(health: &mut HealthClient<tonic::transport::Channel>, service: &str, wanted: ServingStatus) {
    let mut updates = health
        .watch(HealthCheckRequest {
            service: service.into(),
        })
        .await
        .unwrap()
        .into_inner();
    while updates.message().await.unwrap().unwrap().status() != wanted {}
}
