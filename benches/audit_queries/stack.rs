//! A private Postgres with a loaded history, and a server on it.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::ExposeSecret;
use sharewarden::{
    clock::Clock,
    config::Config,
    dev::postgres::{Cluster, ClusterSettings, DATABASE},
    ledger::key::SigningKey,
    server::{self, Server},
    workspaces::BaseCredentials,
};
use sharewarden_client::{AuditStub, ConnectOptions, ServiceChannel, ShareStub, Stub, open_channel};
use sharewarden_testkit::load;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic_health::pb::health_client::HealthClient;

/// An account without history. It may share with no account, so every grant is one DENIED entry.
pub(crate) const EMPTY_ACCOUNT: &str = "999900000000";

pub(crate) struct Stack {
    pub(crate) pool: PgPool,
    pub(crate) key: SigningKey,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    cluster: Cluster,
    /// The folder of the database, unless it is kept.
    folder: Option<tempfile::TempDir>,
}

impl Stack {
    /// Loads `entries` entries, or reuses those that an earlier run loaded into the folder `keep`.
    pub(crate) async fn start(entries: u64, keep: Option<PathBuf>) -> Self {
        let folder = keep.is_none().then(|| {
            use std::os::unix::fs::PermissionsExt;
            tempfile::Builder::new()
                .prefix("sharewarden-bench-")
                .permissions(std::fs::Permissions::from_mode(0o755))
                .tempdir()
                .unwrap()
        });
        let parent = keep.or(folder.as_ref().map(|folder| folder.path().to_owned())).unwrap();
        std::fs::create_dir_all(&parent).unwrap();
        let cluster = Cluster::start(ClusterSettings::new(parent.join("postgres")))
            .await
            .unwrap();
        let key = SigningKey::from_seed("sharewarden.bench".parse().unwrap(), &[7; 32]);
        let config = config(&cluster.url(DATABASE), &key);
        server::migrate(&config, &mut |_| ()).await.unwrap();
        // For the lowest latency, the pool does not test the connection before each query.
        let straight = PgPoolOptions::new().test_before_acquire(false);
        let pool = straight.connect(&cluster.url(DATABASE)).await.unwrap();
        let loaded = sqlx::query("SELECT FROM ledger LIMIT 1")
            .fetch_optional(&pool)
            .await
            .unwrap();
        if loaded.is_none() {
            eprintln!("loading {entries} entries");
            load::load(&pool, entries, Clock::system().now(), load::Kinds::Known).await;
            load::sign(&pool, &key).await;
        }

        let listener = TcpListener::bind(config.server.listen).await.unwrap();
        let credentials = BaseCredentials::Fixed {
            access_key_id: "AKIA111122223333".into(),
            secret_access_key: "any".to_owned().into(),
        };
        let server = Server::build(&config, credentials, Clock::system(), listener)
            .await
            .unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        let stack = Self {
            pool,
            key,
            address,
            stop,
            server,
            cluster,
            folder,
        };
        stack.wait_for_checkpoint().await;
        stack
    }

    async fn channel(&self) -> ServiceChannel {
        let server = format!("http://{}", self.address).parse().unwrap();
        open_channel(&ConnectOptions::new(server)).await.unwrap()
    }

    pub(crate) async fn audit(&self) -> AuditStub {
        AuditStub::on(self.channel().await)
    }

    pub(crate) async fn health(&self) -> HealthClient<ServiceChannel> {
        HealthClient::new(self.channel().await)
    }

    pub(crate) async fn shares(&self) -> ShareStub {
        ShareStub::on(self.channel().await)
    }

    /// The signer covers the loaded ledgers soon after the start.
    async fn wait_for_checkpoint(&self) {
        let mut client = self.audit().await;
        let request = sharewarden_client::proto::v1::GetCheckpointRequest {
            account_id: load::account(0).to_string(),
            tree_size: 0,
        };
        while client.get_checkpoint(as_bench(request.clone())).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap();
        self.pool.close().await;
        self.cluster.stop();
        self.folder.map(tempfile::TempDir::close).transpose().unwrap();
    }
}

fn config(database: &str, key: &SigningKey) -> Config {
    let pem = key.to_pem().unwrap();
    let account = |id: &str| format!("[[accounts]]\nid = \"{id}\"\nregions = [\"eu-central-1\"]\nshare_with = []\n");
    let text = format!(
        "server.listen = \"127.0.0.1:0\"\ndatabase.url = \"{database}\"\nauth.modes = [\"trusted-header\"]\n\
         roles = [{{ principal = \"*\", roles = [\"viewer\", \"operator\", \"auditor\"] }}]\n\
         server.calls_per_second_per_principal = 1000000\ndenials.burst = 1000000\n\
         aws.endpoint_url = \"http://127.0.0.1:9\"\naws.verify_identity = false\n\
         checkpoint.name = \"sharewarden.bench\"\ncheckpoint.every = \"1s\"\ncheckpoint.key = '''{}'''\n{}{}",
        pem.expose_secret(),
        account(EMPTY_ACCOUNT),
        account(load::account(0).as_str()),
    );
    Config::from_toml(&text).unwrap()
}

/// A request with a principal.
pub(crate) fn as_bench<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let principal = "bench".parse().expect("a word is a metadata value");
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request
}
