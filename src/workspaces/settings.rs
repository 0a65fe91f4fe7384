//! What to connect to, and with whose credentials.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::{AccountConfig, AwsConfig, ForwarderConfig};

/// What to connect to, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct WorkSpacesSettings {
    /// The accounts that own images.
    pub accounts: Vec<AccountConfig>,
    /// How AWS is reached.
    pub aws: AwsConfig,
    /// How long calls and reads may take.
    pub forwarder: ForwarderConfig,
    /// What roles are assumed with, and what accounts without a role are called with.
    pub credentials: BaseCredentials,
}

impl WorkSpacesSettings {
    /// How long making a connection may take, TLS included. It is less than a call may take: it is what makes an unreachable
    /// endpoint *not sent*, instead of a timeout that leaves the outcome open.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.forwarder.attempt_timeout / 3
    }
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
