//! Persists accounts and images in a JSON file.
//!
//! The response to a change is sent after the file has it. Changes that arrive during a write share the next write.
//! The file is replaced by a rename, so it is always complete. It is not synced: a power failure may lose it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{api_error::ApiError, engine::Engine, inventory::InventorySnapshot};

/// The file, and the version that it has.
pub(super) struct StateFile {
    path: PathBuf,
    wanted: Notify,
    written: watch::Sender<WrittenVersion>,
}

/// The last version that was written, or that could not be written.
#[derive(Clone, Copy, Debug, Default)]
struct WrittenVersion {
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

    /// Reads the file, if it exists.
    pub(super) fn load(&self) -> io::Result<Option<InventorySnapshot>> {
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
    pub(super) async fn has(&self, version: u64, stop: &CancellationToken) -> Result<(), ApiError> {
        let mut written = self.written.subscribe();
        self.wanted.notify_one();
        let outcome = tokio::select! {
            written = written.wait_for(|written| written.version >= version) => written.map(|written| written.failed).ok(),
            () = stop.cancelled() => None,
        };
        match outcome {
            Some(false) => Ok(()),
            Some(true) => Err(ApiError::internal("The simulator cannot write its state file.")),
            None => Err(ApiError::internal("The simulator is stopping.")),
        }
    }

    /// Writes the inventory, unless the file is up to date.
    pub(super) async fn write(&self, engine: &Engine) {
        let (version, state) = {
            let inventory = engine.inventory();
            let written = *self.written.borrow();
            if written.version == inventory.version && !written.failed {
                return;
            }
            (inventory.version, inventory.state())
        };
        let path = self.path.clone();
        let result = tokio::task::spawn_blocking(move || replace(&path, &state)).await;
        let failed = !matches!(result, Ok(Ok(())));
        if failed {
            tracing::warn!(path = %self.path.display(), ?result, "the simulator cannot write its state file");
        }
        self.written.send_replace(WrittenVersion { version, failed });
    }
}

/// Writes the inventory on request until the simulator stops, and then a last time.
pub(super) async fn keep(engine: Arc<Engine>) {
    let Some(file) = &engine.state_file else { return };
    loop {
        tokio::select! {
            () = file.wanted.notified() => file.write(&engine).await,
            () = engine.stop.cancelled() => break,
        }
    }
    file.write(&engine).await;
}

fn replace(path: &Path, state: &InventorySnapshot) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    fs::write(&beside, serde_json::to_vec_pretty(state)?)?;
    fs::rename(&beside, path)
}
