//! The target: a real process of the program. The test sees its standard error, its memory and its exit status.

use std::{
    io::Write,
    process::Stdio,
    sync::{Arc, Mutex},
};

use rustix::process::{Pid, Signal, kill_process};
use sharewarden_testkit::stack::TIMEOUT;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
};

/// A process of the program.
pub(crate) struct Process {
    child: Child,
    logged: Arc<Mutex<Vec<String>>>,
    more: watch::Receiver<usize>,
    _files: Vec<tempfile::NamedTempFile>,
}

impl Process {
    /// Starts `sharewarden serve` with this configuration.
    pub(crate) fn serve(config: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let mut command = program();
        command.arg("serve").arg("--config").arg(file.path());
        Self::start(command, vec![file])
    }

    /// Starts `sharewarden simulate` with the sample, overridden by these members of a JSON object.
    pub(crate) fn simulate(more: &str) -> Self {
        let mut settings = serde_json::to_value(sharewarden_simulator::sample()).unwrap();
        let more: serde_json::Map<_, _> = serde_json::from_str(more).unwrap();
        settings.as_object_mut().unwrap().extend(more);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(settings.to_string().as_bytes()).unwrap();
        let mut command = program();
        command
            .args(["simulate", "--listen", "127.0.0.1:0", "--settings"])
            .arg(file.path());
        Self::start(command, vec![file])
    }

    fn start(mut command: Command, files: Vec<tempfile::NamedTempFile>) -> Self {
        let mut child = command.spawn().unwrap();
        let logged = Arc::new(Mutex::new(Vec::new()));
        let (count, more) = watch::channel(0);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = logged.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
                count.send_modify(|count| *count += 1);
            }
        });
        Self {
            child,
            logged,
            more,
            _files: files,
        }
    }

    /// Waits for the first line on standard error that contains this text.
    pub(crate) async fn line_with(&self, text: &str) -> String {
        let find = || {
            let logged = self.logged.lock().unwrap();
            logged.iter().find(|line| line.contains(text)).cloned()
        };
        let mut more = self.more.clone();
        let found = async {
            loop {
                if let Some(line) = find() {
                    return line;
                }
                let ended = more.changed().await.is_err();
                assert!(
                    !ended || find().is_some(),
                    "the process ended before it logged {text:?}: {:?}",
                    self.logged
                );
            }
        };
        tokio::time::timeout(TIMEOUT, found)
            .await
            .unwrap_or_else(|_| panic!("{text:?} was not logged in time"))
    }

    /// Its resident memory, in KiB. None if the operating system has no `/proc`.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Fails if the memory grew by more than `at_most` MiB.
    pub(crate) fn assert_memory_growth(&self, before: Option<u64>, at_most: u64) {
        if let (Some(before), Some(after)) = (before, self.memory()) {
            println!("memory: {before} KiB before, {after} KiB after");
            let grown = after.saturating_sub(before) / 1024;
            assert!(
                grown <= at_most,
                "the memory grew by {grown} MiB: {before} KiB before, {after} KiB after"
            );
        }
    }

    /// Fails if it logged a panic or an internal error. No input may cause one.
    pub(crate) fn assert_no_internal_error(&self) {
        let logged = self.logged.lock().unwrap();
        let is_bad = |line: &&String| {
            let line = line.to_lowercase();
            ["panic", "internal error: the caller", "rust_backtrace"]
                .iter()
                .any(|word| line.contains(word))
        };
        let bad: Vec<_> = logged.iter().filter(is_bad).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }

    /// Sends SIGTERM, and fails unless the process exits with success in time.
    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        let ended = ended.expect("the process ends in time").unwrap();
        assert!(ended.success(), "{ended:?}: {:?}", self.logged);
        self.assert_no_internal_error();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .env_remove("SHAREWARDEN_CONFIG")
        .env_remove("AWS_PROFILE")
        .env("AWS_ACCESS_KEY_ID", "AKIA111122223333")
        .env("AWS_SECRET_ACCESS_KEY", "any");
    command
}
