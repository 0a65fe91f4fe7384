//! The key that checkpoints are signed with here: made once, and kept beside the data.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use crate::ledger::{SigningKey, key::KeyError};

/// The name of the key.
pub(super) const NAME: &str = "sharewarden-dev";

const FILE: &str = "checkpoint-key.pem";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// There is no randomness to be had.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The key cannot be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The key in the folder, as PEM; makes one that only its owner can read, if there is none.
pub(super) fn read_or_make(folder: &Path) -> Result<SecretString, KeyFileError> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(pem) => return Ok(pem.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyFileError::Random)?;
    let pem = SigningKey::from_seed(NAME.parse()?, &seed).to_pem()?;
    // Under its name only when it is whole.
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(pem.expose_secret().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    Ok(pem)
}
