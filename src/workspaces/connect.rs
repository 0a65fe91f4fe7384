//! Makes one client per account and Region. An account's clients share its credentials; all clients share one pool.

use std::collections::HashMap;

use aws_config::{BehaviorVersion, SdkConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_workspaces::Client;
use aws_types::{
    app_name::AppName,
    origin::Origin,
    region::Region as AwsRegion,
    sdk_config::{RetryConfig, SharedHttpClient, SharedTimeSource, StalledStreamProtectionConfig},
};
use secrecy::ExposeSecret;

use super::{
    AccountSettings, BaseCredentials, IdentityProblem, Settings, WorkSpaces, http,
    identity::{self, Identity},
    listings::Listings,
    readings::Readings,
};
use crate::domain::{AccountId, Region};

/// Shows in every user agent, as `app/sharewarden-<version>`: the SDK takes no slash there. CloudTrail records it.
const APP_NAME: &str = concat!("sharewarden-", env!("CARGO_PKG_VERSION"));

/// Said to STS; CloudTrail shows it in the name of the assumed role.
const SESSION_NAME: &str = "sharewarden";

/// Pins the SDK's defaults, so that an update of it changes none silently.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Why there is nothing to call AWS with. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An account without Regions.
    #[error("account {0}: no Region is configured")]
    NoRegion(AccountId),
    /// An endpoint that no request could be sent to.
    #[error("{0}: must be an absolute http or https URL, such as http://127.0.0.1:4566")]
    Endpoint(String),
    /// Credentials that are not the account's, or that could not be verified. All accounts concerned.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Identity(Vec<IdentityProblem>),
}

impl WorkSpaces {
    /// Makes the clients. Calls AWS only to verify whose credentials they have, if the settings ask for that.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        check(settings)?;
        let base = base(settings, http::client(settings)).await;
        let mut clients = HashMap::new();
        let mut identities = Vec::new();
        for account in &settings.accounts {
            let region = account.regions.first().ok_or(ConnectError::NoRegion(account.id))?;
            let config = for_account(&base, settings, account, region).await;
            identities.push(Identity::new(account.id, &sts(&config, settings)));
            let per_region = account
                .regions
                .iter()
                .map(|region| (region.clone(), client(&config, settings, account, region)));
            clients.insert(account.id, per_region.collect());
        }
        if settings.verify_identity {
            identity::verify(identities).await.map_err(ConnectError::Identity)?;
        }
        Ok(Self {
            clients: clients.into(),
            listings: Listings::default(),
            read_timeout: settings.read_timeout,
            readings: Readings::default(),
        })
    }
}

fn check(settings: &Settings) -> Result<(), ConnectError> {
    let endpoints = [
        ("endpoint_url", &settings.endpoint_url),
        ("sts_endpoint_url", &settings.sts_endpoint_url),
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

/// The URL itself is not repeated: it may hold a password.
fn check_endpoint(url: &Option<String>, name: impl FnOnce() -> String) -> Result<(), ConnectError> {
    let Some(url) = url else { return Ok(()) };
    match url.parse::<::http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(()),
        _ => Err(ConnectError::Endpoint(name())),
    }
}

/// What all accounts have in common.
async fn base(settings: &Settings, http_client: SharedHttpClient) -> SdkConfig {
    let builder = match &settings.credentials {
        BaseCredentials::Environment => {
            // Naming a Region keeps the loader from asking the instance for one.
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
        // The attempt timeout spans the whole answer, a stalled one too.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .app_name(AppName::new(APP_NAME).expect("a package's name and version hold no other characters"))
        .build()
}

fn timeouts(settings: &Settings) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.attempt_timeout)
        .operation_attempt_timeout(settings.attempt_timeout)
        .operation_timeout(settings.attempt_timeout)
        .build()
}

/// The base with the account's own credentials, and a cache of its own for them.
async fn for_account(base: &SdkConfig, settings: &Settings, account: &AccountSettings, region: &Region) -> SdkConfig {
    let config = base.to_builder().region(aws_region(region));
    let config = match &account.role_arn {
        Some(role_arn) => config.credentials_provider(assume(role_arn, base, settings, account, region).await),
        None => config,
    };
    let cache = aws_sdk_workspaces::config::IdentityCache::lazy().load_timeout(settings.attempt_timeout);
    config.identity_cache(cache.build()).build()
}

/// Assumes the account's role with the base credentials. Not tried again here either: the call that needs the credentials
/// is not sent without them, and the forwarder tries it again.
async fn assume(
    role_arn: &str,
    base: &SdkConfig,
    settings: &Settings,
    account: &AccountSettings,
    region: &Region,
) -> SharedCredentialsProvider {
    let mut builder = AssumeRoleProvider::builder(role_arn)
        .configure(&sts(base, settings))
        .region(aws_region(region))
        .session_name(SESSION_NAME);
    if let Some(external_id) = &account.external_id {
        builder = builder.external_id(external_id.expose_secret());
    }
    SharedCredentialsProvider::new(builder.build().await)
}

/// The same for STS, which has an endpoint of its own. Without the origin, `AWS_ENDPOINT_URL` would win over it.
fn sts(config: &SdkConfig, settings: &Settings) -> SdkConfig {
    let Some(url) = &settings.sts_endpoint_url else {
        return config.clone();
    };
    let mut builder = config.to_builder().endpoint_url(url);
    builder.insert_origin("endpoint_url", Origin::shared_config());
    builder.build()
}

fn client(config: &SdkConfig, settings: &Settings, account: &AccountSettings, region: &Region) -> Client {
    let mut builder = aws_sdk_workspaces::config::Builder::from(config).region(aws_region(region));
    if let Some(url) = account.endpoint_url.as_ref().or(settings.endpoint_url.as_ref()) {
        builder.set_endpoint_url(Some(url.clone()));
    }
    Client::from_conf(builder.build())
}

fn aws_region(region: &Region) -> AwsRegion {
    AwsRegion::new(region.as_str().to_owned())
}
