//! A whole service for one test: its own database, simulator and server. `Client` is the generated client here, because tests
//! call without retries.

use std::{net::SocketAddr, time::Duration};

use sharewarden::{
    clock::Clock,
    config::{Config, ConfigFile},
    ledger::SigningKey,
    policy::Policy,
    server::Server,
    workspaces::BaseCredentials,
};
use sharewarden_client::proto::v1::{
    Checkpoint, GetChangeRequest, GetCheckpointRequest, GetCheckpointResponse, GrantSharePermissionRequest,
    GrantSharePermissionResponse, RevokeSharePermissionRequest, audit_service_client::AuditServiceClient, change,
    share_permission_service_client::SharePermissionServiceClient,
};
use sharewarden_simulator::{ApiCall, Effect, Fault, FaultTiming, Simulator, SimulatorSettings, sample};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::postgres::{TestDatabase, database};

/// The generated client of `SharePermissionService`.
pub type Client = SharePermissionServiceClient<Channel>;
/// The generated client of `AuditService`.
pub type AuditClient = AuditServiceClient<Channel>;

pub const ACCOUNT: &str = "111122223333";
pub const OTHER_ACCOUNT: &str = "444455556666";
pub const REGION: &str = "eu-central-1";
pub const IMAGE: &str = "wsi-basewin11";
pub const PENDING_IMAGE: &str = "wsi-pending01";
pub const RECIPIENT: &str = "000011112222";
pub const OTHER_RECIPIENT: &str = "210987654321";
pub const UPDATE: &str = "UpdateWorkspaceImagePermission";
pub const DESCRIBE: &str = "DescribeWorkspaceImagePermissions";

/// A signing key for tests only.
pub const CHECKPOINT_KEY: &str = "\"\"\"
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIeh4qG0eSyZysGiQjRRrVo2MCvlxyj6P1BZHd376qNY
-----END PRIVATE KEY-----
\"\"\"";

/// [`CHECKPOINT_KEY`], under the name in the configuration of tests.
pub fn signing_key() -> SigningKey {
    SigningKey::from_pem("sharewarden.test".parse().unwrap(), CHECKPOINT_KEY.trim_matches('"')).unwrap()
}

/// Maximum time to wait for any condition of a test.
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub async fn audit_at(address: std::net::SocketAddr) -> AuditClient {
    AuditClient::connect(format!("http://{address}")).await.unwrap()
}

/// Adds latency to a call and to its effect.
pub fn late(milliseconds: u64) -> Effect {
    let moment = FaultTiming::BeforeApplying;
    Effect::Latency { milliseconds, moment }
}

/// A running service with its database and simulator.
pub struct Stack {
    pub simulator: Simulator,
    pub pool: PgPool,
    pub address: SocketAddr,
    pub database: TestDatabase,
    server: Option<RunningServer>,
}

pub struct RunningServer {
    pub address: SocketAddr,
    pub policy: Policy,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningServer {
    /// Starts a server and waits until it serves.
    pub async fn start(config: &Config, clock: Clock) -> Self {
        Self::start_watching(config, None, clock).await
    }

    /// Starts a server that reads this file, which the configuration came from, again.
    pub async fn start_watching(config: &Config, file: Option<ConfigFile>, clock: Clock) -> Self {
        let listener = TcpListener::bind(config.server.listen).await.unwrap();
        let server = Server::build(config, credentials(), clock, listener).await.unwrap();
        let server = server.with_config_file(file);
        let (address, policy) = (server.address(), server.policy());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        Self {
            address,
            policy,
            stop,
            task,
        }
    }

    pub async fn client(&self) -> Client {
        Client::connect(format!("http://{}", self.address)).await.unwrap()
    }

    /// Stops the server. Panics if that fails.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .expect("the server stops in time")
            .unwrap();
    }
}

impl Stack {
    /// A service with short retry intervals.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// A service with more configuration: TOML lines with full key names.
    pub async fn start_with(more: &str) -> Self {
        Self::start_on(more, Clock::system()).await
    }

    /// A service with this clock.
    pub async fn start_on(more: &str, clock: Clock) -> Self {
        Self::start_simulating(sample(), more, clock).await
    }

    /// A service with a simulator of these settings.
    pub async fn start_simulating(settings: SimulatorSettings, more: &str, clock: Clock) -> Self {
        let (database, simulator) = tokio::join!(database(), simulator_with(settings));
        let pool = PgPool::connect(database.url()).await.unwrap();
        let mut stack = Self {
            simulator,
            pool,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            database,
            server: None,
        };
        stack.start_server(more, clock).await;
        stack
    }

    /// Starts a server that replaces the previous one.
    pub async fn start_server(&mut self, more: &str, clock: Clock) {
        let server = RunningServer::start(&self.config(more), clock).await;
        self.address = server.address;
        self.server = Some(server);
    }

