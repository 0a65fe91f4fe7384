//! The folder of the data of `dev`, permanent or temporary.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{DevError, DevOptions};

/// The data folder without --data-dir. For root it is outside the home folder: Postgres then runs as another user, which needs
/// access.
fn default_folder() -> Result<PathBuf, DevError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/sharewarden-dev"));
    }
    let home = std::env::home_dir().ok_or(DevError::NoHome)?;
    Ok(home.join(".local/share/sharewarden-dev"))
}

/// The folder of the data, permanent or temporary.
pub(super) enum DataFolder {
    Kept(PathBuf),
    Ephemeral(tempfile::TempDir),
}

impl DataFolder {
    pub(super) fn make(options: &DevOptions) -> Result<Self, DevError> {
        if options.ephemeral {
            let world_readable = std::fs::Permissions::from_mode(0o755);
            let folder = tempfile::Builder::new()
                .prefix("sharewarden-dev-")
                .permissions(world_readable)
                .tempdir();
            return folder.map(Self::Ephemeral).map_err(|source| DevError::Folder {
                folder: std::env::temp_dir(),
                source,
            });
        }
        let folder = options.data_dir.clone().map_or_else(default_folder, Ok)?;
        std::fs::create_dir_all(&folder).map_err(|source| DevError::Folder {
            folder: folder.clone(),
            source,
        })?;
        Ok(Self::Kept(folder))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Ephemeral(folder) => folder.path(),
        }
    }

    pub(super) fn remove_if_ephemeral(self) {
        if let Self::Ephemeral(folder) = self
            && let Err(error) = folder.close()
        {
            tracing::warn!(%error, "the temporary folder could not be removed");
        }
    }
}
