//! `audit verify`: what both ways, from a file and from a service, have in common.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    export::NewFile,
    proof::{TAMPERED, key_label},
    verifier_keys::{VerifierKeys, kept_checkpoint, keys, unreadable},
};
use crate::{
    cli::{
        console::Console,
        failure::{Exit, Failure, Stop},
        options::Output,
        table,
        text::one_line,
    },
    domain::AccountId,
    ledger::{
        VerifierKey,
        verify::{LedgerError, VerifiedRange, VerifyError},
    },
};

/// What the name of a checkpoint in a folder ends with, after the account.
const EXTENSION: &str = ".checkpoint";

/// Arguments of `audit verify`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["export", "account", "all"]))]
pub struct VerifyArgs {
    /// Verify this export (`audit export --format jsonl`), plain or gzip, offline
    #[arg(long, value_name = "FILE")]
    pub(super) export: Option<PathBuf>,
    /// Verify the ledger of this AWS account, as the service has it now
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    /// Verify all ledgers that the service has now, and those of which --against has a checkpoint
    #[arg(long)]
    pub(super) all: bool,
    /// A verifier key that signs checkpoints (`sharewarden key show` prints it), or a file of them, one on each line. May be
    /// given more than once. Get it from who runs the service, not from the service
    #[arg(long, value_name = "VKEY", required = true, value_parser = keys)]
    key: Vec<VerifierKeys>,
    /// A checkpoint that you kept: the ledger must begin with what it covers. With --all a folder of
    /// ACCOUNT_ID.checkpoint files
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Keep the checkpoint that was verified in this file, for --against of next time. With --all a folder
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
}

impl VerifyArgs {
    /// True when it needs no service.
    pub(in crate::cli) fn is_offline(&self) -> bool {
        self.export.is_some()
    }

    pub(super) fn keys(&self) -> Vec<VerifierKey> {
        self.key.iter().flat_map(|keys| keys.0.iter().cloned()).collect()
    }

    /// The checkpoint that was kept. In a folder there may be none yet of an account.
    pub(super) fn against(&self, account: Option<AccountId>) -> Result<Option<String>, Failure> {
        let Some(path) = &self.against else {
            return Ok(None);
        };
        match account {
            Some(account) if path.is_dir() => {
                let path = in_folder(path, account);
                path.exists().then(|| kept_checkpoint(&path)).transpose()
            }
            _ => kept_checkpoint(path).map(Some),
        }
    }

    /// The accounts of which a checkpoint was kept in the folder of --against.
    pub(super) fn kept_accounts(&self) -> Result<Vec<AccountId>, Failure> {
        let Some(folder) = &self.against else {
            return Ok(Vec::new());
        };
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut accounts = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| unreadable(folder, &error))?.file_name();
            let account = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            accounts.extend(account.and_then(|account| account.parse::<AccountId>().ok()));
        }
        Ok(accounts)
    }

    /// Keeps a checkpoint that was verified.
    fn save(&self, account: AccountId, note: &str) -> Result<(), Failure> {
        let Some(path) = &self.save_checkpoint else {
            return Ok(());
        };
        let path = if path.is_dir() {
            in_folder(path, account)
        } else {
            path.clone()
        };
        let mut file = NewFile::create(&path)?;
        file.write(note)?;
        file.complete()
    }

    /// With more than one ledger there is more than one checkpoint.
    pub(super) fn check_folders(&self) -> Result<(), Failure> {
        let paths = [&self.against, &self.save_checkpoint];
        match paths.into_iter().flatten().find(|path| self.all && !path.is_dir()) {
            None => Ok(()),
            Some(path) => {
                let what = format!("{} is not a folder", path.display());
                let hint = "with --all, --against and --save-checkpoint name a folder that is there";
                Err(Failure::new(Exit::Invalid, what, hint))
            }
        }
    }
}

fn in_folder(folder: &Path, account: AccountId) -> PathBuf {
    folder.join(format!("{account}{EXTENSION}"))
}

/// What is wrong, as the failure of the command.
pub(super) fn failure(wrong: &VerifyError) -> Failure {
    match wrong {
        VerifyError::Ledger {
            error: LedgerError::Older(_),
            ..
        } => Failure::new(
            Exit::Invalid,
            wrong.to_string(),
            "give the checkpoint that you kept, and its keys",
        ),
        _ => Failure::new(Exit::Tampered, wrong.to_string(), TAMPERED),
    }
}

