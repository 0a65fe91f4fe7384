//! `audit verify --state`: compares the rows that no hash covers with the verified entries of their ledger.
//!
//! [`recorded_rows`] says what the entries tell, [`rows`] and [`counts`] ask the service, [`report`] has the result.
//!
//! The service goes on meanwhile. A row is read after the entries up to the first checkpoint, so it shows the ledger at that
//! size or at a larger one. If a row differs, the entries that were added before it was read are verified too, and it must be
//! right at one of these sizes. So a service under load shows no difference, and no row has to be read twice.

mod counts;
mod recorded_rows;
mod report;
mod rows;

use std::time::Duration;

pub(super) use self::report::StateReport;
use self::{counts::Tallies, report::Difference, rows::Row};
use super::{
    ledger_stream::{LedgerStream, tree_size},
    proof::TAMPERED,
    verify::failure,
};
use crate::{
    cli::{
        connection::Client,
        failure::{Exit, Failure, Stop},
    },
    domain::{AccountId, RecordedState, entry::decode, recorded_state::Contradiction},
    ledger::{VerifierKey, export::Header, verify::LedgerVerifier},
    proto::v1::ExportAuditEntriesRequest,
};

/// How long to wait for a checkpoint of the entries that were added. A service signs every few seconds.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// The entries of a ledger so far, with the state that they tell.
pub(super) struct FollowedLedger {
    account: AccountId,
    size: u64,
    recorded: RecordedState,
}

impl FollowedLedger {
    pub(super) fn new(account: AccountId) -> Self {
        Self {
            account,
            size: 0,
            recorded: RecordedState::default(),
        }
    }

    /// Takes the next verified entry.
    pub(super) fn entry(&mut self, canonical: &str) -> Result<(), Failure> {
        let decoded = decode(canonical).map_err(|error| self.failure(Exit::Tampered, &error.to_string(), TAMPERED))?;
        self.recorded.apply(&decoded.entry).map_err(|wrong| {
            let (exit, hint) = match wrong {
                Contradiction::Unknown => (Exit::NotPossible, "use a client as new as the service"),
                Contradiction::Accepted
                | Contradiction::Repeated
                | Contradiction::Observed
                | Contradiction::Drifted
                | Contradiction::Ended => (Exit::Tampered, TAMPERED),
            };
            self.failure(exit, &wrong.to_string(), hint)
        })?;
        self.size += 1;
        Ok(())
    }

    fn failure(&self, exit: Exit, what: &str, hint: &'static str) -> Failure {
        Failure::new(
            exit,
            format!("account {}, entry {}: {what}", self.account, self.size),
            hint,
        )
    }

    /// Compares the rows with the entries. All entries up to the checkpoint of `header` were taken.
    pub(super) async fn compare(
        mut self,
        client: &Client,
        keys: &[VerifierKey],
        header: &Header,
    ) -> Result<StateReport, Stop> {
        let listed = rows::list(client, self.account, &self.recorded).await?;
        let tallies = counts::read(client, self.account, &self.recorded).await?;
        let mut report = StateReport::of(&listed.names);
        let told = recorded_rows::names(&self.recorded);
        let missing = told.filter(|name| !listed.names.contains(name));
        report.differences = missing.map(|name| Difference::of_row(&name, true)).collect();
        let mut open = listed.different;
        let fewest = Tallies::recorded(&self.recorded);
        report.counts = fewest.len();
        let counts_differ = !tallies.differences(&fewest, &fewest).is_empty();
        if !open.is_empty() || counts_differ {
            let live = tree_size(client, self.account).await?;
            self.go_on(client, keys, header, live, &mut open).await?;
        }
        report
            .differences
            .extend(open.iter().flat_map(|row| row.differences(&self.recorded)));
        let most = Tallies::recorded(&self.recorded);
        report.differences.extend(tallies.differences(&fewest, &most));
        report.end_index = self.size;
        Ok(report)
    }

    /// Verifies the entries that were added, up to `size` at least. Drops each row that is right after one of them.
    async fn go_on(
        &mut self,
        client: &Client,
        keys: &[VerifierKey],
        header: &Header,
        size: u64,
        open: &mut Vec<Row>,
    ) -> Result<(), Stop> {
        if size <= self.size {
            return Ok(());
        }
        let mut ledger = self.signed(client, size).await?;
        let next = ledger.header().clone();
        let mut verifier =
            LedgerVerifier::new(&next, keys, Some(&header.checkpoint)).map_err(|wrong| failure(&wrong))?;
        while let Some(entries) = ledger.next().await? {
            verifier.entries(&entries).map_err(|wrong| failure(&wrong))?;
            for (canonical, _) in &entries {
                self.entry(canonical)?;
                open.retain(|row| !row.is_as(&self.recorded));
            }
        }
        verifier.finish().map_err(|wrong| failure(&wrong))?;
        Ok(())
    }

    /// The stream of the entries that were added, once a checkpoint covers `size` of them.
    async fn signed<'a>(&self, client: &'a Client, size: u64) -> Result<LedgerStream<'a>, Stop> {
        let request = ExportAuditEntriesRequest {
            account_id: self.account.to_string(),
            start_index: self.size,
            ..ExportAuditEntriesRequest::default()
        };
        let covering = async {
            loop {
                let ledger = LedgerStream::open(client, request.clone()).await?;
                if ledger.header().start_index == self.size && ledger.header().end_index >= size {
                    return Ok(ledger);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(CHECKPOINT_WAIT, covering)
            .await
            .unwrap_or_else(|_| {
                let waited = CHECKPOINT_WAIT.as_secs();
                let what = format!(
                    "account {}: no checkpoint covers {size} entries after {waited} s",
                    self.account
                );
                Err(Failure::new(
                    Exit::TryLater,
                    what,
                    "rows differ, and newer entries may explain it; try again",
                )
                .into())
            })
    }
}
