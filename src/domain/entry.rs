//! An entry: one line of an account's ledger.

use std::sync::Arc;

use super::{Access, Attempt, Change, Failure, Intent, Timestamp, change::names};

/// What an entry says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A change was accepted; AWS has not been asked yet.
    Requested,
    /// The policy refused; nothing was accepted.
    Denied,
    /// The change is in effect.
    Succeeded,
    /// The change is known not to be in effect.
    Failed,
    /// A newer change took its place.
    Superseded,
}
names!(Stage {
    Requested = "REQUESTED",
    Denied = "DENIED",
    Succeeded = "SUCCEEDED",
    Failed = "FAILED",
    Superseded = "SUPERSEDED",
});

/// One line of an account's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the account's ledger, from 0, gapless.
    pub log_index: u64,
    /// When it was recorded, on the database's clock; never before the entry in front of it.
    pub recorded_at: Timestamp,
    /// What happened.
    pub stage: Stage,
    /// Who wanted what, and why.
    pub intent: Arc<Intent>,
    /// The generation that the change set; none for a refusal.
    pub generation: Option<u64>,
    /// What AWS was known to hold when the change was accepted.
    pub previous: Option<Access>,
    /// The calls to AWS so far.
    pub attempts: Vec<Attempt>,
    /// Why the change failed.
    pub failure: Option<Failure>,
    /// The rule of the policy that refused.
    pub denied_by: Option<String>,
}

impl Entry {
    /// The entry that says where `change` stands now.
    pub fn of_change(change: &Change, stage: Stage, log_index: u64, recorded_at: Timestamp) -> Self {
        Self {
            log_index,
            recorded_at,
            stage,
            intent: change.intent.clone(),
            generation: Some(change.generation),
            previous: change.previous,
            attempts: change.attempts.clone(),
            failure: change.failure.clone(),
            denied_by: None,
        }
    }
}
