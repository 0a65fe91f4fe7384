//! The signing key of the checkpoints of `dev`: generated once and stored with the data.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use crate::ledger::{SigningKey, VerifierKey, key::KeyError};

/// The name of the key in checkpoints.
pub(super) const NAME: &str = "sharewarden-dev";

const FILE: &str = "checkpoint-key.pem";

/// Why the key cannot be read or generated.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The OS returned no random bytes.
    #[error("the OS returned no random bytes: {0}")]
    Random(getrandom::Error),
    /// The key cannot be encoded as PEM.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Reads the key in the folder, as PEM. If there is none, generates one that only the file's owner can read.
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
    // The rename is atomic, so a crash leaves no partial key under the final name.
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

/// The public part of the key.
pub(super) fn verifier_key(pem: &SecretString) -> Result<VerifierKey, KeyFileError> {
    Ok(SigningKey::from_pem(NAME.parse()?, pem.expose_secret())?.verifier_key())
}
