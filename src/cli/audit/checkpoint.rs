//! `checkpoint`: prints a signed checkpoint, and adds the signatures of witnesses.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};

use super::{show::invalid_response, verifier_keys::unreadable};
use crate::{
    cli::{
        connection::{AuditStub, Client},
        console::Console,
        failure::Stop,
        help::with_examples,
        options::{ClientOptions, Output},
        text::one_line,
    },
    proto::v1::{AddCheckpointSignaturesRequest, Checkpoint, GetCheckpointRequest, GetCheckpointResponse},
};

/// Arguments of `checkpoint`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CheckpointArgs {
    /// The AWS account of the ledger: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// The checkpoint with this tree size, in entries: 1 or more [default: the latest checkpoint]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    tree_size: Option<u64>,
    #[command(subcommand)]
    command: Option<CheckpointCommand>,
}

/// The commands under `checkpoint`.
#[derive(Debug, Clone, Subcommand)]
pub enum CheckpointCommand {
    /// Add the signatures of witnesses to a checkpoint of the service
    #[command(after_long_help = with_examples(&[
        "sharewarden checkpoint add-signatures --account 111122223333 cosigned.checkpoint",
        "sharewarden checkpoint add-signatures -a 111122223333 cosigned.checkpoint -o json",
    ]))]
    AddSignatures {
        /// The AWS account of the ledger: 12 digits [default: SHAREWARDEN_ACCOUNT]
        #[arg(short, long, value_name = "ACCOUNT_ID")]
        account: Option<String>,
        /// A file with the checkpoint and the signatures: the complete signed note
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(in crate::cli) async fn run(
    options: &ClientOptions,
    client: &Client,
    args: CheckpointArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match args.command {
        Some(CheckpointCommand::AddSignatures { account, file }) => {
            add_signatures(options, client, options.account(account)?, file, console).await
        }
        None => print(options, client, args, console).await,
    }
}

async fn print(
    options: &ClientOptions,
    client: &Client,
    args: CheckpointArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let account = options.account(args.account)?;
    let answer = get(client, account, args.tree_size.unwrap_or_default()).await?;
    if options.output == Output::Json {
        return console.print_json(&answer);
    }
    console.print(note(answer.checkpoint.as_ref())?)?;
    for key in &answer.verifier_keys {
        console.note(format_args!(
            "note: the service reports this verifier key: {}",
            one_line(key)
        ));
    }
    Ok(())
}

/// The checkpoint with this tree size; the latest, for 0.
pub(super) async fn get(client: &Client, account_id: String, tree_size: u64) -> Result<GetCheckpointResponse, Stop> {
    let request = GetCheckpointRequest { account_id, tree_size };
    let answer = client
        .call(client.deadline(), request, async |mut stub: AuditStub, request| {
            stub.get_checkpoint(request).await
        })
        .await?;
    Ok(answer)
}

async fn add_signatures(
    options: &ClientOptions,
    client: &Client,
    account_id: String,
    file: PathBuf,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = AddCheckpointSignaturesRequest {
        account_id,
        note: fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?,
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: AuditStub, request| {
            stub.add_checkpoint_signatures(request).await
        })
        .await?;
    if options.output == Output::Json {
        return console.print_json(&answer);
    }
    console.print(note(answer.checkpoint.as_ref())?)
}

/// The note, byte for byte. Parsing it ensures that it has no characters that control the terminal.
fn note(checkpoint: Option<&Checkpoint>) -> Result<&str, Stop> {
    let note = checkpoint
        .map(|checkpoint| checkpoint.note.as_str())
        .unwrap_or_default();
    match note.parse::<crate::ledger::Note>() {
        Ok(_) => Ok(note),
        Err(error) => Err(invalid_response(&format!(
            "the checkpoint that the service sent is invalid: {error}"
        ))),
    }
}
