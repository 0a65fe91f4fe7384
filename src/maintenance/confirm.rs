//! `audit confirm`: an operator confirms a ledger that has entries and no checkpoint.

use serde_json::json;

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::{
    audit::Confirmation,
    domain::{AccountId, ConfirmationBody, Justification, Principal, Reason, Ticket},
    ledger::{
        Hash,
        merkle::{hex, parse_hash},
    },
    server,
};

/// The arguments of `audit confirm`.
#[derive(Debug, clap::Args)]
pub struct ConfirmOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// The account of the ledger: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: AccountId,
    /// Confirm this number of entries
    #[arg(long, value_name = "N", requires_all = ["root_hash", "operator", "reason"])]
    tree_size: Option<u64>,
    /// Confirm this root of these entries: 64 lower-case hex digits
    #[arg(long, value_name = "HEX", value_parser = root_hash, requires = "tree_size")]
    root_hash: Option<Hash>,
    /// Your name, for the audit history: 1 to 256 visible ASCII characters. It is not authenticated
    #[arg(long, value_name = "NAME", requires = "tree_size")]
    operator: Option<Principal>,
    /// Why you confirm, for the audit history: 1 to 1024 characters
    #[arg(long, value_name = "TEXT", requires = "tree_size")]
    reason: Option<Reason>,
    /// The id of a ticket, for the audit history: at most 128 characters
    #[arg(long, value_name = "TEXT", requires = "tree_size")]
    ticket: Option<Ticket>,
}

fn root_hash(text: &str) -> Result<Hash, &'static str> {
    parse_hash(text).ok_or("must be 64 lower-case hex digits")
}

pub(super) async fn confirm(options: ConfirmOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let (config, telemetry) = options.config.begin()?;
    let account = options.account;
    let statement = (options.tree_size, options.root_hash, options.operator, options.reason);
    let (result, note) = if let (Some(tree_size), Some(root), Some(operator), Some(reason)) = statement {
        let body = ConfirmationBody {
            operator,
            justification: Justification::new(reason, options.ticket),
            root,
            tree_size,
        };
        let confirmed = server::confirm(&config, &Confirmation { account, body }).await;
        telemetry.end().await;
        let (index, covered) = confirmed?;
        (
            json!({ "accountId": account.to_string(), "logIndex": index.to_string(), "checkpointSize": covered.to_string() }),
            format!("recorded as entry {index} of account {account}; its checkpoint of {covered} entries is signed"),
        )
    } else {
        let confirmable = server::confirmable(&config, account).await;
        telemetry.end().await;
        let (size, root) = confirmable?;
        let root = hex(&root);
        (
            json!({ "accountId": account.to_string(), "treeSize": size.to_string(), "rootHash": root }),
            format!(
                "the ledger of account {account} has {size} entries, which match their hashes, and no checkpoint; compare it with \
                 what is kept elsewhere, then confirm it with --tree-size {size} --root-hash {root} --operator NAME --reason TEXT"
            ),
        )
    };
    results.note(note);
    results.json(&result)?;
    Ok(())
}
