//! The room `workspaces` against servers on real sockets, with the worst answers of AWS, of proxies and of the network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

mod answers;
mod credentials;
mod environment;
mod facts;
mod network;
mod pages;
mod secrets;
mod simulator;
mod upstream;

use std::time::Duration;

use secrecy::SecretString;
use sharewarden::{
    clock::Clock,
    config::{AccountConfig, AwsConfig, ForwarderConfig, ShareWithConfig},
    domain::{AccountId, AwsError, AwsErrorKind, AwsResponse, PermissionKey, Region},
    telemetry::Instruments,
    workspaces::{BaseCredentials, WorkSpaces, WorkSpacesSettings},
};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-central-1";

fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

fn region(name: &str) -> Region {
    name.parse().unwrap()
}

fn key() -> PermissionKey {
    PermissionKey {
        account: account(ACCOUNT),
        region: region(REGION),
        image: "wsi-basewin11".parse().unwrap(),
        shared_account: account("000011112222"),
    }
}

fn account_settings(id: &str) -> AccountConfig {
    AccountConfig {
        id: account(id),
        regions: vec![region(REGION)],
        share_with: ShareWithConfig::Anyone,
        on_drift: Default::default(),
        role_arn: None,
        external_id: None,
        endpoint_url: None,
    }
}

/// One account, both endpoints at `url`, and timeouts that only a hanging server exceeds.
fn settings(url: &str) -> WorkSpacesSettings {
    WorkSpacesSettings {
        accounts: vec![account_settings(ACCOUNT)],
        aws: AwsConfig {
            endpoint_url: Some(url.to_owned()),
            sts_endpoint_url: Some(url.to_owned()),
            verify_identity: false,
        },
        forwarder: ForwarderConfig {
            attempt_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(30),
            ..ForwarderConfig::default()
        },
        credentials: BaseCredentials::Fixed {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: SecretString::from("base-secret"),
        },
        clock: Clock::system(),
        instruments: Instruments::default(),
    }
}

async fn connect(url: &str) -> WorkSpaces {
    WorkSpaces::connect(&settings(url)).await.unwrap()
}

fn fault<T: std::fmt::Debug>(response: AwsResponse<T>) -> AwsError {
    response.result.unwrap_err()
}

#[track_caller]
fn assert_fault<T: std::fmt::Debug>(response: AwsResponse<T>, kind: AwsErrorKind, code: &str) {
    let fault = fault(response);
    assert_eq!((fault.kind, fault.code.as_deref()), (kind, Some(code)), "{fault:?}");
}
