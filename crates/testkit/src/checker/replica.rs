//! A server process that is started, killed and started again.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    sync::watch,
};
use tonic::transport::{Channel, Endpoint};

/// What to run.
#[derive(Clone, Debug)]
pub enum Program {
    /// `sharewarden serve`, from here.
    Serve(PathBuf),
    /// The running program itself, as `replica CONFIG SECONDS`, with a clock that is wrong by so much.
    Itself,
}

/// A start takes less than this, also on a busy machine, and an orderly end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place for a process, which has one most of the time.
#[derive(Debug)]
pub struct Replica {
    program: Program,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// The program itself ends when this pipe does. Not left in `child`, which closes it when it is waited for.
    lifeline: Option<ChildStdin>,
    /// Where to reach it, while there is a process.
    channel: watch::Sender<Option<Channel>>,
    panics: Arc<AtomicU64>,
}

impl Replica {
    /// A place without a process. `folder` gets its configuration and its log.
    pub fn new(program: Program, folder: &Path, number: usize, config: &str) -> Self {
        let file = folder.join(format!("replica-{number}.toml"));
        std::fs::write(&file, config).unwrap();
        Self {
            program,
            config: file,
            log: folder.join(format!("replica-{number}.log")),
            child: None,
            lifeline: None,
            channel: watch::Sender::new(None),
            panics: Arc::default(),
        }
    }

    /// Where to reach it, as it changes.
    pub fn channel(&self) -> watch::Receiver<Option<Channel>> {
        self.channel.subscribe()
    }

    /// How often its processes have panicked.
    pub fn panics(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.panics)
    }

    /// Starts a process and waits until it serves. False if it ended before: it found no database, say.
    pub async fn start(&mut self, off_by: i32) -> bool {
        let mut child = self.command(off_by).spawn().unwrap();
        let lifeline = child.stdin.take();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let serving = tokio::time::timeout(PATIENCE, self.read_until_serving(lines)).await;
        let Ok(Some(channel)) = serving else {
            let _ = child.kill().await;
            return false;
        };
        self.lifeline = lifeline;
        self.child = Some(child);
        self.channel.send_replace(Some(channel));
        true
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
            self.channel.send_replace(None);
        }
    }

    /// SIGTERM, and how it ended; none if it had to be killed.
    pub async fn terminate(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = Pid::from_raw(child.id()?.cast_signed())?;
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        self.channel.send_replace(None);
        match ended {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = child.kill().await;
                None
            }
        }
    }

    fn command(&self, off_by: i32) -> Command {
        let mut command = match &self.program {
            Program::Serve(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--config"]).arg(&self.config);
                command
            }
            Program::Itself => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.arg("replica").arg(&self.config).arg(off_by.to_string());
                command
            }
        };
        command
            .env("AWS_ACCESS_KEY_ID", "AKIA111122223333")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env_remove("AWS_PROFILE")
            .env_remove("SHAREWARDEN_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn read_until_serving(&self, lines: BufReader<ChildStderr>) -> Option<Channel> {
        let log = File::options().create(true).append(true).open(&self.log).await.unwrap();
        let (address, mut serving) = watch::channel(None);
        tokio::spawn(keep_log(lines, log, address, Arc::clone(&self.panics)));
        // An error says that the process has ended.
        let address = serving.wait_for(Option::is_some).await.ok()?.clone()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Some(endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy())
    }
}

async fn keep_log(
    lines: BufReader<ChildStderr>,
    mut log: File,
    address: watch::Sender<Option<String>>,
    panics: Arc<AtomicU64>,
) {
    let mut lines = lines.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("panicked at") {
            panics.fetch_add(1, Relaxed);
        }
        if line.contains("\"serving\"")
            && let Ok(said) = serde_json::from_str::<serde_json::Value>(&line)
        {
            address.send_replace(said["address"].as_str().map(str::to_owned));
        }
        // A log that cannot be kept is missed when it is wanted, and not before.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
    }
}
