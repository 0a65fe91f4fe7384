//! Reads the keys of checkpoints that the configuration names.

use std::{fs, path::PathBuf, str::FromStr};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    audit::CheckpointKeys,
    config::CheckpointConfig,
    ledger::{KeyName, SigningKey, VerifierKey, key::KeyError},
};

/// A key of checkpoints cannot be used. The message names the configuration key, and never shows a private key.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointKeyProblem {
    /// The file cannot be read.
    #[error("cannot read {} (checkpoint.key_file); `sharewarden key generate` makes a key", file.display())]
    Unreadable {
        /// The path.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// No signing key is configured.
    #[error("there is no signing key (checkpoint.key or checkpoint.key_file); `sharewarden key generate` makes one")]
    Missing,
    /// The signing key or its name is invalid.
    #[error("the signing key is invalid ({key}); `sharewarden key generate` makes one")]
    Signing {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A verifier key is invalid.
    #[error("{text:?} is not a verifier key ({key}); `sharewarden key show` prints one")]
    Verifier {
        /// The key of the configuration.
        key: &'static str,
        /// The configured text. It is public.
        text: String,
        /// What is wrong with it.
        source: KeyError,
    },
}

/// Reads the signing key, the retired keys and the keys of witnesses.
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