    /// Starts another replica with the same database and simulator.
    pub async fn second_server(&self, more: &str) -> RunningServer {
        RunningServer::start(&self.config(more), Clock::system()).await
    }

    /// The configuration of a server with this database and simulator.
    pub fn config(&self, more: &str) -> Config {
        config(self.database.url(), &self.simulator.url(), more)
    }

    pub fn policy(&self) -> &Policy {
        &self.server.as_ref().unwrap().policy
    }

    pub async fn client(&self) -> Client {
        Client::connect(format!("http://{}", self.address)).await.unwrap()
    }

    /// Stops the server. Panics if that fails.
    pub async fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Stops everything. Panics if that fails.
    pub async fn end(mut self) {
        self.stop_server().await;
        self.pool.close().await;
        self.simulator.shutdown().await;
    }

    /// The accounts that the simulator shares the image with.
    pub fn shared_with(&self) -> Vec<String> {
        self.simulator
            .shared_accounts(ACCOUNT, REGION, IMAGE)
            .into_iter()
            .collect()
    }

    /// Injects a fault into the next `calls` calls of an operation.
    pub fn fault(&self, operation: &str, calls: u64, effect: Effect) {
        self.simulator
            .inject(Fault::new(effect).operation(operation).calls(calls))
            .unwrap();
    }

    /// Keeps every change pending: AWS throttles all updates until [`release`](Self::release).
    pub fn hold(&self) {
        let throttle = Effect::Throttle {
            http_status: 400,
            retry_after_seconds: None,
        };
        self.fault(UPDATE, u64::MAX, throttle);
    }

    pub fn release(&self) {
        self.simulator.clear_faults();
    }

    /// Changes history as a superuser, bypassing the triggers.
    pub async fn tamper(&self, statement: &str) {
        let mut connection = self.pool.acquire().await.unwrap();
        let set_role = "SET session_replication_role = replica";
        sqlx::query(set_role).execute(&mut *connection).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await;
        assert!(done.unwrap().rows_affected() > 0, "{statement}");
        let reset_role = "RESET session_replication_role";
        sqlx::query(reset_role).execute(&mut *connection).await.unwrap();
    }

