//! `sharewarden dev`: the service and all it needs on one machine, without any setup.
//!
//! A private [`postgres`], the simulator and the server run in one process tree, on loopback. They keep their data in one
//! folder, and stop together. `simulate` runs the simulator alone.
//!
//! The package feature `dev` includes this module. It is on by default; the container image is built without it.

mod banner;
mod data_folder;
mod key;
pub mod postgres;
mod progress;
mod services;
mod simulate;

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use banner::Banner;
use clap::Subcommand;
use data_folder::DataFolder;
pub use key::KeyFileError;
use progress::StartProgress;
use services::RunningServices;
pub use simulate::SimulateOptions;
use tokio::net::TcpListener;

use crate::{config::ConfigError, server, telemetry};

/// The commands `dev` and `simulate`.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Run the service on this machine without any setup, with a private Postgres and a simulator of AWS
    Dev(DevOptions),
    /// Run only the simulator of the WorkSpaces image API, STS, tagging (GetResources) and CloudTrail (LookupEvents)
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
    /// The address of the admin port (health and metrics); port 0 takes any free port [default: 127.0.0.1:9464, or any free
    /// port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Decide by the policies of this directory too (*.cedar). They are read again every second
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Make no share past the service, so that the history begins empty
    #[arg(long)]
    no_drift: bool,
    /// Let pages of this web origin call by gRPC-Web, such as http://localhost:5173. May be given more than once
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
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
    /// The data cannot be migrated, because another build made it.
    #[error(
        "the data in {} are of another build of sharewarden: delete this folder, choose another with --data-dir, \
         or keep no data with --ephemeral",
        folder.display()
    )]
    OtherBuild {
        /// The data folder.
        folder: PathBuf,
        /// The cause.
        source: Box<server::ServerError>,
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

/// Ctrl-C reaches a program of Postgres if it comes after the program's creation and before it has its own process group. Its
/// failure can then be noticed this much earlier than the signal.
const SIGNAL_DELAY: Duration = Duration::from_secs(1);

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
        DevCommand::Dev(options) => run(options, out, notes, shutdown).await,
        DevCommand::Simulate(options) => simulate::run(options, notes, shutdown).await,
    }
}

/// Runs all services until `shutdown`. Prints the steps of the start to `notes`, and then what to try to `out`.
async fn run(
    options: DevOptions,
    out: &mut (dyn io::Write + Send),
    notes: &mut (dyn io::Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DevError> {
    tokio::pin!(shutdown);
    let mut progress = StartProgress::new(notes);
    let folder = DataFolder::make(&options)?;
    let start = RunningServices::start(&options, folder.path(), &mut progress);
    let Some(started) = start_unless(&mut shutdown, start).await? else {
        folder.remove_if_ephemeral();
        progress.say("stopped before it was ready");
        return Ok(());
    };
    progress.say("ready");
    let RunningServices {
        cluster,
        simulator,
        server,
        telemetry,
        key,
    } = started;

    let banner = Banner {
        server: server.address(),
        admin: server.admin_address(),
        simulator: simulator.url(),
        database_url: cluster.url(postgres::DATABASE),
        folder: folder.path(),
        ephemeral: options.ephemeral,
        has_drift: !options.no_drift,
        key,
    };
    if let Err(error) = banner.write_settings() {
        tracing::warn!(%error, "the settings of the client could not be written into the data folder");
    }
    // A closed standard output is no reason to stop.
    let _ = out.write_all(banner.to_string().as_bytes()).and_then(|()| out.flush());

    let stopping = async {
        shutdown.await;
        if options.ephemeral {
            let folder = folder.path().display();
            progress.say(format_args!(
                "stopping; another Ctrl-C ends it at once, and leaves the folder {folder}"
            ));
        }
    };
    let result = tokio::select! {
        result = server.run(stopping) => result.map_err(DevError::from),
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
    mut shutdown: impl Future<Output = ()> + Unpin,
    start: impl Future<Output = Result<T, DevError>>,
) -> Result<Option<T>, DevError> {
    let started = tokio::select! {
        started = start => started,
        () = &mut shutdown => return Ok(None),
    };
    match started {
        Err(error @ DevError::Postgres(_)) => match tokio::time::timeout(SIGNAL_DELAY, shutdown).await {
            Ok(()) => Ok(None),
            Err(_) => Err(error),
        },
        started => started.map(Some),
    }
}

async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, DevError> {
    TcpListener::bind(address).await.map_err(|source| DevError::Listen {
        address,
        option,
        source,
    })
}
