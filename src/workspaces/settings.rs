//! The settings of the AWS clients, and what they use.

use std::time::Duration;

use secrecy::SecretString;

use crate::{
    clock::Clock,
    config::{AccountConfig, AwsConfig, ForwarderConfig},
    telemetry::Instruments,
};

/// The accounts, the endpoints, the timeouts and the credentials.
#[derive(Debug, Clone)]
pub struct WorkSpacesSettings {
    /// The accounts that own images.
    pub accounts: Vec<AccountConfig>,
    /// The endpoints, and whether to verify credentials.
    pub aws: AwsConfig,
    /// The timeouts of calls and reads.
    pub forwarder: ForwarderConfig,
    /// The credentials for assuming roles, and for accounts without a role.
    pub credentials: BaseCredentials,
    /// Tells the age of what was read about images.
    pub clock: Clock,
    /// Counts reads about images.
    pub instruments: Instruments,
}

impl WorkSpacesSettings {
    /// Timeout of a connection, including TLS. It is shorter than the timeout of a call, so that an unreachable endpoint counts
    /// as *not sent*. A timeout of the call would leave the outcome unknown.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.forwarder.attempt_timeout / 3
    }
}

/// The source of the base credentials.
#[derive(Debug, Clone)]
pub enum BaseCredentials {
    /// The SDK's default chain: environment, profile, web identity, container, instance. The SDK's other variables apply too
    /// (proxies, FIPS, dual stack, `AWS_ENDPOINT_URL`), but a configured endpoint wins.
    Environment,
    /// Fixed credentials, for a simulator. Nothing is read from the environment.
    Fixed {
        /// The access key id.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: SecretString,
    },
}
