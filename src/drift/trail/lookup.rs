//! Reads pages of CloudTrail at the pace that CloudTrail allows. Others in the account may look up too, so a lookup that is
//! throttled is tried again a few times.

use std::time::Duration;

use crate::{
    domain::{AwsError, AwsErrorKind, Timestamp},
    store::{
        StoreError,
        drift::trail::{self, ClaimedTrail},
    },
    workspaces::{EventPage, PageCursor},
};

use super::DriftParts;

/// How long a replica keeps an account and Region without a sign of life. No page takes longer, with all its tries.
pub(super) const LEASE: Duration = Duration::from_mins(3);

/// The time between two lookups in an account and Region. CloudTrail allows two a second.
const SPACING: Duration = Duration::from_millis(500);

/// The most tries of a page.
const MAX_TRIES: u32 = 6;
/// The delay after the first try that was throttled; it doubles.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay between two tries.
const LONGEST_DELAY: Duration = Duration::from_secs(15);

/// Why no page was read.
#[derive(Debug)]
pub(super) enum NoPage {
    /// CloudTrail did not answer, or refused.
    Aws(AwsError),
    /// Another replica reads now.
    LeaseLost,
}

impl DriftParts {
    /// Renews the lease, and reads the next page of the events from `first` to `last`.
    pub(super) async fn next_page(
        &self,
        claimed: &ClaimedTrail,
        times: (Timestamp, Timestamp),
        cursor: &mut PageCursor,
    ) -> Result<Result<EventPage, NoPage>, StoreError> {
        if !trail::renew(&self.database, claimed, LEASE).await? {
            return Ok(Err(NoPage::LeaseLost));
        }
        let (mut tries, mut delay) = (1, FIRST_DELAY);
        loop {
            self.clock.sleep(SPACING).await;
            let answer = self
                .workspaces
                .next_events(claimed.account, &claimed.region, times, cursor);
            match answer.await.result {
                Ok(page) => return Ok(Ok(page)),
                Err(error) if tries < MAX_TRIES && matches!(error.kind, AwsErrorKind::Throttled { .. }) => {
                    self.clock.sleep(delay).await;
                    (tries, delay) = (tries + 1, (delay * 2).min(LONGEST_DELAY));
                }
                Err(error) => return Ok(Err(NoPage::Aws(error))),
            }
        }
    }
}
