//! The position of a watch in each ledger, from which it continues after a disconnect without a gap or a duplicate.

use std::collections::BTreeMap;

use crate::{
    cli::failure::{Exit, Failure},
    proto::v1::{
        AuditEntry, WatchAuditEntriesRequest, WatchPosition, WatchStarted, watch_audit_entries_request::Start,
    },
};

/// The next index of each known ledger.
pub(super) struct WatchState {
    account_ids: Vec<String>,
    next: BTreeMap<String, u64>,
    start: Start,
    /// True after the first start. From then on, an account without a position is new and begins at index 0.
    begun: bool,
}

impl WatchState {
    pub(super) fn new(account_ids: Vec<String>, positions: BTreeMap<String, u64>, start: Start) -> Self {
        Self {
            account_ids,
            next: positions,
            start,
            begun: false,
        }
    }

    /// The request that continues at the current positions.
    pub(super) fn request(&self) -> WatchAuditEntriesRequest {
        let position = |(account_id, next_index): (&String, &u64)| WatchPosition {
            account_id: account_id.clone(),
            next_index: *next_index,
        };
        WatchAuditEntriesRequest {
            account_ids: self.account_ids.clone(),
            positions: self.next.iter().map(position).collect(),
            start: if self.begun { Start::Beginning } else { self.start }.into(),
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Stores the positions at which the service begins. Known positions stay unchanged.
    pub(super) fn started(&mut self, started: WatchStarted) {
        if !self.begun {
            for position in started.positions {
                self.next.entry(position.account_id).or_insert(position.next_index);
            }
        }
        self.begun = true;
    }

    /// The new entries, without those that were already received.
    ///
    /// # Errors
    /// If the service left out an entry.
    pub(super) fn fresh(&mut self, entries: Vec<AuditEntry>) -> Result<Vec<AuditEntry>, Failure> {
        let mut fresh = Vec::with_capacity(entries.len());
        for entry in entries {
            let next = self.next.entry(entry.account_id.clone()).or_default();
            if entry.log_index > *next {
                return Err(gap(&entry, *next));
            }
            if entry.log_index == *next {
                *next += 1;
                fresh.push(entry);
            }
        }
        Ok(fresh)
    }
}

fn gap(entry: &AuditEntry, expected: u64) -> Failure {
    let what = format!(
        "account {}: the service left out entry {expected} and sent {}",
        entry.account_id, entry.log_index
    );
    let hint = "list the entries with `sharewarden audit list`, and report it to the operators of the service";
    Failure::new(Exit::General, what, hint)
}
