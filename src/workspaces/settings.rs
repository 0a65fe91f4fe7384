//! What to connect to, as plain data. The composition root makes it from the config.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::{AccountId, Region};

/// What to connect to, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The accounts that own images.
    pub accounts: Vec<AccountSettings>,
    /// Where WorkSpaces is, if not at AWS: a simulator. Does not move STS.
    pub endpoint_url: Option<String>,
    /// Where STS is, if not at AWS.
    pub sts_endpoint_url: Option<String>,
    /// What roles are assumed with, and what accounts without a role are called with.
    pub credentials: BaseCredentials,
    /// Ask STS at the start whose credentials each account has, and refuse those of another account.
    pub verify_identity: bool,
    /// How long making a connection may take, TLS included. Keep it under `attempt_timeout`: it is what makes an unreachable
    /// endpoint *not sent*, instead of a timeout that leaves the outcome open.
    pub connect_timeout: Duration,
    /// How long one call may take, from getting credentials to the end of the answer.
    pub attempt_timeout: Duration,
    /// How long a read may take over all of its pages, each of which is a call.
    pub read_timeout: Duration,
}

/// An account that owns images.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// The account.
    pub id: AccountId,
    /// The Regions of its images. STS is asked in the first.
    pub regions: Vec<Region>,
    /// The role to assume; none: the base credentials are the account's own.
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for as `sts:ExternalId`.
    pub external_id: Option<SecretString>,
    /// Where WorkSpaces is for this account, if not where it is for the others.
    pub endpoint_url: Option<String>,
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub enum BaseCredentials {
    /// The SDK's default chain: environment, profile, web identity, container, instance. The environment's other words on
    /// how to reach AWS hold too (proxies, FIPS, dual stack, `AWS_ENDPOINT_URL`), but an endpoint named here wins over it.
    Environment,
    /// These, for a simulator. Then nothing at all is read from the environment.
    Fixed {
        /// The access key.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: SecretString,
    },
}
