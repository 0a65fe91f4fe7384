//! One validated, typed configuration: a TOML file, overridden by the environment, overridden by `--set`.
//!
//! [`Config`] holds it. An unknown key is an error, and so is a value that breaks a rule; the error names the key. The
//! environment variable `SHAREWARDEN__DATABASE__URL` is the key `database.url`.

mod auth;
mod checkpoint;
mod database_url;
mod denials;
mod drift;
mod error;
mod file;
mod parse;
mod policy;
mod rules;
mod telemetry;
mod tls;

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, Region};

pub use auth::{AuthConfig, AuthMode, JwtConfig, Role, RoleConfig};
pub use checkpoint::CheckpointConfig;
pub use database_url::{DatabaseUrl, DatabaseUrlProblem};
pub use denials::DenialsConfig;
pub use drift::DriftConfig;
pub use error::ConfigError;
pub use file::ConfigFile;
pub use policy::{GroupConfig, PolicyConfig};
pub use rules::Problem;
pub use telemetry::{AdminConfig, TelemetryConfig};
pub use tls::{ClientAuth, TlsConfig};

/// The prefix of environment variables.
const ENVIRONMENT: &str = "SHAREWARDEN";

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The RPC port.
    #[serde(default)]
    pub server: ServerConfig,
    /// The audit store in Postgres.
    pub database: DatabaseConfig,
    /// Authentication of callers.
    pub auth: AuthConfig,
    /// Roles of principals. What no entry allows is refused.
    #[serde(default)]
    pub roles: Vec<RoleConfig>,
    /// Groups of principals and of accounts, for policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
    /// The policy for grants and revokes.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// Refusals by the policy on record.
    #[serde(default)]
    pub denials: DenialsConfig,
    /// The committer, which writes changes to Postgres in batches.
    #[serde(default)]
    pub committer: CommitterConfig,
    /// The forwarder, which makes the changes in AWS.
    #[serde(default)]
    pub forwarder: ForwarderConfig,
    /// The comparison of what AWS holds with what the ledger says.
    #[serde(default)]
    pub drift: DriftConfig,
    /// The connection to AWS.
    #[serde(default)]
    pub aws: AwsConfig,
    /// Signed checkpoints of the ledgers.
    pub checkpoint: CheckpointConfig,
    /// The log, on standard error.
    #[serde(default)]
    pub log: LogConfig,
    /// Traces and metrics for a collector.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// The port of probes and Prometheus.
    #[serde(default)]
    pub admin: AdminConfig,
    /// The accounts whose images may be shared.
    pub accounts: Vec<AccountConfig>,
}