    /// Waits until the latest checkpoint covers `size` entries, and returns the response.
    pub async fn checkpoint(&self, account: &str, size: u64) -> GetCheckpointResponse {
        let mut client = self.audit().await;
        let request = GetCheckpointRequest {
            account_id: account.into(),
            tree_size: 0,
        };
        let covered = async {
            loop {
                match client.get_checkpoint(as_tester(request.clone())).await {
                    Ok(answer) => {
                        let answer = answer.into_inner();
                        if answer.checkpoint.as_ref().unwrap().tree_size >= size {
                            return answer;
                        }
                    }
                    Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, covered)
            .await
            .expect("a checkpoint is signed in time")
    }

    pub async fn audit(&self) -> AuditClient {
        audit_at(self.address).await
    }

    /// Grants to `count` recipients, numbered from `first`. Each grant makes two entries.
    pub async fn grant_many(&self, first: usize, count: usize) {
        let mut client = self.client().await;
        for number in first..first + count {
            client
                .grant_share_permission(as_tester(nth_grant(number)))
                .await
                .unwrap();
        }
    }

    /// The checkpoint of [`checkpoint`](Self::checkpoint).
    pub async fn checkpoint_of(&self, account: &str, size: u64) -> Checkpoint {
        self.checkpoint(account, size).await.checkpoint.unwrap()
    }

    /// The entries of a ledger, byte for byte.
    pub async fn lines(&self, account: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT entry FROM audit_entry WHERE account_id = $1 ORDER BY log_index")
            .bind(account)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The id of the only change.
    pub async fn only_change(&self) -> Uuid {
        sqlx::query_scalar("SELECT change_id FROM change")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub fn calls_of(&self, operation: &str) -> usize {
        self.simulator
            .calls()
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    }

    /// The entries of a ledger as JSON values.
    pub async fn ledger(&self, account: &str) -> Vec<serde_json::Value> {
        let lines = self.lines(account).await;
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The kinds of the entries of an account's ledger.
    pub async fn kinds(&self, account: &str) -> Vec<String> {
        self.ledger(account)
            .await
            .iter()
            .map(|entry| entry["kind"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until a change has ended.
    pub async fn ended(&self, change_id: &str) -> sharewarden_client::proto::v1::Change {
        let mut client = self.client().await;
        let request = GetChangeRequest {
            account_id: ACCOUNT.into(),
            change_id: change_id.into(),
        };
        let end = async {
            loop {
                let change = client
                    .get_change(as_tester(request.clone()))
                    .await
                    .unwrap()
                    .into_inner()
                    .change
                    .unwrap();
                if change.state() != change::State::Pending {
                    return change;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, end)
            .await
            .expect("the change ends in time")
    }

    /// Waits until the simulator has received `count` calls of an operation.
    pub async fn wait_for_calls(&self, operation: &str, count: usize) {
        let reached = self
            .simulator
            .wait_for_calls(|calls| calls.iter().filter(|call| call.operation == operation).count() >= count);
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .expect("the calls are made in time");
    }
}

/// Waits until a counting query returns `count`.
pub async fn until(pool: &PgPool, query: &'static str, count: i64) {
    let reached = async {
        while sqlx::query_scalar::<_, i64>(query).fetch_one(pool).await.unwrap() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached).await.expect(query);
}

/// A simulator with the sample inventory.
pub async fn simulator() -> Simulator {
    simulator_with(sample()).await
}

async fn simulator_with(settings: SimulatorSettings) -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, settings).await.unwrap()
}

/// A configuration for tests: short intervals, and `more` on top.
pub fn config(database: &str, simulator: &str, more: &str) -> Config {
    Config::from_toml(&config_text(database, simulator, more)).unwrap()
}

pub fn config_text(database: &str, simulator: &str, more: &str) -> String {
    let defaults = [
        ("server.listen", "\"127.0.0.1:0\""),
        ("server.max_wait", "\"50s\""),
        // Most tests have one principal.
        ("server.calls_per_second_per_principal", "5000"),
        ("auth.modes", "[\"trusted-header\"]"),
        (
            "roles",
            "[{ principal = \"*\", roles = [\"viewer\", \"operator\", \"auditor\"] }]",
        ),
        ("forwarder.backoff_base", "\"5ms\""),
        ("forwarder.backoff_cap", "\"50ms\""),
        ("forwarder.recover_every", "\"100ms\""),
        ("forwarder.min_calls_per_second", "500"),
        ("forwarder.circuit_cool_down", "\"20ms\""),
        ("forwarder.circuit_cool_down_cap", "\"200ms\""),
        ("forwarder.late_effect_window", "\"300ms\""),
        // It makes calls of its own.
        ("drift.enabled", "false"),
        ("log.filter", "\"warn\""),
        ("checkpoint.name", "\"sharewarden.test\""),
        ("checkpoint.every", "\"1s\""),
        ("checkpoint.key", CHECKPOINT_KEY),
    ];
    let defaults: String = defaults
        .iter()
        .filter(|(key, _)| !more.contains(&format!("{key} =")))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    format!(
        "{defaults}{more}
database.url = \"{database}\"
aws.endpoint_url = \"{simulator}\"
aws.sts_endpoint_url = \"{simulator}\"

[[accounts]]
id = \"{ACCOUNT}\"
regions = [\"{REGION}\", \"us-east-1\"]
share_with = \"anyone\"
role_arn = \"arn:aws:iam::{ACCOUNT}:role/sharewarden\"

[[accounts]]
id = \"{OTHER_ACCOUNT}\"
regions = [\"{REGION}\"]
share_with = [\"{OTHER_RECIPIENT}\"]
role_arn = \"arn:aws:iam::{OTHER_ACCOUNT}:role/sharewarden\"
"
    )
}

pub fn credentials() -> BaseCredentials {
    BaseCredentials::Fixed {
        access_key_id: "AKIA111122223333".into(),
        secret_access_key: "any".to_owned().into(),
    }
}

/// False for a read of an image for the warnings of a grant. It needs no lease, and is not counted with the calls for changes.
pub fn is_for_change(call: &ApiCall) -> bool {
    call.operation != "DescribeWorkspaceImages"
}

/// A request of the principal tester@example.com.
pub fn as_tester<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", "tester@example.com".parse().unwrap());
    request
}

/// A grant to the default recipient.
pub fn grant() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
        reason: "a test".into(),
        ..Default::default()
    }
}

/// A grant in the other account, to its recipient.
pub fn other_accounts_grant() -> GrantSharePermissionRequest {
    let mut request = grant();
    request.account_id = OTHER_ACCOUNT.into();
    request.image_id = "wsi-finance01".into();
    request.shared_account_id = OTHER_RECIPIENT.into();
    request
}

/// A grant to recipient number `number`.
pub fn nth_grant(number: usize) -> GrantSharePermissionRequest {
    let mut request = grant();
    request.shared_account_id = format!("5{number:011}");
    request
}

/// The revoke of [`grant`].
pub fn revoke() -> RevokeSharePermissionRequest {
    RevokeSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
        reason: "a test".into(),
        ..Default::default()
    }
}

/// Grants in a background task.
pub fn spawn_grant(
    mut client: Client,
    request: GrantSharePermissionRequest,
) -> JoinHandle<Result<GrantSharePermissionResponse, Status>> {
    tokio::spawn(async move { Ok(client.grant_share_permission(as_tester(request)).await?.into_inner()) })
}

/// The reason of an error.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"))
        .reason
}

/// A value in the metadata of an error.
pub fn detail(status: &Status, key: &str) -> String {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    info.metadata
        .get(key)
        .unwrap_or_else(|| panic!("no {key} in {info:?}"))
        .clone()
}
