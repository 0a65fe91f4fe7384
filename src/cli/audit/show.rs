//! `audit show`: one entry, with its inclusion proof.

use clap::Args;

use super::{entry::entry, proof, verifier_keys::VerifierKeyArgs};
use crate::{
    cli::{
        connection::{AuditStub, Client},
        console::Console,
        failure::{Exit, Failure, Stop},
        options::{ClientOptions, Output},
        table,
    },
    proto::v1::{AuditEntry, GetAuditEntryRequest, GetInclusionProofRequest, GetInclusionProofResponse},
};

/// Arguments of `audit show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The AWS account of the ledger: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// The index of the entry in the ledger, from 0
    #[arg(value_name = "INDEX")]
    index: u64,
    /// Request and verify an inclusion proof; exit with 9 if it does not hold
    #[arg(long)]
    proof: bool,
    #[command(flatten)]
    verifier_keys: VerifierKeyArgs,
}

pub(super) async fn show(
    options: &ClientOptions,
    client: &Client,
    args: ShowArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let account = options.account(args.account)?;
    let shown = get(client, &account, args.index).await?;
    let hash = proof::verified_hash(&shown)?;
    let proof = if args.proof {
        Some(prove(client, &account, args.index).await?)
    } else {
        None
    };
    let checks = proof
        .as_ref()
        .map(|proof| proof::verify(&shown, &hash, proof, &args.verifier_keys.keys()));
    let checks = checks.transpose()?.unwrap_or_default();
    if options.output == Output::Json {
        let message = serde_json::json!({ "entry": shown, "inclusionProof": proof });
        console.print_json(&message)?;
        let verdicts = checks.iter().filter(|(label, _)| *label != "Root hash");
        verdicts.for_each(|(_, line)| console.note(line));
        return Ok(());
    }
    console.print(entry(&shown, console.view()))?;
    if !checks.is_empty() {
        let checks = table::pairs(checks, console.view());
        console.print(format_args!("\nProof that the entry is in the ledger\n{checks}"))?;
    }
    Ok(())
}

async fn get(client: &Client, account: &str, log_index: u64) -> Result<AuditEntry, Stop> {
    let request = GetAuditEntryRequest {
        account_id: account.to_owned(),
        log_index,
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: AuditStub, request| {
            stub.get_audit_entry(request).await
        })
        .await?;
    match answer.entry {
        Some(entry) if entry.account_id == account && entry.log_index == log_index => Ok(entry),
        _ => Err(invalid_response("the service answered with another entry, or none")),
    }
}

pub(super) async fn prove(client: &Client, account: &str, log_index: u64) -> Result<GetInclusionProofResponse, Stop> {
    let request = GetInclusionProofRequest {
        account_id: account.to_owned(),
        log_index,
        tree_size: 0,
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: AuditStub, request| {
            stub.get_inclusion_proof(request).await
        })
        .await?;
    Ok(answer)
}

/// The failure for an answer that breaks the contract of the API.
pub(super) fn invalid_response(what: &str) -> Stop {
    Failure::new(Exit::General, what, "report it to the operators of the service").into()
}
