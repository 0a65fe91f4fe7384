//! A private Postgres: one cluster in a folder of its own, reached over a unix socket, gone with its parent.
//!
//! Read [`Cluster`] first, then the parts in the order in which a start goes through them: `user` (the server refuses
//! root), `folder` (one process at a time), `binaries` (found, else fetched), `server` (the process itself).
//!
//! The server never outlives the process that started it, not even by a SIGKILL: on Linux it asks for a signal at its
//! parent's death. That signal follows the *thread* that spawned it, so each cluster has a supervisor thread that spawns
//! the server and then lives exactly as long as the cluster.

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

/// The superuser of the cluster, who needs no password: only the socket's folder guards it.
pub const USER: &str = "sharewarden";

/// The database that a new cluster already holds, empty.
pub const DATABASE: &str = "sharewarden";

/// It only names the socket's file: nothing listens on a TCP port.
const PORT: u16 = 5432;

/// Where a cluster lives and how careful it is.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The cluster's folder. An empty or missing one gets a new cluster.
    pub data_dir: PathBuf,
    /// False switches fsync off, for tests: commits survive the death of any process, but not a power cut.
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

    /// The same without fsync, for tests.
    #[must_use]
    pub fn without_fsync(mut self) -> Self {
        self.durable = false;
        self
    }
}

/// A running cluster. Dropping it stops the server and waits until it is gone.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    pid: u32,
    gone: watch::Receiver<()>,
    /// Dropped first, which tells the supervisor to stop.
    stop: Option<mpsc::Sender<()>>,
    supervisor: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Starts the server on the folder, making the cluster first if there is none, and waits until it takes
    /// connections. Dropping the future half-way stops what was started.
    ///
    /// # Errors
    /// See [`Error`]: each says what to do about it.
    pub async fn start(settings: ClusterSettings) -> Result<Self, Error> {
        let (started, ready) = oneshot::channel();
        let (stop, stopped) = mpsc::channel();
        let (alive, gone) = watch::channel(());
        let supervisor = thread::Builder::new()
            .name("private-postgres".to_owned())
            .spawn(move || supervise(&settings, started, &stopped, alive))
            .map_err(Error::Supervisor)?;
        let Running { socket_dir, pid } = ready.await.unwrap_or(Err(Error::SupervisorDied))?;
        Ok(Self {
            socket_dir,
            pid,
            gone,
            stop: Some(stop),
            supervisor: Some(supervisor),
        })
    }

    /// The URL of one of its databases, as sqlx and libpq read it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent_encoded(&self.socket_dir.to_string_lossy());
        format!("postgres://{USER}@localhost:{PORT}/{database}?host={host}&sslmode=disable")
    }

    /// The folder that holds the socket: what `psql --host` takes.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The process id of the server's first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the server is gone, whoever stopped it.
    pub async fn gone(&self) {
        // The supervisor never sends: it drops its end when it leaves, and that is the news.
        let _ = self.gone.clone().changed().await;
    }

    /// Stops the server: open transactions are rolled back, and the folder is left clean. Blocks until it is gone.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(supervisor) = self.supervisor.take() {
            // A supervisor that panicked has nothing more to stop: `PostgresServer` kills its process when it is dropped.
            let _ = supervisor.join();
        }
    }
}

/// What the supervisor tells about the server it started.
struct Running {
    socket_dir: PathBuf,
    pid: u32,
}

/// The life of the supervisor thread: start, say so, and stop when told or when nobody is left to tell.
fn supervise(
    settings: &ClusterSettings,
    started: oneshot::Sender<Result<Running, Error>>,
    stop: &mpsc::Receiver<()>,
    _alive: watch::Sender<()>,
) {
    match start(settings, stop) {
        Ok((folder, mut server)) => {
            let running = Running {
                socket_dir: folder.socket_dir().to_owned(),
                pid: server.pid(),
            };
            if started.send(Ok(running)).is_ok() {
                server.wait(stop);
            }
            server.stop();
            drop(folder); // the lock goes last, or the next start would meet this server
        }
        Err(error) => {
            // Whoever asked may have gone: then nobody wants the reason either.
            let _ = started.send(Err(error));
        }
    }
}

fn start(settings: &ClusterSettings, stop: &mpsc::Receiver<()>) -> Result<(ClusterFolder, PostgresServer), Error> {
    let user = User::for_server()?;
    let folder = ClusterFolder::open(&settings.data_dir, &user)?;
    let binaries = Binaries::find(folder.major_version()?, &user)?;
    folder.init(&binaries, &user)?;
    let server = PostgresServer::start(&folder, &binaries, &user, settings.durable, stop)?;
    Ok((folder, server))
}

/// A path as the value of a URL's query.
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
    fn a_path_survives_as_a_url_value() {
        assert_eq!(percent_encoded("/tmp/a b&c~é"), "%2Ftmp%2Fa%20b%26c~%C3%A9");
    }
}
