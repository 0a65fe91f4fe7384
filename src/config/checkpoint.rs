//! How checkpoints of the ledgers are signed. The keys are texts here; whoever connects the rooms reads them.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::parse;

/// How checkpoints of the ledgers are signed.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// The name of the signing key, and what the origin of every checkpoint begins with. 1..200 characters, without spaces
    /// and plus signs. Example: `sharewarden.example.com`.
    pub name: String,
    /// The signing key, as PEM (PKCS #8, Ed25519). Secret. This or `key_file`.
    #[serde(
        default,
        serialize_with = "parse::hidden_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub key: Option<SecretString>,
    /// The file that holds the signing key. This or `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Keys that checkpoints were signed with before, as C2SP verifier keys. They stay listed.
    #[serde(default)]
    pub retired_keys: Vec<String>,
    /// Witnesses whose signatures are kept under checkpoints, as C2SP verifier keys.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// How often to sign a checkpoint of each ledger that has grown. 1s..1h. Default 5s.
    #[serde(default = "CheckpointConfig::every", with = "parse::duration")]
    pub every: Duration,
}

impl CheckpointConfig {
    fn every() -> Duration {
        Duration::from_secs(5)
    }
}
