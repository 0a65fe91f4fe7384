//! What went wrong with an auditor's question, as a status: the one place where these errors are mapped.

use tonic_types::FieldViolation;

use crate::{
    audit::{Error, MAX_COUNTS},
    domain::AccountId,
    grpc::{refusal::Refusal, status},
    proto::v1::ErrorReason,
};

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        refusal(error)
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Tampered { account, log_index } => tampered(account, log_index),
        Error::EntryNotFound {
            account,
            log_index,
            tree_size,
        } => Refusal::new(
            ErrorReason::EntryNotFound,
            format!("The ledger of account {account} has {tree_size} entries, and none with index {log_index}."),
        )
        .with("account_id", account)
        .with("log_index", log_index)
        .with("tree_size", tree_size),
        Error::EntryArchived {
            account,
            log_index,
            location,
            sha256,
        } => Refusal::new(
            ErrorReason::EntryArchived,
            format!(
                "Entry {log_index} of account {account} is archived in {location}; ask who runs the service for that file."
            ),
        )
        .with("account_id", account)
        .with("log_index", log_index)
        .with("location", location)
        .with("sha256", crate::ledger::merkle::hex(&sha256)),
        Error::TooManyCounts => status::field_violations(vec![FieldViolation::new(
            "group_by",
            format!(
                "must not tell apart more than {MAX_COUNTS} counts: ask for less time, longer buckets or fewer dimensions"
            ),
        )]),
        Error::CheckpointNotFound { account, tree_size } => Refusal::new(
            ErrorReason::CheckpointNotFound,
            match tree_size {
                None => format!("Account {account} has no ledger yet."),
                Some(size) => format!("The ledger of account {account} has no checkpoint of {size} entries."),
            },
        )
        .with("account_id", account)
        .with_known("tree_size", tree_size),
        Error::NotYetCovered { account, tree_size } => Refusal::new(
            ErrorReason::NotYetCovered,
            format!(
                "The latest checkpoint of account {account} covers {tree_size} entries, and not yet what is asked about; \
                 try again in a few seconds."
            ),
        )
        .with("account_id", account)
        .with("tree_size", tree_size),
        Error::InvalidSignature { account } => Refusal::new(
            ErrorReason::InvalidSignature,
            "The note holds no signature of a configured witness that verifies.",
        )
        .with("account_id", account),
        Error::Stopping => Refusal::new(
            ErrorReason::ServerStopping,
            "The server stops, and ends this stream; ask again, from where it ended.",
        ),
        Error::Store(error) => status::store(&error),
    }
}

/// Logged as loud as can be: somebody has changed history, or lost it.
fn tampered(account: AccountId, log_index: u64) -> Refusal {
    tracing::error!(account_id = %account, log_index, "the ledger was tampered with");
    Refusal::new(
        ErrorReason::LedgerTampered,
        format!(
            "Entry {log_index} in the ledger of account {account} is not what was recorded: do not trust the store, and \
             tell its operators and auditors."
        ),
    )
    .with("account_id", account)
    .with("log_index", log_index)
}