/// The RPC port.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The address to listen on; port 0 takes any free port. Default `127.0.0.1:7443`.
    pub listen: SocketAddr,
    /// Maximum time that a grant or revoke waits for its end. A caller's shorter deadline wins. Default 30s.
    #[serde(with = "parse::duration")]
    pub max_wait: Duration,
    /// The grace period of a shutdown. In its first half, calls to AWS go on; then work that has not started is given back to
    /// other replicas. Default 20s.
    #[serde(with = "parse::duration")]
    pub shutdown_grace: Duration,
    /// Maximum connections. If all are in use, a new one takes the place of a connection without an admitted call. One principal
    /// keeps at most half of them. Default 1024.
    pub max_connections: usize,
    /// Maximum concurrent calls on one connection (HTTP/2's concurrent streams); the client waits with further ones. Default
    /// 1000.
    pub max_calls_per_connection: u32,
    /// Maximum concurrent calls; further ones are refused as OVERLOADED, at once. Default 4096.
    pub max_calls: usize,
    /// Maximum concurrent watches and exports; further ones are refused as OVERLOADED. Default 1024.
    pub max_open_streams: usize,
    /// Maximum concurrent watches and exports of one principal; further ones are refused as OVERLOADED.
    /// 1..`max_open_streams`. Default 128.
    pub max_open_streams_per_principal: usize,
    /// Maximum concurrent calls and open streams of one principal; further ones are refused as OVERLOADED. 1..1000000.
    /// Default 2048.
    pub max_calls_per_principal: usize,
    /// Maximum calls a second of one principal, and maximum calls in a burst after a pause. Further ones are refused as
    /// OVERLOADED, with a retry delay. 1..1000000. Default 500.
    pub calls_per_second_per_principal: u32,
    /// Maximum size of a request message in bytes, also after decompression. 1024..4194304. Default 65536.
    pub max_message_size: usize,
    /// Maximum size of the metadata of a call in bytes, as HTTP/2 counts it. 4096..1048576. Default 16384.
    pub max_header_size: u32,
    /// The client must complete the TLS handshake and send the HTTP/2 preface within this time. 100ms..1m. Default 10s.
    #[serde(with = "parse::duration")]
    pub handshake_timeout: Duration,
    /// Time between two keepalive pings to a client. 1s..1h. Default 1m.
    #[serde(with = "parse::duration")]
    pub keepalive_interval: Duration,
    /// How long a client may take to answer a ping; then its connection is closed. 1s..1h. Default 20s.
    #[serde(with = "parse::duration")]
    pub keepalive_timeout: Duration,
    /// Maximum memory in bytes of all pages that are being read or that their clients have not taken yet, lists and streams
    /// together. A list that does not fit within a second is refused as OVERLOADED, and a stream waits.
    /// 4194304..17179869184. Default 67108864.
    pub max_unsent_bytes: usize,
    /// The part of `max_unsent_bytes` that one principal may use. 4194304..`max_unsent_bytes`. Default 16777216.
    pub max_unsent_bytes_per_principal: usize,
    /// How long a client may take nothing of an answer that is ready. Then its stream is reset, or its connection is closed.
    /// 100ms..1h. Default 15s.
    #[serde(with = "parse::duration")]
    pub unread_timeout: Duration,
    /// The web origins whose pages may call by gRPC-Web, such as `https://audit.example.com`. Default none.
    pub allowed_origins: Vec<String>,
    /// TLS. Without it, the service listens on loopback addresses only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7443)),
            max_wait: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(20),
            max_connections: 1024,
            max_calls_per_connection: 1000,
            max_calls: 4096,
            max_open_streams: 1024,
            max_open_streams_per_principal: 128,
            max_calls_per_principal: 2048,
            calls_per_second_per_principal: 500,
            max_message_size: 64 * 1024,
            max_header_size: 16 * 1024,
            handshake_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            max_unsent_bytes: 64 * 1024 * 1024,
            max_unsent_bytes_per_principal: 16 * 1024 * 1024,
            unread_timeout: Duration::from_secs(15),
            allowed_origins: Vec::new(),
            tls: None,
        }
    }
}

/// The audit store in Postgres.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A `postgres://` URL with one host. `/`, `?`, `#`, `@` and `%` in the user or the password are percent-encoded. Secret.
    #[serde(serialize_with = "parse::hidden")]
    pub url: SecretString,
    /// Maximum connections, including those of the committer's lanes. Default 16.
    #[serde(default = "DatabaseConfig::max_connections")]
    pub max_connections: u32,
    /// Timeout of waiting for a free connection. Default 2s.
    #[serde(default = "DatabaseConfig::acquire_timeout", with = "parse::duration")]
    pub acquire_timeout: Duration,
    /// Timeout of a statement; half of it for waiting for locks. Default 5s.
    #[serde(default = "DatabaseConfig::statement_timeout", with = "parse::duration")]
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    fn max_connections() -> u32 {
        16
    }

    fn acquire_timeout() -> Duration {
        Duration::from_secs(2)
    }

    fn statement_timeout() -> Duration {
        Duration::from_secs(5)
    }
}

/// The committer, which writes changes to Postgres in batches.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommitterConfig {
    /// Number of lanes, each with a connection of its own. Default 1.
    pub lanes: usize,
    /// Maximum queued commands per lane; further ones are refused as OVERLOADED. Default 4096.
    pub queue: usize,
    /// Maximum commands in a transaction. Default 256.
    pub max_batch: usize,
    /// How long a batch is retried, and how long a command waits for a lock of another session. At least
    /// `database.statement_timeout`. Default 10s.
    #[serde(with = "parse::duration")]
    pub commit_timeout: Duration,
}

impl Default for CommitterConfig {
    fn default() -> Self {
        Self {
            lanes: 1,
            queue: 4096,
            max_batch: 256,
            commit_timeout: Duration::from_secs(10),
        }
    }
}

