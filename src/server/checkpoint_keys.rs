//! The keys of checkpoints, as the configuration names them.

use std::{fs, path::PathBuf, str::FromStr};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    audit::CheckpointKeys,
    config::CheckpointConfig,
    ledger::{KeyName, SigningKey, VerifierKey, key::KeyError},
};

/// A key of checkpoints cannot be used. Says which key of the configuration is at fault, and never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointKeyProblem {
    /// The file cannot be read.
    #[error("cannot read {} (checkpoint.key_file); `sharewarden key generate` makes a key", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no signing key.
    #[error("there is no signing key (checkpoint.key or checkpoint.key_file); `sharewarden key generate` makes one")]
    Missing,
    /// The signing key is none.
    #[error("the signing key cannot be used ({key}); `sharewarden key generate` makes one")]
    Signing {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        source: KeyError,
    },
    /// A verifier key is none.
    #[error("{text:?} cannot be used ({key}); `sharewarden key show` prints such a key")]
    Verifier {
        /// The key of the configuration.
        key: &'static str,
        /// What is there. Public.
        text: String,
        /// Why.
        source: KeyError,
    },
}

/// Reads the keys.
pub(super) fn read(config: &CheckpointConfig) -> Result<CheckpointKeys, CheckpointKeyProblem> {
    let name: KeyName = config.name.parse().map_err(|source| CheckpointKeyProblem::Signing {
        key: "checkpoint.name",
        source,
    })?;
    let (key, pem) = pem(config)?;
    let signing = SigningKey::from_pem(name, pem.expose_secret())
        .map_err(|source| CheckpointKeyProblem::Signing { key, source })?;
    Ok(CheckpointKeys::new(
        signing,
        verifiers("checkpoint.retired_keys", &config.retired_keys)?,
        verifiers("checkpoint.witnesses", &config.witnesses)?,
    ))
}

fn pem(config: &CheckpointConfig) -> Result<(&'static str, SecretString), CheckpointKeyProblem> {
    match (&config.key, &config.key_file) {
        (Some(pem), _) => Ok(("checkpoint.key", pem.clone())),
        (None, Some(file)) => match fs::read_to_string(file) {
            Ok(pem) => Ok(("checkpoint.key_file", pem.into())),
            Err(source) => Err(CheckpointKeyProblem::Unreadable {
                file: file.clone(),
                source,
            }),
        },
        (None, None) => Err(CheckpointKeyProblem::Missing),
    }
}

fn verifiers(key: &'static str, texts: &[String]) -> Result<Vec<VerifierKey>, CheckpointKeyProblem> {
    let verifier = |text: &String| {
        VerifierKey::from_str(text).map_err(|source| CheckpointKeyProblem::Verifier {
            key,
            text: text.clone(),
            source,
        })
    };
    texts.iter().map(verifier).collect()
}