/// Keeps the checkpoint, and says what was verified. A checkpoint that could not be compared with the one that was kept does not
/// take its place: nobody could tell any more what was rewritten in between.
pub(super) fn conclude(
    output: Output,
    args: &VerifyArgs,
    verified: &VerifiedRange,
    checkpoint: &str,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match verified.older.as_ref().filter(|older| !older.is_prefix) {
        None => {
            args.save(verified.account, checkpoint)?;
            print(output, verified, console)
        }
        Some(older) => {
            print(output, verified, console)?;
            let size = older.signed.checkpoint.size;
            let what = format!(
                "account {}: what is here holds, but it does not tell whether the ledger begins with the {size} entries of --against; \
                 no checkpoint was saved",
                verified.account
            );
            let hint = format!("verify an export that begins at entry {size} or before, and ends there or after");
            Err(Failure::new(Exit::Invalid, what, hint).into())
        }
    }
}

/// Says what was verified, and what could not be told.
fn print(output: Output, verified: &VerifiedRange, console: &mut Console<'_>) -> Result<(), Stop> {
    let unknown = unknown(verified);
    if output == Output::Json {
        return console.print_line(json_of(verified, &unknown));
    }
    let checkpoint = &verified.checkpoint;
    let signers: Vec<_> = checkpoint.signed_by.iter().map(key_label).collect();
    let mut rows = vec![
        ("Verified", "every entry, the root and its signature".to_owned()),
        ("Account", verified.account.to_string()),
        ("Entries", entries(verified)),
        ("Checkpoint", one_line(&checkpoint.checkpoint.origin)),
        ("Tree size", checkpoint.checkpoint.size.to_string()),
        ("Root", root(verified)),
        ("Signed by", signers.join("\n")),
        ("Witnessed", witnesses(verified).join("\n")),
    ];
    if let Some(older) = verified.older.as_ref().filter(|older| older.is_prefix) {
        let size = older.signed.checkpoint.size;
        rows.push((
            "Against",
            format!("it only grew since the checkpoint of {size} entries"),
        ));
    }
    rows.push(("Not told", unknown.join("\n")));
    console.print(table::pairs(rows, console.width()))
}

fn entries(verified: &VerifiedRange) -> String {
    match verified.end_index - verified.start_index {
        0 => "0".to_owned(),
        count => format!("{count}: {} to {}", verified.start_index, verified.end_index - 1),
    }
}

fn root(verified: &VerifiedRange) -> String {
    crate::ledger::merkle::hex(&verified.checkpoint.checkpoint.root)
}

fn witnesses(verified: &VerifiedRange) -> Vec<String> {
    let witnesses = verified.checkpoint.witnesses.iter();
    let witness = |witness: &crate::ledger::checkpoint::WitnessCosignature| {
        let time = pbjson_types::Timestamp {
            seconds: i64::try_from(witness.time).unwrap_or(i64::MAX),
            nanos: 0,
        };
        format!("{} at {}", witness.name, crate::cli::format::rfc3339(Some(&time)))
    };
    witnesses.map(witness).collect()
}

/// What a reader might think was verified, and was not.
fn unknown(verified: &VerifiedRange) -> Vec<String> {
    let size = verified.checkpoint.checkpoint.size;
    let mut unknown = Vec::new();
    if verified.start_index > 0 {
        unknown.push(format!(
            "what the entries before {} say: they are not in it",
            verified.start_index
        ));
    }
    if verified.end_index < size {
        unknown.push(format!(
            "what the entries {} to {} say: they are not in it",
            verified.end_index,
            size - 1
        ));
    }
    match &verified.older {
        Some(older) if !older.is_prefix => unknown.push(format!(
            "whether the ledger begins with the {} entries of --against: that takes an export with them",
            older.signed.checkpoint.size
        )),
        Some(_) => {}
        None => unknown.push("whether history was rewritten before this was signed: that takes --against".to_owned()),
    }
    if verified.checkpoint.witnesses.is_empty() {
        unknown.push("when the checkpoint was signed: only a witness says".to_owned());
    }
    unknown
}

fn json_of(verified: &VerifiedRange, unknown: &[String]) -> Value {
    let checkpoint = &verified.checkpoint;
    json!({
        "accountId": verified.account.to_string(),
        "startIndex": verified.start_index.to_string(),
        "endIndex": verified.end_index.to_string(),
        "origin": checkpoint.checkpoint.origin,
        "treeSize": checkpoint.checkpoint.size.to_string(),
        "rootHash": root(verified),
        "signedBy": checkpoint.signed_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "witnesses": witnesses(verified),
        "grewSince": verified.older.as_ref().filter(|older| older.is_prefix)
            .map(|older| older.signed.checkpoint.size.to_string()),
        "notTold": unknown,
    })
}
