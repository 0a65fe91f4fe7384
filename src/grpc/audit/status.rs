//! Maps errors of the audit use cases to a status. This is the only place that does.

use tonic_types::FieldViolation;

use crate::{
    audit::{Error, MAX_COUNTS},
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
        Error::Tampered { account, log_index } => status::tampered(account, log_index),
        Error::EntryNotFound {
            account,
            log_index,
            tree_size,
        } => Refusal::new(
            ErrorReason::EntryNotFound,
            format!("The ledger of account {account} has {tree_size} entries and none with index {log_index}; check the index."),
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
                "Entry {log_index} of account {account} was archived in {location}; ask the operators of the service for that file."
            ),
        )
        .with("account_id", account)
        .with("log_index", log_index)
        .with("location", location)
        .with("sha256", crate::ledger::merkle::hex(&sha256)),
        Error::PolicySetNotFound(digest) => Refusal::new(
            ErrorReason::PolicySetNotFound,
            format!("No text of a policy set with the digest {digest} is kept; check the digest."),
        )
        .with("digest", digest),
        Error::TooManyCounts => status::field_violations(vec![FieldViolation::new(
            "group_by",
            format!(
                "must not give more than {MAX_COUNTS} counts: choose a shorter time, a longer interval or fewer dimensions"
            ),
        )]),
        Error::CheckpointNotFound { account, tree_size } => Refusal::new(
            ErrorReason::CheckpointNotFound,
            match tree_size {
                None => format!("Account {account} has no ledger yet; check the account."),
                Some(size) => format!("The ledger of account {account} has no checkpoint of {size} entries; check the size."),
            },
        )
        .with("account_id", account)
        .with_known("tree_size", tree_size),
        Error::NotYetCovered { account, tree_size } => Refusal::new(
            ErrorReason::NotYetCovered,
            format!(
                "The latest checkpoint of account {account} covers only {tree_size} entries; try again in a few seconds."
            ),
        )
        .with("account_id", account)
        .with("tree_size", tree_size),
        Error::InvalidSignature { account } => Refusal::new(
            ErrorReason::InvalidSignature,
            "The note has no valid signature of a configured witness; check the note and the key of the witness.",
        )
        .with("account_id", account),
        Error::Stopping => Refusal::new(
            ErrorReason::ServerStopping,
            "The server is shutting down and ended this stream; continue from where it ended, on another server or after the restart.",
        ),
        Error::Store(error) => status::store(&error),
    }
}
