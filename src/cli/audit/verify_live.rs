//! `audit verify` of what a service has, without trusting it: every entry comes over, and is hashed here.

use super::ledgers::{self, Ledger};
use super::progress::Progress;
use super::verify::{self, VerifyArgs, failure};
use crate::cli::connection::Connection;
use crate::cli::console::Console;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::options::ClientOptions;
use crate::ledger::verify::LedgerVerifier;
use crate::proto::v1::ExportAuditEntriesRequest;

pub(super) async fn verify(
    options: &ClientOptions,
    connection: &Connection,
    args: VerifyArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    args.check_folders()?;
    if let Some(account) = &args.account {
        return ledger(options, connection, &args, account, console).await;
    }
    all(options, connection, &args, console).await
}

/// Verifies every ledger, whatever is found in one; the worst of what is found is the failure of the command.
async fn all(
    options: &ClientOptions,
    connection: &Connection,
    args: &VerifyArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let accounts = ledgers::accounts(connection).await?;
    if accounts.is_empty() {
        console.note("note: there are no ledgers");
    }
    let mut worst: Option<Failure> = None;
    for (at, account) in accounts.iter().enumerate() {
        if at > 0 && options.output == crate::cli::options::Output::Table {
            console.print_line("")?;
        }
        match ledger(options, connection, args, account, console).await {
            Ok(()) => {}
            Err(Stop::OutputClosed) => return Err(Stop::OutputClosed),
            Err(Stop::Failed(failure)) => {
                console.note(format_args!("account {account}: {failure}"));
                if worst.as_ref().is_none_or(|worst| !worst.is(Exit::Tampered)) {
                    worst = Some(failure);
                }
            }
        }
    }
    worst.map_or(Ok(()), |failure| Err(failure.into()))
}

async fn ledger(
    options: &ClientOptions,
    connection: &Connection,
    args: &VerifyArgs,
    account_id: &str,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = ExportAuditEntriesRequest {
        account_id: account_id.to_owned(),
        ..ExportAuditEntriesRequest::default()
    };
    let mut ledger = Ledger::open(connection, request).await?;
    let header = ledger.header().clone();
    let older = args.against(Some(header.account))?;
    let mut verifier = LedgerVerifier::new(&header, &args.keys(), older.as_deref()).map_err(|wrong| failure(&wrong))?;
    let mut progress = Progress::new(console, &format!("verifying {account_id}"));
    progress.total(verifier.progress().total);
    while let Some(entries) = ledger.next().await? {
        for (canonical, hash) in &entries {
            verifier
                .entry(canonical.as_bytes(), hash)
                .map_err(|wrong| failure(&wrong))?;
        }
        progress.done(verifier.progress().done);
    }
    let verified = verifier.finish().map_err(|wrong| failure(&wrong))?;
    drop(progress);
    args.save(header.account, &header.checkpoint)?;
    verify::print(options.output, &verified, console)
}
