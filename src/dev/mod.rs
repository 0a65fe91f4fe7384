//! `sharewarden dev`: everything on one machine, with nothing prepared.
//!
//! A private [`postgres`], the simulator and the server in one process tree, on loopback. They keep their data in one
//! folder, and end together. `simulate` runs the simulator alone.
//!
//! The feature `dev` of the package. It is on by default; the image is built without it.

mod banner;
mod key;
pub mod postgres;
mod simulate;

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use banner::Banner;
use clap::Subcommand;
pub use key::KeyFileError;
use postgres::Cluster;
use secrecy::{ExposeSecret, SecretString};
use sharewarden_simulator::{self as simulator, Simulator};
pub use simulate::SimulateOptions;
use tokio::net::TcpListener;

use crate::{
    clock::Clock,
    config::{Config, ConfigError},
    server::{self, Server},
    telemetry::{self, Telemetry},
    workspaces::BaseCredentials,
};

/// The commands of this module.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Run everything on this machine, with nothing prepared: a private Postgres, a simulator of AWS, and the service.
    Dev(DevOptions),
    /// Run the simulator of the WorkSpaces image API (and of STS) alone.
    Simulate(SimulateOptions),
}

/// How to run everything.
#[derive(Debug, clap::Args)]
pub struct DevOptions {
    /// Keep data in this folder. Default: ~/.local/share/sharewarden-dev; for root: /var/lib/sharewarden-dev.
    #[arg(long, value_name = "FOLDER", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep nothing.
    #[arg(long)]
    ephemeral: bool,
    /// Where the service listens; port 0 takes any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where the simulator listens; port 0 takes any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    simulator_listen: SocketAddr,
    /// What to log, as tracing directives.
    #[arg(long, value_name = "DIRECTIVES", default_value = "warn,sharewarden::forwarder=info")]
    log: String,
}

/// Why `dev` did not start, or ended. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A folder cannot be made.
    #[error("cannot make the folder {}: {source}; choose another with --data-dir", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody knows where the home folder is.
    #[error("there is no home folder to keep data in: say where with --data-dir, or keep nothing with --ephemeral")]
    NoHome,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with {option} (port 0 takes any)")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The option that chooses it.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Postgres did not start.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Postgres is gone.
    #[error("postgres has ended; its log is in {}", .0.display())]
    PostgresGone(PathBuf),
    /// There is no key to sign checkpoints with.
    #[error("the key that signs checkpoints cannot be kept in {}: {source}", folder.display())]
    Key {
        /// The folder that it is kept in.
        folder: PathBuf,
        /// Why.
        source: KeyFileError,
    },
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Simulator(io::Error),
    /// An option breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The server did not start.
    #[error(transparent)]
    Server(#[from] server::ServerError),
    /// The screen cannot be written.
    #[error("cannot write the screen: {0}")]
    Output(io::Error),
}