/// The forwarder, which makes the changes in AWS.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwarderConfig {
    /// Timeout of one call to AWS, from getting credentials to the end of the answer. Default 10s.
    #[serde(with = "parse::duration")]
    pub attempt_timeout: Duration,
    /// Timeout of reading the state back from AWS, over all pages (25 accounts each). Each page is a call. Default 15s.
    #[serde(with = "parse::duration")]
    pub read_timeout: Duration,
    /// How long a replica may work on a permission before another one may take over. At least `attempt_timeout`, `read_timeout`
    /// and `lease_margin` together; at most 10m. Default 30s.
    #[serde(with = "parse::duration")]
    pub lease: Duration,
    /// A call starts only if `attempt_timeout` and this time are left of the lease. Default 2s.
    #[serde(with = "parse::duration")]
    pub lease_margin: Duration,
    /// How long an unresolved call may still take effect, that is, a call to AWS whose result was not seen. During this time, no
    /// opposite call is made, and the change is not recorded as failed. 1ms to 10m. Default 30s.
    #[serde(with = "parse::duration")]
    pub late_effect_window: Duration,
    /// A change is retried until this time after its acceptance. Default 10m.
    #[serde(with = "parse::duration")]
    pub give_up_after: Duration,
    /// Maximum first delay between attempts; it doubles with each attempt. Default 200ms.
    #[serde(with = "parse::duration")]
    pub backoff_base: Duration,
    /// Maximum delay between attempts. Default 20s.
    #[serde(with = "parse::duration")]
    pub backoff_cap: Duration,
    /// Maximum changes of one account and Region in work at the same time. 1..10000. Default 256.
    pub max_in_flight: usize,
    /// Maximum changes of one account and Region in work, or waiting for their turn or next attempt. Further ones are refused as
    /// OVERLOADED. 1..10000000. Default 20000.
    pub max_backlog: usize,
    /// Maximum calls a second to one account and Region, read-backs included. Calls start at this rate, because AWS documents no
    /// limit; throttling lowers it. 1..1000000. Default 10000.
    pub calls_per_second: u32,
    /// The lowest rate of calls a second to one account and Region, however much AWS throttles. 1..`calls_per_second`. Default 1.
    pub min_calls_per_second: u32,
    /// Maximum calls that start at once after a pause, while AWS does not throttle. 1..1000000. Default 1000.
    pub burst: u32,
    /// After this number of consecutive calls without an answer, an account and Region gets no calls for a cool-down. Then one
    /// call probes it. 1..1000000. Default 10.
    pub circuit_failures: u32,
    /// The first cool-down; it doubles while AWS does not answer. At least 1ms. Default 1s.
    #[serde(with = "parse::duration")]
    pub circuit_cool_down: Duration,
    /// Maximum cool-down. At least `circuit_cool_down`. Default 30s.
    #[serde(with = "parse::duration")]
    pub circuit_cool_down_cap: Duration,
    /// How often to search for changes that no replica works on. Default 2s.
    #[serde(with = "parse::duration")]
    pub recover_every: Duration,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(15),
            lease: Duration::from_secs(30),
            lease_margin: Duration::from_secs(2),
            late_effect_window: Duration::from_secs(30),
            give_up_after: Duration::from_secs(600),
            backoff_base: Duration::from_millis(200),
            backoff_cap: Duration::from_secs(20),
            max_in_flight: 256,
            max_backlog: 20_000,
            calls_per_second: 10_000,
            min_calls_per_second: 1,
            burst: 1000,
            circuit_failures: 10,
            circuit_cool_down: Duration::from_secs(1),
            circuit_cool_down_cap: Duration::from_secs(30),
            recover_every: Duration::from_secs(2),
        }
    }
}

/// The connection to AWS. Credentials come from the AWS SDK's default chain: environment, profile, web identity, instance.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// The URL of WorkSpaces and CloudTrail, for a simulator. It does not change the URL of STS. Default: AWS's own endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The URL of STS, for a simulator. Default: AWS's own endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_endpoint_url: Option<String>,
    /// At the start, verify with GetCallerIdentity in each Region that the credentials belong to each account. Default true.
    pub verify_identity: bool,
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            sts_endpoint_url: None,
            verify_identity: true,
        }
    }
}

