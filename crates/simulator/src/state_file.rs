//! Keeps accounts and images in a JSON file, so that a restart finds them again.
//!
//! A change is answered only when the file has it; changes that come while the file is being written share the next
//! writing. The file is replaced by renaming, so it is whole at every moment (it is not synced: a power cut may lose it).

use std::path::{Path, PathBuf};
use std::{fs, io};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::refusal::Refusal;
use super::world::State;

/// The file, and how far it has come.
pub(super) struct StateFile {
    path: PathBuf,
    wanted: Notify,
    written: watch::Sender<Written>,
}

/// The version that was written last, or failed to be.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    version: u64,
    failed: bool,
}

impl StateFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            wanted: Notify::new(),
            written: watch::Sender::default(),
        }
    }

    /// What the file holds, if there is one.
    pub(super) fn load(&self) -> io::Result<Option<State>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", self.path.display())))?;
        Ok(Some(state))
    }

    /// Waits until a version has been written.
    pub(super) async fn has(&self, version: u64, stop: &CancellationToken) -> Result<(), Refusal> {
        let mut written = self.written.subscribe();
        self.wanted.notify_one();
        let outcome = tokio::select! {
            written = written.wait_for(|written| written.version >= version) => written.map(|written| written.failed).ok(),
            () = stop.cancelled() => None,
        };
        match outcome {
            Some(false) => Ok(()),
            Some(true) => Err(Refusal::internal("The simulator cannot write its state file.")),
            None => Err(Refusal::internal("The simulator is stopping.")),
        }
    }

    /// Writes the world whenever someone waits for it, until the simulator ends; then a last time.
    pub(super) async fn keep(&self, engine: &Engine) {
        loop {
            tokio::select! {
                () = self.wanted.notified() => self.write(engine).await,
                () = engine.stop.cancelled() => break,
            }
        }
        self.write(engine).await;
    }

    /// Writes the world, unless the file has it already.
    pub(super) async fn write(&self, engine: &Engine) {
        let (version, state) = {
            let world = engine.world();
            let written = *self.written.borrow();
            if written.version == world.version && !written.failed {
                return;
            }
            (world.version, world.state())
        };
        let path = self.path.clone();
        let result = tokio::task::spawn_blocking(move || replace(&path, &state)).await;
        let failed = !matches!(result, Ok(Ok(())));
        if failed {
            tracing::warn!(path = %self.path.display(), ?result, "the simulator cannot write its state file");
        }
        self.written.send_replace(Written { version, failed });
    }
}

fn replace(path: &Path, state: &State) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    fs::write(&beside, serde_json::to_vec_pretty(state)?)?;
    fs::rename(&beside, path)
}
