//! A server process that is started and killed repeatedly.

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
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    sync::watch,
};
use tonic::transport::{Channel, Endpoint};

use super::history::{PolicyEvent, PolicyEventKind, PolicyReplica};
use crate::credentials::now;

/// The program of a replica.
#[derive(Clone, Debug)]
pub enum Program {
    /// `sharewarden` at this path.
    Sharewarden(PathBuf),
    /// The example `chaos` at this path: a server whose clock is off.
    Chaos(PathBuf),
}

/// A command of the owner of the database.
#[derive(Clone, Copy, Debug)]
pub enum OwnersCommand {
    Migrate,
    Finalize,
}

impl OwnersCommand {
    pub fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Finalize => "finalize",
        }
    }
}

impl Program {
    /// Runs a command of the owner. `config` is any configuration that the program accepts. An error is what the program printed.
    pub async fn run(&self, what: OwnersCommand, config: &Path, database: &str) -> Result<(), String> {
        let what = what.name();
        let mut command = match self {
            Self::Sharewarden(program) => {
                let mut command = Command::new(program);
                let url = format!("database.url={database}");
                command.args([what, "--set", &url, "--config"]).arg(config);
                command
            }
            Self::Chaos(program) => {
                let mut command = Command::new(program);
                command.args([what, database]);
                command
            }
        };
        let output = command.env_remove("SHAREWARDEN_CONFIG").kill_on_drop(true).output();
        let output = output.await.unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    fn serve(&self, config: &Path, off_by: i32) -> Command {
        match self {
            Self::Sharewarden(program) => {
                let mut command = Command::new(program);
                command.args(["serve", "--config"]).arg(config);
                command
            }
            Self::Chaos(program) => {
                let mut command = Command::new(program);
                command.arg("replica").arg(config).arg(off_by.to_string());
                command
            }
        }
    }
}

/// The configuration of a replica.
pub fn config_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("replica-{number}.toml"))
}

/// Maximum time to start, and to stop on SIGTERM.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A replica. It usually has a running process.
#[derive(Debug)]
pub struct ReplicaProcess {
    program: Program,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// The stdin of the process, which ends with it. Kept out of `child`, because waiting for the child closes its
    /// stdin.
    lifeline: Option<ChildStdin>,
    /// The channel to the process, if it runs.
    channel: watch::Sender<Option<Channel>>,
    seen: SeenInLog,
}

/// What the log of a replica is read for, beside the address.
#[derive(Clone, Debug)]
struct SeenInLog {
    panics: Arc<AtomicU64>,
    policies: watch::Sender<PolicyReplica>,
}

impl ReplicaProcess {
    /// A replica without a process. Its configuration and log are in `folder`.
    pub fn new(
        program: Program,
        folder: &Path,
        number: usize,
        config: &str,
        channel: watch::Sender<Option<Channel>>,
        policies: watch::Sender<PolicyReplica>,
    ) -> Self {
        let file = config_file(folder, number);
        std::fs::write(&file, config).unwrap();
        Self {
            program,
            config: file,
            log: folder.join(format!("replica-{number}.log")),
            child: None,
            lifeline: None,
            channel,
            seen: SeenInLog {
                panics: Arc::default(),
                policies,
            },
        }
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// The number of panics in its processes.
    pub fn panics(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.seen.panics)
    }

    /// Starts a process and waits until it serves. False if it exited first, for example without a database.
    pub async fn start(&mut self, off_by: i32) -> bool {
        let mut child = self.command(off_by).spawn().unwrap();
        let lifeline = child.stdin.take();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let serving = tokio::time::timeout(TIMEOUT, self.read_until_serving(lines)).await;
        let Ok(Some(channel)) = serving else {
            let _ = child.kill().await;
            return false;
        };
        self.lifeline = lifeline;
        self.child = Some(child);
        self.channel.send_replace(Some(channel));
        true
    }

    /// Sends SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
            self.channel.send_replace(None);
        }
    }

    /// Sends SIGTERM and returns the exit status. None if it had to be killed.
    pub async fn terminate(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = Pid::from_raw(child.id()?.cast_signed())?;
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::time::timeout(TIMEOUT, child.wait()).await;
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
        let mut command = self.program.serve(&self.config, off_by);
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
        tokio::spawn(keep_log(lines, log, address, self.seen.clone()));
        // An error means that the process has exited.
        let address = serving.wait_for(Option::is_some).await.ok()?.clone()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Some(endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy())
    }
}

async fn keep_log(
    lines: BufReader<ChildStderr>,
    mut log: File,
    address: watch::Sender<Option<String>>,
    seen: SeenInLog,
) {
    let mut lines = lines.lines();
    // The place of the last event of this process.
    let mut last = None;
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("panicked at") {
            seen.panics.fetch_add(1, Relaxed);
        }
        if let Some(event) = policy_event(&line) {
            seen.policies.send_modify(|policies| {
                last = Some(policies.events.len());
                policies.events.push(event);
            });
        }
        if line.contains("\"serving\"")
            && let Ok(said) = serde_json::from_str::<serde_json::Value>(&line)
        {
            address.send_replace(said["address"].as_str().map(str::to_owned));
        }
        // A failed write must not fail the trial.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
    }
    if let Some(last) = last {
        seen.policies.send_modify(|policies| {
            // The log of a killed process may be read to its end when the next one has started already.
            let next = policies.events.get(last + 1).map(|next| next.at);
            let ended = PolicyEvent {
                at: next.unwrap_or_else(now),
                kind: PolicyEventKind::Ended,
            };
            policies.events.insert(last + 1, ended);
        });
    }
}

/// The set that is in force from a line of the log on. The time of a line is that of the machine, also if the replica's clock is
/// off.
fn policy_event(line: &str) -> Option<PolicyEvent> {
    let kind = [
        ("connected to Postgres and AWS", PolicyEventKind::Started as fn(_) -> _),
        ("a new policy set is in force", PolicyEventKind::Replaced),
    ]
    .into_iter()
    .find(|(message, _)| line.contains(message));
    let (_, kind) = kind?;
    let said: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(PolicyEvent {
        at: OffsetDateTime::parse(said["timestamp"].as_str()?, &Rfc3339).ok()?,
        kind: kind(said["policy_set"].as_str()?.to_owned()),
    })
}