/// The log, on standard error. Logging never blocks: if the reader of the log is too slow, lines are dropped and counted.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `human` or `json`. Default json.
    pub format: LogFormat,
    /// What to log, as `tracing` filter directives. Default `info`.
    pub filter: String,
    /// A warning is logged, once, if a change is pending for longer than this. Default 5m.
    #[serde(with = "parse::duration")]
    pub pending_warning_after: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".into(),
            pending_warning_after: Duration::from_secs(300),
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// An account whose images may be shared.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Twelve digits, as a text: leading zeros count.
    pub id: AccountId,
    /// The served Regions. At least one. STS is called in the first one.
    pub regions: Vec<Region>,
    /// The accounts that may receive images: `"anyone"`, or a list of accounts and of names of groups of accounts
    /// (`groups.name`). A name in it begins with a letter.
    #[serde(with = "parse::share_with")]
    pub share_with: ShareWithConfig,
    /// What to do with a share that AWS has and the ledger does not: `report` it, or also `revoke` it. Nothing is revoked
    /// before an operator confirms a baseline (`sharewarden drift baseline confirm`), and after a restore or a failover of the
    /// database the baseline must be confirmed again. Default `report`.
    #[serde(default)]
    pub on_drift: OnDrift,
    /// The role to assume for this account, such as `arn:aws:iam::111122223333:role/sharewarden`. It must belong to the account.
    /// Default: none; the service's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The external id (`sts:ExternalId`) that the role's trust policy requires. Secret.
    #[serde(
        default,
        serialize_with = "parse::hidden_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub external_id: Option<SecretString>,
    /// The URL of WorkSpaces and CloudTrail for this account. Default: `aws.endpoint_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

/// What to do with an unrecorded share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// Report it.
    #[default]
    Report,
    /// Report it, and revoke it.
    Revoke,
}

/// The accounts that may receive an account's images, as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareWithConfig {
    /// Any account.
    Anyone,
    /// These accounts, and those of these groups.
    Only {
        /// The accounts.
        accounts: BTreeSet<AccountId>,
        /// The names of the groups.
        groups: BTreeSet<String>,
    },
}

/// The accounts that may receive an account's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareWith {
    /// Any account.
    Anyone,
    /// These accounts only.
    Only(BTreeSet<AccountId>),
}

impl Config {
    /// Reads the file (if one is given), the environment and the overrides, and checks the rules.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = file.map(file::read).transpose()?;
        Self::of(built(file.zip(text.as_deref()), overrides)?)
    }

    fn of(built: config::Config) -> Result<Self, ConfigError> {
        built.try_deserialize::<Self>()?.checked()
    }

    /// Reads a TOML text, without the environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        config::Config::builder()
            .add_source(source)
            .build()?
            .try_deserialize::<Self>()?
            .checked()
    }

    /// The accounts that may receive an account's images: also those of groups.
    pub fn recipients(&self, account: &AccountConfig) -> ShareWith {
        let ShareWithConfig::Only { accounts, groups } = &account.share_with else {
            return ShareWith::Anyone;
        };
        let named = self.groups.iter().filter(|group| groups.contains(&group.name));
        let of_groups = named.flat_map(|group| &group.accounts);
        ShareWith::Only(accounts.iter().chain(of_groups).copied().collect())
    }

    /// The configuration as TOML, with secrets hidden.
    ///
    /// # Errors
    /// Returns none for a loaded configuration.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let problems = rules::problems(&self);
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(ConfigError::Broken(problems))
        }
    }
}

/// The values of a file (its path and its text), of the environment and of the overrides.
fn built(file: Option<(&Path, &str)>, overrides: &[String]) -> Result<config::Config, ConfigError> {
    let mut builder = config::Config::builder();
    if let Some((_, text)) = file {
        builder = builder.add_source(config::File::from_str(text, config::FileFormat::Toml));
    }
    let environment = config::Environment::with_prefix(ENVIRONMENT)
        .prefix_separator("__")
        .separator("__")
        // Tools such as compose pass variables that are not set as empty ones.
        .ignore_empty(true)
        .try_parsing(true);
    builder = builder.add_source(environment);
    for (number, set) in overrides.iter().enumerate() {
        let (key, value) = set.split_once('=').ok_or(ConfigError::Override(number + 1))?;
        builder = builder.set_override(key, value)?;
    }
    let path = file.map(|(path, _)| path);
    builder.build().map_err(|error| ConfigError::of(&error, path))
}
