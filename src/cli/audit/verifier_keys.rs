//! What an auditor trusts: verifier keys and kept checkpoints. Also the failures of files that cannot be read or written.

use std::{fs, path::Path};

use clap::Args;

use crate::{
    cli::failure::{Exit, Failure},
    ledger::VerifierKey,
};

/// The trusted verifier keys.
#[derive(Debug, Clone, Args)]
pub struct VerifierKeyArgs {
    /// A verifier key of checkpoints (`sharewarden key show` prints it), or a file with one key on each line. May be given more
    /// than once
    #[arg(long, value_name = "VKEY", value_parser = keys)]
    key: Vec<VerifierKeys>,
}

/// The keys of one --key option.
#[derive(Debug, Clone)]
pub(super) struct VerifierKeys(pub(super) Vec<VerifierKey>);

impl VerifierKeyArgs {
    pub(super) fn keys(&self) -> Vec<VerifierKey> {
        self.key.iter().flat_map(|keys| keys.0.iter().cloned()).collect()
    }
}

pub(super) fn keys(text: &str) -> Result<VerifierKeys, String> {
    let path = Path::new(text);
    if !path.is_file() {
        let key = text
            .parse()
            .map_err(|error| format!("{error}; and there is no file with this name"))?;
        return Ok(VerifierKeys(vec![key]));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines
        .map(|line| {
            line.parse()
                .map_err(|error| format!("a line of the file is invalid: {error}"))
        })
        .collect::<Result<_, String>>()?;
    match keys.is_empty() {
        true => Err("the file has no verifier key".to_owned()),
        false => Ok(VerifierKeys(keys)),
    }
}

/// Reads a kept checkpoint.
pub(super) fn kept_checkpoint(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// The failure for a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let what = format!("cannot read {}: {error}", path.display());
    Failure::new(Exit::Invalid, what, "check the name of the file")
}

/// The failure for a file that cannot be written.
pub(super) fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let what = format!("cannot write {}: {error}", path.display());
    Failure::new(
        Exit::General,
        what,
        "check the folder, its permissions and the free disk space",
    )
}
