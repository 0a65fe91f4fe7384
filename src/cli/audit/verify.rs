//! `audit verify`: the common part of the two ways, from a file and from a service.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    export::NewFile,
    proof::{TAMPERED, key_label},
    state::StateReport,
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
    domain::PolicyDigest,
    ledger::{
        VerifierKey,
        verify::{LedgerError, VerifiedRange, VerifyError},
    },
};

/// The extension of a kept checkpoint in a folder. Its name is the account id.
const EXTENSION: &str = ".checkpoint";

/// Arguments of `audit verify`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["export", "account", "all"]))]
pub struct VerifyArgs {
    /// Verify this export (`audit export --format jsonl`) offline; plain or gzip
    #[arg(long, value_name = "FILE")]
    pub(super) export: Option<PathBuf>,
    /// Verify the current ledger of this AWS account in the service: 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    /// Verify all current ledgers of the service, and all ledgers with a checkpoint in --against
    #[arg(long)]
    pub(super) all: bool,
    /// Also compare the rows that no hash covers (permissions, changes, past shares, counts) with the verified entries
    #[arg(long, conflicts_with = "export")]
    pub(super) state: bool,
    /// A verifier key of checkpoints (`sharewarden key show` prints it), or a file with one key on each line. May be given more
    /// than once. Get it from the operators, not from the service
    #[arg(long, value_name = "VKEY", required = true, value_parser = keys)]
    key: Vec<VerifierKeys>,
    /// A checkpoint that you kept: the ledger must begin with the entries that it covers. With --all: a folder with files named
    /// ACCOUNT_ID.checkpoint
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Save the verified checkpoint to this file, for a later --against. With --all: a folder
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
}

impl VerifyArgs {
    /// True if the command needs no service.
    pub(in crate::cli) fn is_offline(&self) -> bool {
        self.export.is_some()
    }

    pub(super) fn keys(&self) -> Vec<VerifierKey> {
        self.key.iter().flat_map(|keys| keys.0.iter().cloned()).collect()
    }

    /// The kept checkpoint. A folder may have none for an account yet.
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

    /// The accounts with a kept checkpoint in the folder of --against.
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

    /// Saves a verified checkpoint, if --save-checkpoint is given.
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

    /// With --all, each ledger has its own checkpoint, so the paths must be folders.
    pub(super) fn check_folders(&self) -> Result<(), Failure> {
        let paths = [&self.against, &self.save_checkpoint];
        match paths.into_iter().flatten().find(|path| self.all && !path.is_dir()) {
            None => Ok(()),
            Some(path) => {
                let what = format!("{} is not a folder", path.display());
                let hint = "with --all, --against and --save-checkpoint must be existing folders";
                Err(Failure::new(Exit::Invalid, what, hint))
            }
        }
    }
}

fn in_folder(folder: &Path, account: AccountId) -> PathBuf {
    folder.join(format!("{account}{EXTENSION}"))
}

/// The failure of the command for a verification error.
pub(super) fn failure(wrong: &VerifyError) -> Failure {
    match wrong {
        VerifyError::Ledger {
            error: LedgerError::Older(_),
            ..
        } => Failure::new(
            Exit::Invalid,
            wrong.to_string(),
            "check the file of --against, and give the keys that signed it",
        ),
        VerifyError::Ledger {
            error: LedgerError::NoEntries,
            ..
        } => Failure::new(Exit::Invalid, wrong.to_string(), "export at least one entry"),
        _ => Failure::new(Exit::Tampered, wrong.to_string(), TAMPERED),
    }
}

/// Saves the checkpoint, and prints what was verified. A checkpoint that could not be compared with the kept one is not saved: it
/// would replace the only evidence of a history that was rewritten in between.
pub(super) fn conclude(
    output: Output,
    args: &VerifyArgs,
    verified: &VerifiedRange,
    state: Option<&StateReport>,
    checkpoint: &str,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match verified.older.as_ref().filter(|older| !older.is_prefix) {
        None => {
            args.save(verified.account, checkpoint)?;
            print(output, verified, state, console)?;
            match state.map(StateReport::differences) {
                None | Some(0) => Ok(()),
                Some(count) => {
                    let what = format!(
                        "account {}: the entries verify, but {count} values in other tables differ from them",
                        verified.account
                    );
                    Err(Failure::new(Exit::Tampered, what, TAMPERED).into())
                }
            }
        }
        Some(older) => {
            print(output, verified, state, console)?;
            let size = older.signed.checkpoint.size;
            let what = format!(
                "account {}: all entries here are valid, but they do not show that the ledger begins with the {size} entries of --against; \
                 no checkpoint was saved",
                verified.account
            );
            let hint = format!("verify an export that begins at or before entry {size} and ends at or after it");
            Err(Failure::new(Exit::Invalid, what, hint).into())
        }
    }
}

/// Prints what was verified, and what was not.
fn print(
    output: Output,
    verified: &VerifiedRange,
    state: Option<&StateReport>,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut unknown = unknown(verified);
    unknown.extend(state.map(|_| StateReport::unknown().to_owned()));
    if output == Output::Json {
        return console.print_line(json_of(verified, state, &unknown));
    }
    let checkpoint = &verified.checkpoint;
    let signers: Vec<_> = checkpoint.signed_by.iter().map(key_label).collect();
    let mut rows = vec![
        ("Verified", range(verified)),
        ("Account", verified.account.to_string()),
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
            format!("the ledger extends the kept checkpoint of {size} entries"),
        ));
    }
    rows.push(("Unverified", unknown.join("\n")));
    console.print(table::pairs(rows, console.view()))?;
    // Not in the table, because a line may be longer than the terminal is wide.
    state.map_or(Ok(()), |state| console.print_line(state.text()))
}

/// The verified entries. There is at least one.
fn range(verified: &VerifiedRange) -> String {
    let last = verified.end_index.saturating_sub(1);
    format!("entries {} to {last}, the root and its signature", verified.start_index)
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

/// What a reader might expect to be verified, and is not.
fn unknown(verified: &VerifiedRange) -> Vec<String> {
    let size = verified.checkpoint.checkpoint.size;
    let mut unknown = Vec::new();
    if verified.start_index > 0 {
        unknown.push(format!(
            "the entries before {}: they are not in the export",
            verified.start_index
        ));
    }
    if verified.end_index < size {
        unknown.push(format!(
            "the entries {} to {}: they are not in the export",
            verified.end_index,
            size - 1
        ));
    }
    unknown.extend(verified.missing_policy_sets.iter().map(|digest| {
        let digest = PolicyDigest::from(*digest);
        format!("the decisions by the policy set {digest}: its text is missing")
    }));
    match &verified.older {
        Some(older) if !older.is_prefix => unknown.push(format!(
            "whether the ledger begins with the {} entries of --against: verify an export that has them",
            older.signed.checkpoint.size
        )),
        Some(_) => {}
        None => unknown.push(
            "whether the history was rewritten before this checkpoint: compare it with a kept one, with --against"
                .to_owned(),
        ),
    }
    if verified.checkpoint.witnesses.is_empty() {
        unknown.push("when the checkpoint was signed: it has no signature of a witness".to_owned());
    }
    unknown
}

fn json_of(verified: &VerifiedRange, state: Option<&StateReport>, unknown: &[String]) -> Value {
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
        "state": state.map(StateReport::json),
        "unverified": unknown,
    })
}
