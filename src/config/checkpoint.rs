//! Signed checkpoints of the ledgers. The keys are text here; the room `server` parses them.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::parse;

/// Signed checkpoints of the ledgers.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// The name of the signing key. The origin of every checkpoint begins with it. 1..200 characters, without spaces and plus
    /// signs. Example: `sharewarden.example.com`.
    pub name: String,
    /// The signing key, as PEM (PKCS #8, Ed25519). Secret. Exactly one of `key` and `key_file` is required.
    #[serde(
        default,
        serialize_with = "parse::hidden_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub key: Option<SecretString>,
    /// The file with the signing key. Exactly one of `key` and `key_file` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Verifier keys (C2SP) of earlier signing keys. The service continues to list them.
    #[serde(default)]
    pub retired_keys: Vec<String>,
    /// Verifier keys (C2SP) of the witnesses whose signatures on checkpoints are stored.
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
