//! `audit verify` of the ledgers in a service, without trusting it: it downloads and hashes every entry. A ledger with a kept
//! checkpoint must exist, even if the service does not list it.

use std::collections::BTreeSet;

use super::{
    ledger_stream::{self, LedgerStream, OpenError},
    policy_sets,
    show::invalid_response,
    state::FollowedLedger,
    verify::{self, VerifyArgs, failure},
};
use crate::{
    cli::{
        connection::Client,
        console::Console,
        failure::{Exit, Failure, Stop},
        options::ClientOptions,
        progress::ProgressMeter,
    },
    client::Error,
    domain::AccountId,
    ledger::{
        checkpoint,
        verify::{LedgerError, LedgerVerifier, VerifyError},
    },
    proto::v1::{ErrorReason, ExportAuditEntriesRequest},
};

pub(super) async fn verify(
    options: &ClientOptions,
    client: &Client,
    args: VerifyArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    args.check_folders()?;
    if let Some(account) = &args.account {
        return ledger(options, client, &args, account, &mut false, console).await;
    }
    all(options, client, &args, console).await
}

/// Verifies every ledger, and continues after a failure. The command fails with the first tampering; without one, with the last
/// failure.
async fn all(
    options: &ClientOptions,
    client: &Client,
    args: &VerifyArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut accounts: BTreeSet<_> = ledger_stream::accounts(client).await?.into_iter().collect();
    accounts.extend(args.kept_accounts()?.iter().map(AccountId::to_string));
    if accounts.is_empty() {
        console.note("note: there are no ledgers");
    }
    let mut worst: Option<Failure> = None;
    let mut has_printed = false;
    for account in &accounts {
        match ledger(options, client, args, account, &mut has_printed, console).await {
            Ok(()) => {}
            Err(Stop::OutputClosed) => return Err(Stop::OutputClosed),
            Err(Stop::Failed(failure)) => {
                let failure = failure.of_account(account);
                // The worst one is the error of the command, so it is not a note too.
                let lesser = match &worst {
                    Some(worst) if worst.is(Exit::Tampered) => Some(failure),
                    _ => worst.replace(failure),
                };
                if let Some(lesser) = lesser {
                    console.note(format_args!("error: {lesser}"));
                }
            }
        }
    }
    worst.map_or(Ok(()), |failure| Err(failure.into()))
}

async fn ledger(
    options: &ClientOptions,
    client: &Client,
    args: &VerifyArgs,
    account_id: &str,
    has_printed: &mut bool,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = ExportAuditEntriesRequest {
        account_id: account_id.to_owned(),
        ..ExportAuditEntriesRequest::default()
    };
    let mut ledger = match LedgerStream::open(client, request).await {
        Ok(ledger) => ledger,
        Err(OpenError::Refused(error)) => return Err(refused(args, account_id, error)),
        Err(broken) => return Err(broken.into()),
    };
    let header = ledger.header().clone();
    let part = || {
        let what = format!("account {account_id}: the service sent a part of the ledger, but all of it was requested");
        invalid_response(&what)
    };
    if header.start_index > 0 || header.end_index == 0 {
        return Err(part());
    }
    let older = args.against(Some(header.account))?;
    let mut verifier = LedgerVerifier::new(&header, &args.keys(), older.as_deref()).map_err(|wrong| failure(&wrong))?;
    let progress = ProgressMeter::of(console, &format!("verifying {account_id}"), "entries");
    progress.total(verifier.progress().total);
    let mut followed = args.state.then(|| FollowedLedger::new(header.account));
    while let Some(entries) = ledger.next().await? {
        verifier.entries(&entries).map_err(|wrong| failure(&wrong))?;
        if let Some(followed) = &mut followed {
            entries
                .iter()
                .try_for_each(|(canonical, _)| followed.entry(canonical))?;
        }
        progress.done(verifier.progress().done);
    }
    for digest in verifier.policy_sets().collect::<Vec<_>>() {
        if let Some(set) = policy_sets::text(client, digest).await? {
            verifier.policy_set(&set).map_err(|wrong| failure(&wrong))?;
        }
    }
    let verified = verifier.finish().map_err(|wrong| failure(&wrong))?;
    drop(progress);
    if verified.end_index != verified.checkpoint.checkpoint.size {
        return Err(part());
    }
    let state = match followed {
        Some(followed) => Some(followed.compare(client, &args.keys(), &header).await?),
        None => None,
    };
    // An empty line separates the ledgers. One that fails before prints nothing.
    if std::mem::replace(has_printed, true) && options.output == crate::cli::options::Output::Table {
        console.print_line("")?;
    }
    verify::conclude(
        options.output,
        args,
        &verified,
        state.as_ref(),
        &header.checkpoint,
        console,
    )
}

/// The failure if the service refuses the export. A ledger with a kept checkpoint must exist.
fn refused(args: &VerifyArgs, account_id: &str, error: Error) -> Stop {
    if error.known_reason() != Some(ErrorReason::CheckpointNotFound) {
        return error.into();
    }
    match gone(args, account_id) {
        Ok(None) => error.into(),
        Ok(Some(failure)) | Err(failure) => failure.into(),
    }
}

/// The failure if the service has no checkpoint of this account; `None` if there is no kept checkpoint either.
fn gone(args: &VerifyArgs, account_id: &str) -> Result<Option<Failure>, Failure> {
    let Ok(account) = account_id.parse::<AccountId>() else {
        return Ok(None);
    };
    let Some(kept) = args.against(Some(account))? else {
        return Ok(None);
    };
    let fault = match checkpoint::open(&kept, &args.keys(), account) {
        Ok(kept) if kept.checkpoint.size == 0 => return Ok(None),
        Ok(kept) => LedgerError::Truncated {
            older: kept.checkpoint.size,
            size: 0,
        },
        Err(error) => LedgerError::Older(error),
    };
    Ok(Some(failure(&VerifyError::Ledger { account, error: fault })))
}
