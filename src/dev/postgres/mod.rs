//! A private Postgres: one cluster in its own folder, on a unix socket. It stops with its parent process.
//!
//! Read [`Cluster`] first, then the modules in the order of a start: `user` (the server refuses root), `folder` (one process at
//! a time), `binaries` (of an installed Postgres), `server` (the process).
//!
//! The server never outlives the process that started it, even if that gets a SIGKILL. On Linux the kernel sends the server a
//! signal when its parent dies (`PR_SET_PDEATHSIG`). The parent is the *thread* that spawned it, so each cluster has a supervisor
//! thread that spawns the server and lives as long as the cluster.

mod binaries;
mod error;
mod folder;
mod server;
mod user;

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use binaries::Binaries;
pub use error::Error;
use folder::ClusterFolder;
use server::PostgresServer;
use tokio::sync::{oneshot, watch};
use user::User;

/// The superuser of the cluster. It has no password: the permissions of the socket folder protect the cluster.
pub const USER: &str = "sharewarden";

/// The empty database of a new cluster.
pub const DATABASE: &str = "sharewarden";

/// Part of the name of the socket file. The server listens on no TCP port.
const PORT: u16 = 5432;

/// The folder and the durability of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The cluster's folder. If it is empty or missing, a new cluster is created.
    pub data_dir: PathBuf,
    /// False turns fsync off, for tests: commits then survive a crash of any process, but not a power failure.
    pub durable: bool,
}

impl ClusterSettings {
    /// A durable cluster in this folder.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            durable: true,
        }
    }

    /// Turns fsync off, for tests.
    #[must_use]
    pub fn without_fsync(mut self) -> Self {
        self.durable = false;
        self
    }
}

/// What a start does next.
#[derive(Clone, Debug)]
pub enum StartStep {
    /// It creates a cluster with this version of Postgres.
    Create(String),
    /// It starts the server of this version of Postgres.
    Start(String),
}

/// A running cluster. Dropping it stops the server and waits until it is gone.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    pid: u32,
    gone: watch::Receiver<()>,
    _supervisor: SupervisorThread,
}

impl Cluster {
    /// Starts the server on the folder and waits until it accepts connections. Creates the cluster if there is none. Dropping the
    /// future stops what was started, and waits until it is gone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(settings: ClusterSettings) -> Result<Self, Error> {
        Self::start_telling(settings, |_| {}).await
    }

    /// Does the same, and tells its steps, from another thread.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start_telling(
        settings: ClusterSettings,
        tell: impl Fn(StartStep) + Send + 'static,
    ) -> Result<Self, Error> {
        let (started, ready) = oneshot::channel();
        let (stop, stopped) = mpsc::channel();
        let (alive, gone) = watch::channel(());
        let thread = thread::Builder::new()
            .name("private-postgres".to_owned())
            .spawn(move || supervise(&settings, tell, started, &stopped, alive))
            .map_err(Error::Supervisor)?;
        let supervisor = SupervisorThread {
            stop: Some(stop),
            thread: Some(thread),
        };
        let Running { socket_dir, pid } = ready.await.unwrap_or(Err(Error::SupervisorDied))?;
        Ok(Self {
            socket_dir,
            pid,
            gone,
            _supervisor: supervisor,
        })
    }

    /// The URL of a database of the cluster, for sqlx and libpq.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent_encoded(&self.socket_dir.to_string_lossy());
        format!("postgres://{USER}@localhost:{PORT}/{database}?host={host}&sslmode=disable")
    }

    /// The folder of the socket, for `psql --host`.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The process id of the server's first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the server is gone, whatever stopped it.
    pub async fn gone(&self) {
        // The supervisor never sends. It drops the sender when it ends, and that wakes this receiver.
        let _ = self.gone.clone().changed().await;
    }

    /// Stops the server with a fast shutdown, which rolls back open transactions. Blocks until it is gone.
    pub fn stop(self) {
        drop(self);
    }
}

/// The thread that owns the server. Dropping it stops the server, or its start, and waits until it is gone.
#[derive(Debug)]
struct SupervisorThread {
    /// Dropping it tells the thread to stop, so it is dropped before the join.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SupervisorThread {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, dropping `PostgresServer` has already stopped the process.
            let _ = thread.join();
        }
    }
}

/// What the supervisor reports about a started server.
struct Running {
    socket_dir: PathBuf,
    pid: u32,
}

/// The supervisor thread: starts the server, reports that, and stops it on request or when the cluster is dropped.
fn supervise(
    settings: &ClusterSettings,
    tell: impl Fn(StartStep),
    started: oneshot::Sender<Result<Running, Error>>,
    stop: &mpsc::Receiver<()>,
    _alive: watch::Sender<()>,
) {
    match start(settings, tell, stop) {
        Ok((folder, mut server)) => {
            let running = Running {
                socket_dir: folder.socket_dir().to_owned(),
                pid: server.pid(),
            };
            if started.send(Ok(running)).is_ok() {
                server.wait(stop);
            }
            server.stop();
            drop(folder); // unlock last, or the next start would find this server running
        }
        Err(error) => {
            // The send fails only if the caller dropped the start; then the error has no reader.
            let _ = started.send(Err(error));
        }
    }
}

fn start(
    settings: &ClusterSettings,
    tell: impl Fn(StartStep),
    stop: &mpsc::Receiver<()>,
) -> Result<(ClusterFolder, PostgresServer), Error> {
    let user = User::for_server()?;
    let folder = ClusterFolder::open(&settings.data_dir, &user)?;
    let cluster = folder.major_version()?;
    let binaries = Binaries::find(cluster)?;
    if cluster.is_none() {
        tell(StartStep::Create(binaries.name()));
        folder.init(&binaries, &user)?;
    }
    if stop.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
        return Err(Error::Cancelled);
    }
    tell(StartStep::Start(binaries.name()));
    let server = PostgresServer::start(&folder, &binaries, &user, settings.durable, stop)?;
    Ok((folder, server))
}

/// Percent-encodes a path for the query of a URL.
fn percent_encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    path.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn a_path_is_percent_encoded_for_a_url() {
        assert_eq!(percent_encoded("/tmp/a b&c~é"), "%2Ftmp%2Fa%20b%26c~%C3%A9");
    }
}
