//! Makes the SDK's clients: one for each Region and endpoint, for any number of accounts.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_workspaces::{
    Client,
    config::{Builder, IdentityCache, SharedIdentityCache},
};
use aws_types::{
    origin::Origin,
    region::Region as AwsRegion,
    sdk_config::{RetryConfig, TimeoutConfig},
};
use secrecy::ExposeSecret;

use super::{
    WorkSpacesSettings,
    call::AccountClient,
    credentials::{AccountCredentials, AssumedRole, CredentialsCache},
    identity::IdentityCheck,
};
use crate::{config::AccountConfig, domain::Region};

/// The session name of assumed roles. CloudTrail shows it.
const SESSION_NAME: &str = "sharewarden";

/// Minimum number of partitions in the SDK's cache. If there are too few, it evicts credentials in use.
const MIN_CACHE_PARTITIONS: usize = 64;

/// Makes clients, and shares them between accounts.
pub(super) struct Clients<'a> {
    base: SdkConfig,
    settings: &'a WorkSpacesSettings,
    cache: SharedIdentityCache,
    workspaces: HashMap<(&'a Region, Option<&'a str>), Client>,
    cloud_trail: HashMap<(&'a Region, Option<&'a str>), aws_sdk_cloudtrail::Client>,
    roles: HashMap<&'a Region, aws_sdk_sts::Client>,
    identities: HashMap<&'a Region, aws_sdk_sts::Client>,
}

/// The clients of one account.
pub(super) struct AccountClients {
    pub(super) per_region: HashMap<Region, AccountClient>,
    /// The checks of the account's credentials in each Region, if the settings ask for them.
    pub(super) identities: Vec<IdentityCheck>,
}

impl<'a> Clients<'a> {
    pub(super) fn new(base: SdkConfig, settings: &'a WorkSpacesSettings) -> Self {
        let partitions = settings.accounts.len() + 1;
        let cache = IdentityCache::lazy()
            .load_timeout(settings.forwarder.attempt_timeout)
            .max_partitions(partitions.max(MIN_CACHE_PARTITIONS));
        Self {
            base,
            settings,
            cache: cache.build(),
            workspaces: HashMap::new(),
            cloud_trail: HashMap::new(),
            roles: HashMap::new(),
            identities: HashMap::new(),
        }
    }

    /// The clients of an account. `None`: it has no Regions.
    pub(super) fn account_clients(&mut self, account: &'a AccountConfig) -> Option<AccountClients> {
        let region = account.regions.first()?;
        let credentials = self.credentials(account, region);
        let is_checked = self.settings.aws.verify_identity;
        let checked = account.regions.iter().filter(|_| is_checked);
        let identities = checked.map(|region| IdentityCheck {
            expected: account.id,
            region: region.clone(),
            credentials: credentials.clone(),
            client: self.identities(region),
        });
        let identities = identities.collect();
        let per_region = account.regions.iter().map(|region| {
            let clients = (self.workspaces(account, region), self.cloud_trail(account, region));
            let client = AccountClient::new(account.id, region.clone(), clients.0, clients.1, credentials.clone());
            (region.clone(), client)
        });
        Some(AccountClients {
            per_region: per_region.collect(),
            identities,
        })
    }

    /// The credentials for an account's calls: those of its role, or else the base credentials, if there are any.
    fn credentials(&mut self, account: &'a AccountConfig, region: &'a Region) -> Option<AccountCredentials> {
        match &account.role_arn {
            Some(role_arn) => Some(AccountCredentials::new(self.role(role_arn, account, region))),
            None => self.base.credentials_provider().map(AccountCredentials::new),
        }
    }

    /// The WorkSpaces client for the account's endpoint in a Region.
    fn workspaces(&mut self, account: &'a AccountConfig, region: &'a Region) -> Client {
        let url = self.endpoint_url(account);
        let (base, cache) = (&self.base, &self.cache);
        let client = self.workspaces.entry((region, url)).or_insert_with(|| {
            let mut config = Builder::from(base).region(aws_region(region));
            if let Some(url) = url {
                config.set_endpoint_url(Some(url.to_owned()));
            }
            Client::from_conf(config.identity_cache(CredentialsCache(cache.clone())).build())
        });
        client.clone()
    }

    /// The CloudTrail client for a Region. A simulator of WorkSpaces simulates CloudTrail too.
    fn cloud_trail(&mut self, account: &'a AccountConfig, region: &'a Region) -> aws_sdk_cloudtrail::Client {
        let url = self.endpoint_url(account);
        let (base, cache) = (&self.base, &self.cache);
        let client = self.cloud_trail.entry((region, url)).or_insert_with(|| {
            let mut config = aws_sdk_cloudtrail::config::Builder::from(base).region(aws_region(region));
            if let Some(url) = url {
                config.set_endpoint_url(Some(url.to_owned()));
            }
            let config = config.identity_cache(CredentialsCache(cache.clone()));
            aws_sdk_cloudtrail::Client::from_conf(config.build())
        });
        client.clone()
    }

    fn endpoint_url(&self, account: &'a AccountConfig) -> Option<&'a str> {
        let url = account.endpoint_url.as_deref();
        url.or(self.settings.aws.endpoint_url.as_deref())
    }

    /// An STS client for checks of credentials. The SDK retries its calls: they happen at the start, where no other retry exists.
    fn identities(&mut self, region: &'a Region) -> aws_sdk_sts::Client {
        let (base, cache, settings) = (&self.base, &self.cache, self.settings);
        let client = self.identities.entry(region).or_insert_with(|| {
            let timeouts = base.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
            let config = aws_sdk_sts::config::Builder::from(&sts(base, settings))
                .region(aws_region(region))
                .retry_config(RetryConfig::standard())
                .timeout_config(timeouts.disable_operation_timeout().build())
                .identity_cache(CredentialsCache(cache.clone()));
            aws_sdk_sts::Client::from_conf(config.build())
        });
        client.clone()
    }

    /// Credentials that assume a role with the base credentials.
    fn role(&mut self, arn: &str, account: &AccountConfig, region: &'a Region) -> SharedCredentialsProvider {
        let (base, cache, settings) = (&self.base, &self.cache, self.settings);
        let client = self.roles.entry(region).or_insert_with(|| {
            let config = aws_sdk_sts::config::Builder::from(&sts(base, settings)).region(aws_region(region));
            aws_sdk_sts::Client::from_conf(config.identity_cache(cache.clone()).build())
        });
        let external_id = account.external_id.as_ref();
        let call = client
            .assume_role()
            .role_arn(arn)
            .role_session_name(SESSION_NAME)
            .set_external_id(external_id.map(|id| id.expose_secret().to_owned()));
        SharedCredentialsProvider::new(AssumedRole(call))
    }
}

/// The configuration for STS, which has an endpoint of its own. Without the origin, `AWS_ENDPOINT_URL` would win over it.
fn sts(config: &SdkConfig, settings: &WorkSpacesSettings) -> SdkConfig {
    let Some(url) = &settings.aws.sts_endpoint_url else {
        return config.clone();
    };
    let mut builder = config.to_builder().endpoint_url(url);
    builder.insert_origin("endpoint_url", Origin::shared_config());
    builder.build()
}

pub(super) fn aws_region(region: &Region) -> AwsRegion {
    AwsRegion::new(region.as_str().to_owned())
}
