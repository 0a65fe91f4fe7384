//! Starts the server process, waits until it accepts connections, and stops it.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command},
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Error, PORT, binaries::Binaries, folder::ClusterFolder, user::User};

/// The interval between two polls of a server that starts or stops.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// 60 s, because a server that replays its WAL after a crash may need long.
const MAX_START_POLLS: u32 = 6_000;

/// 10 s for a fast shutdown, then 10 s for an immediate one; then the process is killed.
const MAX_STOP_POLLS: u32 = 1_000;

/// The interval between two checks that a running server has not stopped.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The postmaster. Its child processes stop with it.
#[derive(Debug)]
pub(super) struct PostgresServer {
    process: Child,
}

impl PostgresServer {
    /// Starts the server and waits until it accepts connections, or until `stop`.
    pub(super) fn start(
        folder: &ClusterFolder,
        binaries: &Binaries,
        user: &User,
        durable: bool,
        stop: &Receiver<()>,
    ) -> Result<Self, Error> {
        let log = File::create(folder.log()).map_err(Error::io(&folder.log()))?;
        let mut command = user.postgres_command(binaries.postgres());
        configure(&mut command, folder, durable);
        let process = command
            .stdout(log.try_clone().map_err(Error::io(&folder.log()))?)
            .stderr(log)
            .spawn()
            .map_err(Error::run(Path::new(command.get_program())))?;
        let mut server = Self { process };
        server.await_ready(folder, stop)?;
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns on `stop`, or when the server has stopped by itself.
    pub(super) fn wait(&mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(EXIT_POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) && !self.has_ended() {}
    }

    /// SIGINT is Postgres' fast shutdown, SIGQUIT its immediate one.
    pub(super) fn stop(&mut self) {
        for signal in [Signal::INT, Signal::QUIT] {
            self.signal(signal);
            for _ in 0..MAX_STOP_POLLS {
                if self.has_ended() {
                    return;
                }
                thread::park_timeout(POLL_INTERVAL);
            }
        }
        // An error here means that the process is already gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn await_ready(&mut self, folder: &ClusterFolder, stop: &Receiver<()>) -> Result<(), Error> {
        for _ in 0..MAX_START_POLLS {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(failed(folder, status.to_string()));
            }
            if is_ready(folder, self.pid()) {
                return Ok(());
            }
            if stop.recv_timeout(POLL_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return Err(Error::Cancelled);
            }
        }
        Err(failed(folder, "it did not accept connections within 60 s".to_owned()))
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // This fails only if the process has ended, which is the goal. The process is not reaped yet, so no other process
            // has its id.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.stop();
        }
    }
}

fn configure(command: &mut Command, folder: &ClusterFolder, durable: bool) {
    let mut set = |name: &str, value: &str| {
        command.arg("-c").arg(format!("{name}={value}"));
    };
    set("listen_addresses", "");
    set("port", &PORT.to_string());
    let socket_dir = folder.socket_dir().to_string_lossy().replace('"', "\"\"");
    set("unix_socket_directories", &format!("\"{socket_dir}\"")); // the value is a list, so a path with a comma needs quotes
    set("max_connections", "300"); // many tests share one cluster, each with its own pools
    set("timezone", "UTC");
    set("log_timezone", "UTC");
    if !durable {
        set("fsync", "off");
        set("full_page_writes", "off");
    }
    command.arg("-D").arg(folder.data());
}

/// The first line of `postmaster.pid` is the process id, the eighth is the state.
fn is_ready(folder: &ClusterFolder, pid: u32) -> bool {
    let text = fs::read_to_string(folder.data().join("postmaster.pid")).unwrap_or_default();
    let line = |number: usize| text.lines().nth(number).map(str::trim);
    line(0) == Some(pid.to_string().as_str()) && line(7) == Some("ready")
}

fn failed(folder: &ClusterFolder, what: String) -> Error {
    let text = fs::read(folder.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    Error::Start {
        what,
        log: folder.log(),
        tail,
    }
}
