//! Builds the clients for all accounts and Regions from the settings. All share one connection pool and one cache of credentials.

use std::{collections::HashMap, sync::Arc};

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{
    app_name::AppName,
    sdk_config::{RetryConfig, SharedHttpClient, SharedTimeSource, StalledStreamProtectionConfig},
};
use secrecy::ExposeSecret;

use super::{
    BaseCredentials, IdentityProblem, WorkSpaces, WorkSpacesSettings,
    clients::{Clients, aws_region},
    facts::ImageFacts,
    http, identity,
    listing_limits::ListingLimits,
    shared_reads::SharedReads,
};
use crate::domain::AccountId;

/// Part of every user agent, as `app/sharewarden-<version>` (the SDK allows no slash here). CloudTrail records it.
const APP_NAME: &str = concat!("sharewarden-", env!("CARGO_PKG_VERSION"));

/// A fixed version of the SDK's defaults, so that an update does not change them.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Why the clients cannot be used. The message never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum AwsConnectError {
    /// The account has no Regions.
    #[error("account {0}: no Region is configured")]
    NoRegion(AccountId),
    /// The endpoint is not a URL.
    #[error("{0}: must be an absolute http or https URL, such as http://127.0.0.1:4566")]
    Endpoint(String),
    /// The credentials belong to another account, or could not be verified. Holds all accounts with a problem.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Identity(Vec<IdentityProblem>),
}

impl WorkSpaces {
    /// Makes the clients. Calls AWS only to verify the credentials, if the settings ask for it.
    pub async fn connect(settings: &WorkSpacesSettings) -> Result<Self, AwsConnectError> {
        check(settings)?;
        let mut clients = Clients::new(base(settings, http::client(settings)).await, settings);
        let (mut per_account, mut identities) = (HashMap::new(), Vec::new());
        for account in &settings.accounts {
            let account_clients = clients
                .account_clients(account)
                .ok_or(AwsConnectError::NoRegion(account.id))?;
            per_account.insert(account.id, account_clients.per_region);
            identities.extend(account_clients.identities);
        }
        let verified = identity::verify(identities).await.map_err(AwsConnectError::Identity)?;
        Ok(Self {
            clients: per_account.into(),
            identities: identity::own(&settings.accounts, verified).into(),
            listing_limits: ListingLimits::default(),
            fact_limits: ListingLimits::default(),
            facts: Arc::new(ImageFacts::new(&settings.clock, &settings.instruments)),
            clock: settings.clock.clone(),
            read_timeout: settings.forwarder.read_timeout,
            shared_reads: SharedReads::default(),
        })
    }
}

fn check(settings: &WorkSpacesSettings) -> Result<(), AwsConnectError> {
    let endpoints = [
        ("endpoint_url", &settings.aws.endpoint_url),
        ("sts_endpoint_url", &settings.aws.sts_endpoint_url),
    ];
    for (name, url) in endpoints {
        check_endpoint(url, || name.to_owned())?;
    }
    for account in &settings.accounts {
        check_endpoint(&account.endpoint_url, || {
            format!("account {}: endpoint_url", account.id)
        })?;
    }
    Ok(())
}

/// The message does not repeat the URL, which may contain a password.
fn check_endpoint(url: &Option<String>, name: impl FnOnce() -> String) -> Result<(), AwsConnectError> {
    let Some(url) = url else { return Ok(()) };
    match url.parse::<::http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(()),
        _ => Err(AwsConnectError::Endpoint(name())),
    }
}

/// The SDK configuration that all accounts share.
async fn base(settings: &WorkSpacesSettings, http_client: SharedHttpClient) -> SdkConfig {
    let builder = match &settings.credentials {
        BaseCredentials::Environment => {
            // With a Region, the loader does not ask the instance metadata for one.
            let region = settings.accounts.iter().find_map(|account| account.regions.first());
            let loader = aws_config::defaults(behavior()).region(region.map(aws_region));
            loader.load().await.into_builder()
        }
        BaseCredentials::Fixed {
            access_key_id,
            secret_access_key,
        } => SdkConfig::builder()
            .time_source(SharedTimeSource::default())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
                access_key_id,
                secret_access_key.expose_secret(),
                None,
            ))),
    };
    builder
        .behavior_version(behavior())
        .http_client(http_client)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(settings))
        // The attempt timeout covers the whole answer, so a stalled one ends too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .app_name(AppName::new(APP_NAME).expect("a package's name and version hold no other characters"))
        .build()
}

fn timeouts(settings: &WorkSpacesSettings) -> TimeoutConfig {
    let attempt_timeout = settings.forwarder.attempt_timeout;
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout())
        .read_timeout(attempt_timeout)
        .operation_attempt_timeout(attempt_timeout)
        .operation_timeout(attempt_timeout)
        .build()
}
