//! `audit show`: one entry, and the proof that it is in the ledger.

use clap::Args;

use super::entry::entry;
use super::proof;
use super::trust::TrustArgs;
use crate::cli::connection::{AuditClient, Connection};
use crate::cli::console::Console;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::options::{ClientOptions, Output};
use crate::cli::text::one_line;
use crate::proto::v1::{AuditEntry, GetAuditEntryRequest, GetInclusionProofRequest, GetInclusionProofResponse};

/// Arguments of `audit show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The AWS account whose ledger it is: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: String,
    /// The place of the entry in the ledger, from 0
    #[arg(value_name = "INDEX")]
    index: u64,
    /// Prove that the entry is in the ledger; exit with 9 if the proof does not hold
    #[arg(long)]
    proof: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) async fn show(
    options: &ClientOptions,
    connection: &Connection,
    args: ShowArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let shown = get(connection, &args).await?;
    let hash = proof::hash_of(&shown)?;
    let proof = if args.proof {
        Some(prove(connection, &args).await?)
    } else {
        None
    };
    let said = proof
        .as_ref()
        .map(|proof| proof::verify(&shown, &hash, proof, &args.trust.keys()));
    let said = said.transpose()?.unwrap_or_default();
    if options.output == Output::Json {
        let message = serde_json::json!({ "entry": shown, "inclusionProof": proof });
        console.print_json(&message)?;
    } else {
        console.print(entry(&shown, console.width()))?;
        // Not wrapped: this is what is hashed.
        console.print_line(format_args!("\n{}", one_line(&shown.canonical)))?;
    }
    said.iter().for_each(|line| console.note(line));
    Ok(())
}

async fn get(connection: &Connection, args: &ShowArgs) -> Result<AuditEntry, Stop> {
    let request = GetAuditEntryRequest {
        account_id: args.account.clone(),
        log_index: args.index,
    };
    let answer = connection
        .call(
            connection.deadline(),
            request,
            async |mut client: AuditClient, request| client.get_audit_entry(request).await,
        )
        .await?;
    match answer.entry {
        Some(entry) if entry.account_id == args.account && entry.log_index == args.index => Ok(entry),
        _ => Err(wrong_answer("the service answered with another entry, or none")),
    }
}

async fn prove(connection: &Connection, args: &ShowArgs) -> Result<GetInclusionProofResponse, Stop> {
    let request = GetInclusionProofRequest {
        account_id: args.account.clone(),
        log_index: args.index,
        tree_size: 0,
    };
    let answer = connection
        .call(
            connection.deadline(),
            request,
            async |mut client: AuditClient, request| client.get_inclusion_proof(request).await,
        )
        .await?;
    Ok(answer)
}

/// An answer that breaks the contract.
pub(super) fn wrong_answer(what: &str) -> Stop {
    Failure::new(Exit::General, what, "report it to the operators of the service").into()
}
