//! The other way: calls of the service that AWS accepted, and that CloudTrail does not have a day later.
//!
//! Such a call may be one that did not reach AWS, or a trail that somebody tampered with. It is counted, and the log names its
//! change.

use std::time::Duration;

use crate::{
    domain::Timestamp,
    store::{
        StoreError,
        drift::{
            events::{self, AcceptedCalls},
            trail,
        },
    },
    workspaces::PageCursor,
};

use super::{
    lookup::NoPage,
    round::{KEPT, Round},
};

/// How long after the end of a change its call must be in CloudTrail.
const CHECK_AFTER: Duration = Duration::from_hours(24);

/// The time that is checked at once.
const STEP: Duration = Duration::from_hours(1);

/// A change that took longer is not checked: its call could be anywhere in this time.
const LONGEST_CHANGE: Duration = Duration::from_hours(1);

/// How far the clocks of AWS and of the database may differ.
const CLOCKS: Duration = Duration::from_mins(5);

/// The most calls that are checked at once, about 100 bytes each.
const MAX_CALLS: usize = 100_000;

/// The most changes that the log names.
const MAX_NAMED: usize = 10;

impl Round {
    /// Checks an hour of calls, if one is due.
    pub(super) async fn check(&self) -> Result<Result<(), NoPage>, StoreError> {
        let (database, claimed) = (&self.parts.database, &self.trail);
        let latest = self.now() - CHECK_AFTER;
        let first = claimed
            .checked_until
            .map_or(latest - STEP, |until| until.max(self.now() - KEPT + STEP));
        let mut step = STEP;
        if first + step > latest {
            return Ok(Ok(()));
        }
        let (until, accepted) = loop {
            let until = first + step;
            let endpoint = (claimed.account, &claimed.region);
            let accepted =
                events::accepted_calls(database, endpoint, (first, until), LONGEST_CHANGE, MAX_CALLS).await?;
            if accepted.calls.len() < MAX_CALLS || step < CLOCKS {
                break (until, accepted);
            }
            step /= 2;
        };
        let missing = match self.without_event(accepted, until).await? {
            Ok(missing) => missing,
            Err(stopped) => return Ok(Err(stopped)),
        };
        let count = u64::try_from(missing.calls.len()).unwrap_or(u64::MAX);
        if count > 0 {
            let changes: Vec<_> = missing
                .calls
                .values()
                .take(MAX_NAMED)
                .map(ToString::to_string)
                .collect();
            tracing::warn!(
                account_id = %claimed.account, region = %claimed.region, calls = count, changes = changes.join(" "),
                "CloudTrail does not have calls of the service that AWS accepted a day ago"
            );
        }
        trail::note_checked(database, claimed, claimed.checked_until, until, count).await?;
        Ok(Ok(()))
    }

    /// Those of the calls that CloudTrail does not have.
    async fn without_event(
        &self,
        mut accepted: AcceptedCalls,
        until: Timestamp,
    ) -> Result<Result<AcceptedCalls, NoPage>, StoreError> {
        let Some(first) = accepted.first else {
            return Ok(Ok(accepted));
        };
        let (times, mut cursor) = ((first - CLOCKS, until + CLOCKS), PageCursor::default());
        while !cursor.is_at_end() && !accepted.calls.is_empty() {
            let page = match self.parts.next_page(&self.trail, times, &mut cursor).await? {
                Ok(page) => page,
                Err(stopped) => return Ok(Err(stopped)),
            };
            for id in page.events.iter().filter_map(|read| read.aws_request_id.as_ref()) {
                accepted.calls.remove(id);
            }
        }
        Ok(Ok(accepted))
    }
}
