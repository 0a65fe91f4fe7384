//! `sharewarden dev`: the service and all it needs on one machine, without any setup.
//!
//! A private [`postgres`], the simulator and the server run in one process tree, on loopback. They keep their data in one
//! folder, and stop together. `simulate` runs the simulator alone.
//!
//! The package feature `dev` includes this module. It is on by default; the container image is built without it.

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

/// The commands `dev` and `simulate`.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Run the service on this machine without any setup, with a private Postgres and a simulator of AWS
    Dev(DevOptions),
    /// Run only the simulator of the WorkSpaces image API and of STS
    Simulate(SimulateOptions),
}

/// Arguments of `dev`.
#[derive(Debug, clap::Args)]
pub struct DevOptions {
    /// Keep the data in this folder [default: ~/.local/share/sharewarden-dev; for root: /var/lib/sharewarden-dev]
    #[arg(long, value_name = "FOLDER", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Keep the data in a temporary folder, and remove it at the end
    #[arg(long)]
    ephemeral: bool,
    /// The address that the service listens on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// The address that the simulator listens on; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7480")]
    simulator_listen: SocketAddr,
    /// The log filter, as tracing directives
    #[arg(long, value_name = "DIRECTIVES", default_value = "warn,sharewarden::forwarder=info")]
    log: String,
}

/// Why `dev` or `simulate` did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A folder cannot be created.
    #[error("cannot create the folder {}: {source}; choose another with --data-dir", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The OS reports no home folder.
    #[error("there is no home folder for the data: name a folder with --data-dir, or keep no data with --ephemeral")]
    NoHome,
    /// The listener cannot bind its address.
    #[error("cannot listen on {address}: {source}; choose another with {option} (port 0 takes any free port)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The command line option that sets the address.
        option: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Postgres did not start.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Postgres stopped while the service ran.
    #[error("postgres has stopped; its log is in {}", .0.display())]
    PostgresGone(PathBuf),
    /// The checkpoint key cannot be read or stored.
    #[error("cannot read or store the checkpoint key in {}: {source}", folder.display())]
    Key {
        /// The folder of the key.
        folder: PathBuf,
        /// The cause.
        source: KeyFileError,
    },
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Simulator(io::Error),
    /// An option has an invalid value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The server did not start.
    #[error(transparent)]
    Server(#[from] server::ServerError),
}

/// Runs a command until `shutdown`. `out` is standard output, `notes` is standard error.
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

/// Runs all services until `shutdown`, and prints their addresses to `out`.
async fn run(
    options: DevOptions,
    out: &mut (dyn io::Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DevError> {
    tokio::pin!(shutdown);
    let folder = DataFolder::make(&options)?;
    let Some(started) = start_unless(&mut shutdown, RunningServices::start(&options, folder.path())).await? else {
        folder.remove_if_ephemeral();
        return Ok(());
    };
    let RunningServices {
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
    // A closed standard output is no reason to stop.
    let _ = out.write_all(banner.to_string().as_bytes()).and_then(|()| out.flush());

    let result = tokio::select! {
        result = server.run(shutdown) => result.map_err(DevError::from),
        () = cluster.gone() => Err(DevError::PostgresGone(folder.path().join("postgres/postgres.log"))),
    };
    simulator.shutdown().await;
    // Blocks until the Postgres process is gone. An ephemeral folder may only be removed after that.
    let _ = tokio::task::spawn_blocking(move || cluster.stop()).await;
    folder.remove_if_ephemeral();
    telemetry.end().await;
    result
}

/// Completes `start`, or drops it on `shutdown`, which stops what it has started. `None` means shutdown.
async fn start_unless<T>(
    shutdown: impl Future<Output = ()>,
    start: impl Future<Output = Result<T, DevError>>,
) -> Result<Option<T>, DevError> {
    tokio::select! {
        started = start => started.map(Some),
        () = shutdown => Ok(None),
    }
}

/// The running parts.
struct RunningServices {
    server: Server,
    telemetry: Telemetry,
    simulator: Simulator,
    cluster: Cluster,
}

impl RunningServices {
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
        server::migrate(&config, &mut |_| ()).await?;
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

/// The data folder without --data-dir. For root it is outside the home folder: Postgres then runs as another user, which needs
/// access.
fn default_folder() -> Result<PathBuf, DevError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/sharewarden-dev"));
    }
    let home = std::env::home_dir().ok_or(DevError::NoHome)?;
    Ok(home.join(".local/share/sharewarden-dev"))
}

/// The folder of the data, permanent or temporary.
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
            tracing::warn!(%error, "the temporary folder could not be removed");
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

/// The simulator accepts any secret for an account that it has.
fn credentials() -> BaseCredentials {
    BaseCredentials::Fixed {
        access_key_id: "AKIA111122223333".into(),
        secret_access_key: "not-a-secret-of-anything".to_owned().into(),
    }
}

/// Every local caller has every role. The configuration has the two owner accounts of the simulator's sample, each with an IAM
/// role: the first may share with any account, the second with two.
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