/// Runs a command until `shutdown`. `out` gets what a person reads, `notes` what goes to standard error.
///
/// # Errors
/// [`DevError`].
pub async fn execute(
    command: DevCommand,
    out: &mut (dyn io::Write + Send),
    notes: &mut (dyn io::Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DevError> {
    match command {
        DevCommand::Dev(options) => run(options, out, shutdown).await,
        DevCommand::Simulate(options) => simulate::run(options, notes, shutdown).await,
    }
}

/// Runs everything until `shutdown`, and says on `out` what runs where and what to type next.
async fn run(
    options: DevOptions,
    out: &mut (dyn io::Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DevError> {
    tokio::pin!(shutdown);
    let folder = DataFolder::make(&options)?;
    let Some(started) = start_unless(&mut shutdown, Services::start(&options, folder.path())).await? else {
        folder.remove_if_ephemeral();
        return Ok(());
    };
    let Services {
        cluster,
        simulator,
        server,
        telemetry,
    } = started;

    let banner = Banner {
        server: server.address(),
        admin: server.admin_address(),
        simulator: simulator.url(),
        database_url: cluster.url(postgres::DATABASE),
        folder: folder.path(),
        ephemeral: options.ephemeral,
    };
    out.write_all(banner.to_string().as_bytes())
        .and_then(|()| out.flush())
        .map_err(DevError::Output)?;

    let result = tokio::select! {
        result = server.run(shutdown) => result.map_err(DevError::from),
        () = cluster.gone() => Err(DevError::PostgresGone(folder.path().join("postgres/postgres.log"))),
    };
    simulator.shutdown().await;
    // Blocks until the server process is gone, and only then is an ephemeral folder removed.
    let _ = tokio::task::spawn_blocking(move || cluster.stop()).await;
    folder.remove_if_ephemeral();
    telemetry.end().await;
    result
}

/// Starts, unless it is to stop before it has: then what was started so far is stopped again.
async fn start_unless<T>(
    shutdown: impl Future<Output = ()>,
    start: impl Future<Output = Result<T, DevError>>,
) -> Result<Option<T>, DevError> {
    tokio::select! {
        started = start => started.map(Some),
        () = shutdown => Ok(None),
    }
}

/// What runs.
struct Services {
    server: Server,
    telemetry: Telemetry,
    simulator: Simulator,
    cluster: Cluster,
}

impl Services {
    async fn start(options: &DevOptions, folder: &Path) -> Result<Self, DevError> {
        let listener = listen(options.listen, "--listen").await?;
        let simulator_listener = listen(options.simulator_listen, "--simulator-listen").await?;
        let cluster = Cluster::start(postgres::ClusterSettings::new(folder.join("postgres"))).await?;
        let settings = simulator::SimulatorSettings {
            state_file: Some(folder.join("simulator.json")),
            ..simulator::sample()
        };
        let simulator = Simulator::start(simulator_listener, settings)
            .await
            .map_err(DevError::Simulator)?;
        let key = key::read_or_make(folder).map_err(|source| DevError::Key {
            folder: folder.to_owned(),
            source,
        })?;
        let config = config(options, &cluster, &simulator, &key)?;
        let telemetry = server::init_telemetry(&config)?;
        server::migrate(&config).await?;
        let (clock, metrics) = (Clock::system(), telemetry.metrics());
        let server = Server::build_measured(&config, credentials(), clock, listener, metrics).await?;
        Ok(Self {
            server,
            telemetry,
            simulator,
            cluster,
        })
    }
}

/// Where data is kept if nothing else is said. The private Postgres of root runs as another user, who must get there.
fn default_folder() -> Result<PathBuf, DevError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/sharewarden-dev"));
    }
    let home = std::env::home_dir().ok_or(DevError::NoHome)?;
    Ok(home.join(".local/share/sharewarden-dev"))
}

/// The folder of the data.
enum DataFolder {
    Kept(PathBuf),
    Ephemeral(tempfile::TempDir),
}

impl DataFolder {
    fn make(options: &DevOptions) -> Result<Self, DevError> {
        if options.ephemeral {
            let world_readable = std::fs::Permissions::from_mode(0o755);
            let folder = tempfile::Builder::new()
                .prefix("sharewarden-dev-")
                .permissions(world_readable)
                .tempdir();
            return folder.map(Self::Ephemeral).map_err(|source| DevError::Folder {
                folder: std::env::temp_dir(),
                source,
            });
        }
        let folder = options.data_dir.clone().map_or_else(default_folder, Ok)?;
        std::fs::create_dir_all(&folder).map_err(|source| DevError::Folder {
            folder: folder.clone(),
            source,
        })?;
        Ok(Self::Kept(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Ephemeral(folder) => folder.path(),
        }
    }

    fn remove_if_ephemeral(self) {
        if let Self::Ephemeral(folder) = self
            && let Err(error) = folder.close()
        {
            tracing::warn!(%error, "the temporary folder is left behind");
        }
    }
}

async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, DevError> {
    TcpListener::bind(address).await.map_err(|source| DevError::Listen {
        address,
        option,
        source,
    })
}

/// The simulator takes any secret for an account that it knows.
fn credentials() -> BaseCredentials {
    BaseCredentials::Fixed {
        access_key_id: "AKIA111122223333".into(),
        secret_access_key: "not-a-secret-of-anything".to_owned().into(),
    }
}

/// Everybody on this machine may do everything. The owners of the simulator's sample, each behind a role: the first shares
/// with anyone, the second with a list.
fn config(
    options: &DevOptions,
    cluster: &Cluster,
    simulator: &Simulator,
    key: &SecretString,
) -> Result<Config, DevError> {
    let account = |id: &str, share_with: &str| {
        format!(
            "[[accounts]]\nid = \"{id}\"\nregions = [\"eu-central-1\", \"us-east-1\"]\nshare_with = {share_with}\n\
             role_arn = \"arn:aws:iam::{id}:role/sharewarden\"\n"
        )
    };
    let accounts = [
        account("111122223333", "\"anyone\""),
        account("444455556666", "[\"777788889999\", \"210987654321\"]"),
    ]
    .concat();
    let text = format!(
        "server.listen = \"{listen}\"\n\
         database.url = \"{database}\"\n\
         auth.modes = [\"trusted-header\"]\n\
         roles = [{{ principal = \"*\", roles = [\"viewer\", \"operator\", \"auditor\"] }}]\n\
         aws.endpoint_url = \"{simulator}\"\n\
         aws.sts_endpoint_url = \"{simulator}\"\n\
         admin.listen = \"127.0.0.1:0\"\n\
         log.format = \"human\"\n\
         checkpoint.name = \"{name}\"\n\
         checkpoint.key = \"\"\"\n{key}\"\"\"\n\
         {accounts}",
        listen = options.listen,
        database = cluster.url(postgres::DATABASE),
        simulator = simulator.url(),
        name = key::NAME,
        key = key.expose_secret(),
    );
    let mut config = Config::from_toml(&text)?;
    config.log.filter.clone_from(&options.log);
    Ok(config)
}
