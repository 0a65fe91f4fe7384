//! The server, a separate process, so that its memory and descriptors are measured without those of the callers.

use std::{
    ffi::OsStr,
    io::{self, Read},
    net::SocketAddr,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use sharewarden::{
    clock::Clock,
    config::Config,
    server::{self, Server},
    workspaces::BaseCredentials,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{oneshot, watch},
};

use crate::{measure::Sample, surroundings::Surroundings};

/// The timeout for its shutdown.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Serves until standard input ends, also because the parent was killed. Prints its address, and then its number of tasks every
/// second.
pub(crate) async fn run(config: &Path) -> ExitCode {
    let config = Config::load(Some(config), &[]).unwrap();
    let telemetry = server::init_telemetry(&config).unwrap();
    let listener = server::listen(config.server.listen).await.unwrap();
    let credentials = BaseCredentials::Fixed {
        access_key_id: "AKIA111122223333".into(),
        secret_access_key: "any".to_owned().into(),
    };
    let clock = Clock::system();
    let server = Server::build(&config, credentials, clock.clone(), listener)
        .await
        .unwrap();
    println!("{}", server.address());
    tokio::spawn(async move {
        let metrics = tokio::runtime::Handle::current().metrics();
        loop {
            clock.sleep(Duration::from_secs(1)).await;
            println!("{}", metrics.num_alive_tasks());
        }
    });
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(());
    });
    let ended = async {
        let _ = ended.await;
    };
    let result = server.run(ended).await;
    telemetry.end().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The server as its parent sees it.
pub(crate) struct Served {
    child: Child,
    stdin: Option<ChildStdin>,
    address: SocketAddr,
    tasks: watch::Receiver<u64>,
}

impl Served {
    /// Starts the server, and waits until it prints its address.
    ///
    /// `inside` is a command and its arguments that run the server, such as `systemd-run`. It must become the server with `exec`.
    pub(crate) async fn start(config: &Path, inside: &str) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut words = inside.split_whitespace().map(OsStr::new).chain([this.as_os_str()]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg("--serve")
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.next_line().await.unwrap().expect("the server starts");
        let (task_count, tasks) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                task_count.send_replace(line.parse().unwrap());
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            address: address.parse().unwrap(),
            tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The current sample of its resources.
    pub(crate) async fn sample(&mut self, surroundings: &Surroundings) -> Sample {
        let process = format!("/proc/{}", self.child.id().expect("the server still runs"));
        // Release the lock before the query.
        let tasks = *self.tasks.borrow();
        Sample {
            memory: self.number("VmRSS:"),
            threads: self.number("Threads:"),
            descriptors: std::fs::read_dir(format!("{process}/fd")).unwrap().count() as u64,
            tasks,
            connections: surroundings.connections().await,
        }
    }

    /// The largest resident memory so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.number("VmHWM:")
    }

    fn number(&self, name: &str) -> u64 {
        let process = self.child.id().expect("the server still runs");
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Stops the server. True if it exits with success in time.
    pub(crate) async fn stop(mut self) -> bool {
        self.stdin.take();
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        matches!(ended, Ok(Ok(status)) if status.success())
    }
}
