//! The running program and its log.

use std::{
    io::Write,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use sharewarden_testkit::stack::{Client, TIMEOUT};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

/// `sharewarden` without the environment variables of the test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in [
        "SHAREWARDEN_SERVER",
        "SHAREWARDEN_PRINCIPAL",
        "SHAREWARDEN_CONFIG",
        "AWS_PROFILE",
    ] {
        command.env_remove(name);
    }
    command
        .env("AWS_ACCESS_KEY_ID", "AKIA111122223333")
        .env("AWS_SECRET_ACCESS_KEY", "any");
    command
}

/// `sharewarden serve`.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) admin: Option<SocketAddr>,
    config: tempfile::NamedTempFile,
    log: Lines<BufReader<ChildStderr>>,
}

impl Served {
    /// Starts the server and waits until it serves. The configuration must log at level `info`.
    pub(crate) async fn start(config: &str) -> Self {
        let mut served = Self::spawn(config);
        served.listens("serving").await;
        served
    }

    /// Starts the process.
    pub(crate) fn spawn(config: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let mut child = program().arg("serve").arg("--config").arg(file.path()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            address: String::new(),
            admin: None,
            config: file,
            log,
        }
    }

    /// Reads the log until a line with this message, which has the addresses.
    pub(crate) async fn listens(&mut self, message: &str) {
        let line = self.line(message).await;
        self.address = format!("http://{}", line["address"].as_str().unwrap_or_default());
        self.admin = line["admin"].as_str().map(|address| address.parse().unwrap());
    }

    /// Writes the configuration file again.
    pub(crate) fn write_config(&self, text: &str) {
        std::fs::write(self.config.path(), text).unwrap();
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address.clone()).await.unwrap()
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("there is an admin port")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Reads the log until a line has this message.
    pub(crate) async fn line(&mut self, message: &str) -> serde_json::Value {
        let found = async {
            loop {
                let line = self
                    .log
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the message is logged before the end");
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                if line["message"] == message {
                    return line;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, found)
            .await
            .expect("the message is logged in time")
    }

    /// Reads the log until the process ends.
    pub(crate) async fn rest_of_the_log(&mut self) -> Vec<serde_json::Value> {
        let read = async {
            let mut lines = Vec::new();
            while let Some(line) = self.log.next_line().await.unwrap() {
                lines.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")));
            }
            lines
        };
        tokio::time::timeout(TIMEOUT, read)
            .await
            .expect("the process ends in time")
    }

    /// Shuts the server down gracefully, and returns the rest of its log.
    pub(crate) async fn stop(mut self) -> Vec<serde_json::Value> {
        self.signal(Signal::TERM);
        let log = self.rest_of_the_log().await;
        assert!(self.ended().await.success());
        log
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(TIMEOUT, self.child.wait())
            .await
            .expect("the process ends in time")
            .unwrap()
    }
}
