//! Against the simulator, which knows the real state of the image.

use std::time::Duration;

use sharewarden::{
    config::AccountConfig,
    domain::{Access, AwsErrorKind, Classification, FailureReason, PermissionKey, image::Ownership},
    workspaces::{BaseCredentials, WorkSpaces, WorkSpacesSettings},
};
use sharewarden_simulator::{Effect, Fault, FaultTiming, Image, Simulator, sample};
use tokio::net::TcpListener;

use crate::{ACCOUNT, REGION, account, account_settings, assert_fault, key, region, settings};

const UPDATE: &str = "UpdateWorkspaceImagePermission";

pub(crate) async fn simulator() -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, sample()).await.unwrap()
}

/// The owners of the sample: the first with its own key, the second with a role.
pub(crate) fn owners(simulator: &Simulator) -> WorkSpacesSettings {
    let second = "444455556666";
    let role = AccountConfig {
        role_arn: Some(format!("arn:aws:iam::{second}:role/images")),
        ..account_settings(second)
    };
    let mut settings = settings(&simulator.url());
    settings.accounts = vec![account_settings(ACCOUNT), role];
    settings.credentials = BaseCredentials::Fixed {
        access_key_id: format!("AKIA{ACCOUNT}"),
        secret_access_key: "any".to_owned().into(),
    };
    settings.aws.verify_identity = true;
    settings
}

pub(crate) async fn connect(simulator: &Simulator) -> WorkSpaces {
    WorkSpaces::connect(&owners(simulator)).await.unwrap()
}

fn is_shared(simulator: &Simulator, key: &PermissionKey) -> bool {
    simulator
        .shared_accounts(key.account.as_str(), key.region.as_str(), key.image.as_str())
        .contains(key.shared_account.as_str())
}

#[tokio::test]
async fn a_grant_and_a_revoke_take_effect_and_are_read_back() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    let finance = PermissionKey {
        account: account("444455556666"),
        image: "wsi-finance01".parse().unwrap(),
        ..key()
    };
    for key in [key(), finance] {
        for access in [Access::Shared, Access::NotShared] {
            let response = workspaces.update_image_permission(&key, access, || true).await;
            assert_eq!(response.result, Ok(()));
            let last = simulator.calls().pop().unwrap();
            assert_eq!(response.aws_request_id, Some(last.request_id));
            assert_eq!(is_shared(&simulator, &key), access == Access::Shared);
            assert_eq!(workspaces.read_access(&key).await.0.result, Ok(access));
        }
    }
}

#[tokio::test]
async fn each_refusal_of_the_simulator_has_its_own_reason() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    for (image, code, reason) in [
        (
            "wsi-nosuchone",
            "ResourceNotFoundException",
            FailureReason::ImageNotFound,
        ),
        (
            "wsi-pending01",
            "ResourceUnavailableException",
            FailureReason::ImageUnavailable,
        ),
    ] {
        let key = PermissionKey {
            image: image.parse().unwrap(),
            ..key()
        };
        let response = workspaces.update_image_permission(&key, Access::Shared, || true).await;
        assert_fault(response, AwsErrorKind::Refused(reason), code);
    }
    let response = workspaces
        .update_image_permission(&key(), Access::NotShared, || true)
        .await;
    assert_eq!(
        response.classification(),
        Classification::Refused,
        "nothing to revoke: {response:?}"
    );
}

#[tokio::test]
async fn every_page_of_permissions_and_images_is_read() {
    let simulator = simulator().await;
    let mut image = Image::new(REGION, "wsi-widely0001", ACCOUNT);
    image.shared_with = (0..60).map(|number| format!("9000000000{number:02}")).collect();
    simulator.add_image(image).unwrap();
    for number in 0..60 {
        let id = format!("wsi-another{number:03}");
        simulator.add_image(Image::new(REGION, id, ACCOUNT)).unwrap();
    }
    let workspaces = connect(&simulator).await;
    let widely = |shared: &str| PermissionKey {
        image: "wsi-widely0001".parse().unwrap(),
        shared_account: account(shared),
        ..key()
    };
    for shared in ["900000000000", "900000000059"] {
        assert_eq!(
            workspaces.read_access(&widely(shared)).await.0.result,
            Ok(Access::Shared),
            "{shared}"
        );
    }
    assert_eq!(
        workspaces.read_access(&widely("900000000060")).await.0.result,
        Ok(Access::NotShared)
    );
    let images = workspaces
        .list_images(account(ACCOUNT), &region(REGION), Ownership::Owned)
        .await;
    assert_eq!(images.result.unwrap().len(), 64);
}

/// Over all faults: an accepted call had its effect, and a throttled call had none. A read-back shows the effect of an
/// unknown one.
#[tokio::test]
async fn an_error_says_truly_whether_the_call_had_an_effect() {
    use FaultTiming::{AfterApplying, BeforeApplying};
    let mut effects = vec![
        (Effect::CutShort, Classification::Unknown),
        (Effect::Garbage, Classification::Unknown),
    ];
    for moment in [BeforeApplying, AfterApplying] {
        let latency = Effect::Latency {
            milliseconds: 10,
            moment,
        };
        let hang = Effect::Hang {
            moment,
            at_most_milliseconds: 60_000,
        };
        effects.extend([(latency, Classification::Accepted), (hang, Classification::Unknown)]);
        effects.push((Effect::Reset { moment }, Classification::Unknown));
        for http_status in [500, 502, 503] {
            let error = Effect::ServerError {
                http_status,
                moment,
                retry_after_seconds: Some(1),
            };
            effects.push((error, Classification::Unknown));
        }
    }
    for http_status in [400, 429] {
        let throttle = Effect::Throttle {
            http_status,
            retry_after_seconds: Some(3),
        };
        effects.push((throttle, Classification::Throttled));
    }
    for (effect, expected) in effects {
        let simulator = simulator().await;
        let mut settings = owners(&simulator);
        if matches!(effect, Effect::Hang { .. }) {
            settings.forwarder.attempt_timeout = Duration::from_secs(1);
        }
        let workspaces = WorkSpaces::connect(&settings).await.unwrap();
        simulator
            .inject(Fault::new(effect.clone()).operation(UPDATE).calls(1))
            .unwrap();
        let response = workspaces
            .update_image_permission(&key(), Access::Shared, || true)
            .await;
        assert_eq!(response.classification(), expected, "{effect:?}: {response:?}");
        let calls = simulator
            .wait_for_calls(|calls| calls.iter().all(|call| call.ended.is_some()))
            .await;
        assert_eq!(
            calls.iter().filter(|call| call.operation == UPDATE).count(),
            1,
            "{effect:?}"
        );
        match expected {
            Classification::Accepted => assert!(is_shared(&simulator, &key()), "{effect:?}"),
            Classification::Unknown => {}
            _ => assert!(!is_shared(&simulator, &key()), "{effect:?}"),
        }
        // The read-back shows the effect.
        let access = if is_shared(&simulator, &key()) {
            Access::Shared
        } else {
            Access::NotShared
        };
        assert_eq!(workspaces.read_access(&key()).await.0.result, Ok(access), "{effect:?}");
    }
}
