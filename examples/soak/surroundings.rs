//! What the server needs: a private Postgres, and a simulator with faults.

use std::{io::Write, net::SocketAddr, os::unix::fs::PermissionsExt};

use sharewarden::{
    config::Config,
    dev::postgres::{Cluster, ClusterSettings, DATABASE},
    server,
};
use sharewarden_client::{ConnectOptions, ShareStub, Stub, open_channel, proto::v1::GrantSharePermissionRequest};
use sharewarden_simulator::{self as simulator, Effect, Fault, FaultTiming, Simulator};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;

use crate::server::Served;

pub(crate) const ACCOUNT: &str = "111122223333";
/// An account that may share with one account only.
pub(crate) const STRICT_ACCOUNT: &str = "444455556666";
pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const IMAGE: &str = "wsi-basewin11";
pub(crate) const CALLER: &str = "soak@example.com";
/// May read only.
pub(crate) const VIEWER: &str = "hostile-viewer@example.com";
/// Has no role.
pub(crate) const NOBODY: &str = "nobody@example.com";

/// Their entries fill several pages.
const LONG_GRANTS: u32 = 300;

const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIeh4qG0eSyZysGiQjRRrVo2MCvlxyj6P1BZHd376qNY
-----END PRIVATE KEY-----
";

pub(crate) struct Surroundings {
    pool: PgPool,
    config: tempfile::NamedTempFile,
    simulator: Simulator,
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Surroundings {
    /// Without `faults`, the simulator answers every call, so that the time of a grant is that of the service.
    pub(crate) async fn start(faults: bool) -> Self {
        // If root runs this, the private Postgres runs as another user, which needs access.
        let folder = tempfile::Builder::new()
            .prefix("sharewarden-soak-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let postgres = ClusterSettings::new(folder.path().join("postgres")).without_fsync();
        let cluster = Cluster::start(postgres).await.unwrap();
        let simulator = simulator(faults).await;
        let text = config(&cluster.url(DATABASE), &simulator.url());
        let mut config = tempfile::NamedTempFile::new().unwrap();
        config.write_all(text.as_bytes()).unwrap();
        server::migrate(&Config::from_toml(&text).unwrap(), &mut |_| ())
            .await
            .unwrap();
        let pool = PgPoolOptions::new().max_connections(1);
        Self {
            pool: pool.connect(&cluster.url(DATABASE)).await.unwrap(),
            config,
            simulator,
            cluster,
            folder,
        }
    }

    /// Starts the server.
    pub(crate) async fn serve(&self, inside: &str) -> Served {
        Served::start(self.config.path(), inside).await
    }

    /// The number of connections to Postgres, without that of this function.
    pub(crate) async fn connections(&self) -> u64 {
        let count = "SELECT count(*) FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        self.count(count).await
    }

    /// Adds grants with the longest reasons, for large pages.
    pub(crate) async fn lengthen_history(&self, address: SocketAddr) {
        let server = format!("http://{address}").parse().unwrap();
        let channel = open_channel(&ConnectOptions::new(server)).await.unwrap();
        let mut client = ShareStub::on(channel);
        for number in 0..LONG_GRANTS {
            let mut request = tonic::Request::new(GrantSharePermissionRequest {
                account_id: ACCOUNT.into(),
                region: REGION.into(),
                image_id: IMAGE.into(),
                shared_account_id: format!("400000000{number:03}"),
                reason: "\u{1D11E}".repeat(1024),
                ..Default::default()
            });
            let principal = CALLER.parse().unwrap();
            request.metadata_mut().insert("x-sharewarden-principal", principal);
            client.grant_share_permission(request).await.unwrap();
        }
    }

    /// The number of entries in all ledgers.
    pub(crate) async fn entries(&self) -> u64 {
        self.count("SELECT coalesce(sum(size), 0)::bigint FROM ledger").await
    }

    async fn count(&self, question: &'static str) -> u64 {
        let count: i64 = sqlx::query_scalar(question).fetch_one(&self.pool).await.unwrap();
        count.cast_unsigned()
    }

    pub(crate) async fn stop(self) {
        self.pool.close().await;
        self.simulator.shutdown().await;
        self.cluster.stop();
        self.folder.close().unwrap();
    }
}

/// With faults, some calls are throttled, and some answers are lost.
async fn simulator(faults: bool) -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = simulator::SimulatorSettings {
        call_log_limit: 100,
        ..simulator::sample()
    };
    let simulator = Simulator::start(listener, settings).await.unwrap();
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    let reset = Effect::Reset {
        moment: FaultTiming::AfterApplying,
    };
    for (effect, share) in [(throttle, 0.01), (reset, 0.005)].into_iter().filter(|_| faults) {
        let fault = Fault {
            share: Some(share),
            ..Fault::new(effect).operation("UpdateWorkspaceImagePermission")
        };
        simulator.inject(fault).unwrap();
    }
    simulator
}

fn config(database: &str, simulator: &str) -> String {
    format!(
        "server.listen = \"127.0.0.1:0\"
server.calls_per_second_per_principal = 5000
auth.modes = [\"trusted-header\"]
roles = [
    {{ principal = \"{CALLER}\", roles = [\"viewer\", \"operator\", \"auditor\"] }},
    {{ principal = \"{VIEWER}\", roles = [\"viewer\"] }},
]
log.filter = \"error\"
database.url = \"{database}\"
aws.endpoint_url = \"{simulator}\"
aws.sts_endpoint_url = \"{simulator}\"
checkpoint.name = \"sharewarden.soak\"
checkpoint.key = \"\"\"\n{KEY}\"\"\"

[[accounts]]
id = \"{ACCOUNT}\"
regions = [\"{REGION}\"]
share_with = \"anyone\"
role_arn = \"arn:aws:iam::{ACCOUNT}:role/sharewarden\"

[[accounts]]
id = \"{STRICT_ACCOUNT}\"
regions = [\"{REGION}\"]
share_with = [\"210987654321\"]
role_arn = \"arn:aws:iam::{STRICT_ACCOUNT}:role/sharewarden\"
"
    )
}
