//! One round of an account and Region: all events since the last round.
//!
//! The events are read in slices of time, the earliest first. What is complete is saved after each slice, so another replica goes
//! on there. A slice is shortened if it has very many events.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::MonotonicInstant,
    domain::{
        AwsError, AwsErrorKind, EventOrigin, FailureReason, OwnIdentity, SharingEvent, Timestamp,
        trail::origin,
        transition::{Command, CommandReply},
    },
    store::{
        StoreError,
        drift::{
            events,
            trail::{self, ClaimedTrail},
        },
    },
    workspaces::{EventPage, PageCursor},
};

use super::{DriftParts, lookup::NoPage};

/// How late CloudTrail's events are: 15 minutes typically, according to AWS. Until then the reading is not complete.
const LATENESS: Duration = Duration::from_mins(15);

/// How much of the time that counts as complete is read again, for events that are even later.
const OVERLAP: Duration = Duration::from_mins(20);

/// How long events can be looked up. The first round reads all of this time.
pub(super) const KEPT: Duration = Duration::from_hours(90 * 24);

/// The shortest slice.
const SHORTEST_SLICE: Duration = Duration::from_mins(1);

/// The most pages of a longer slice.
const PAGES_OF_SLICE: u32 = 40;

/// How long a replica goes on with an account and Region before it claims again.
const TURN: Duration = Duration::from_mins(10);

/// The longest time from a round to the next.
const NEXT_ROUND: Duration = Duration::from_mins(5);

/// The delay after CloudTrail refused. The role may not be allowed to look up.
const REFUSED_DELAY: Duration = Duration::from_hours(1);

/// The delay after events could not be recorded.
const AGAIN_AFTER_COMMIT: Duration = Duration::from_secs(5);

/// A round of a replica.
pub(super) struct Round {
    pub(super) parts: DriftParts,
    pub(super) trail: ClaimedTrail,
    own: OwnIdentity,
    begun: MonotonicInstant,
}

/// How the reading of a slice or of a round ended.
enum Reading<T> {
    Done(T),
    /// It has too many pages, or takes too long for one turn.
    TooLong,
    NoPage(NoPage),
    NotRecorded,
}

impl Round {
    pub(super) fn new(parts: DriftParts, trail: ClaimedTrail) -> Self {
        Self {
            own: parts.workspaces.own_identity(trail.account),
            begun: parts.clock.monotonic_now(),
            parts,
            trail,
        }
    }

    /// Reads all events that can be found, and checks the calls of the service once an hour.
    pub(super) async fn take(self) -> Result<(), StoreError> {
        let stopped = match self.read().await? {
            Reading::Done(()) => self.check().await?.err(),
            Reading::NoPage(stopped) => Some(stopped),
            Reading::TooLong => return self.release(Duration::ZERO, None).await,
            Reading::NotRecorded => return self.release(AGAIN_AFTER_COMMIT, None).await,
        };
        match stopped {
            None => self.release(NEXT_ROUND.min(self.parts.settings.interval), None).await,
            Some(NoPage::Aws(error)) => self.cannot_go_on(&error).await,
            Some(NoPage::LeaseLost) => Ok(()),
        }
    }

    /// The time on the database's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.trail.now + self.passed()
    }

    fn passed(&self) -> Duration {
        self.parts.clock.monotonic_now().since(self.begun)
    }

    async fn read(&self) -> Result<Reading<()>, StoreError> {
        let oldest = self.now() - KEPT;
        // What lies ahead was saved before the database's clock was set back.
        let until = self.trail.complete_until.map(|until| until.min(self.now() - LATENESS));
        let mut first = until.map_or(oldest, |until| (until - OVERLAP).max(oldest));
        let (mut slice, mut undecided) = (KEPT, None);
        loop {
            let begin = self.now();
            let last = (first + slice).min(begin);
            let limit = if slice > SHORTEST_SLICE {
                PAGES_OF_SLICE
            } else {
                u32::MAX
            };
            let (pages, of_slice) = match self.read_slice((first, last), limit).await? {
                Reading::Done(read) => read,
                Reading::TooLong => {
                    slice = (last.since(first) / 8).max(SHORTEST_SLICE);
                    continue;
                }
                Reading::NoPage(stopped) => return Ok(Reading::NoPage(stopped)),
                Reading::NotRecorded => return Ok(Reading::NotRecorded),
            };
            undecided = earlier(undecided, of_slice);
            let complete = last.min(begin - LATENESS);
            let complete = undecided.map_or(complete, |undecided| complete.min(undecided));
            trail::advance(&self.parts.database, &self.trail, complete).await?;
            if last == begin {
                return Ok(Reading::Done(()));
            }
            if self.passed() >= TURN {
                return Ok(Reading::TooLong);
            }
            first = last;
            if pages < PAGES_OF_SLICE / 8 {
                slice = (slice * 2).min(KEPT);
            }
        }
    }

    /// Reads the events of a time, and records those of others. Returns the number of pages, and the time of the first event that
    /// cannot be decided about yet.
    async fn read_slice(
        &self,
        times: (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Reading<(u32, Option<Timestamp>)>, StoreError> {
        let (mut cursor, mut pages, mut unreadable, mut undecided) = (PageCursor::default(), 0, 0, None);
        while !cursor.is_at_end() {
            if pages >= limit {
                return Ok(Reading::TooLong);
            }
            let page = match self.parts.next_page(&self.trail, times, &mut cursor).await? {
                Ok(page) => page,
                Err(stopped) => return Ok(Reading::NoPage(stopped)),
            };
            pages += 1;
            unreadable += page.unreadable;
            match self.record(&page).await? {
                Some(of_page) => undecided = earlier(undecided, of_page),
                None => return Ok(Reading::NotRecorded),
            }
        }
        if unreadable > 0 {
            tracing::warn!(
                account_id = %self.trail.account, region = %self.trail.region, events = unreadable,
                "some events of CloudTrail have a form that is not known; they are skipped"
            );
        }
        Ok(Reading::Done((pages, undecided)))
    }

    /// Records the events of others on a page. Returns the time of the first event that cannot be decided about yet. None if an
    /// event could not be recorded.
    async fn record(&self, page: &EventPage) -> Result<Option<Option<Timestamp>>, StoreError> {
        let (database, trail) = (&self.parts.database, &self.trail);
        let known = events::on_record(database, trail.account, &trail.region, &page.events).await?;
        let is_call = |id: &String| known.calls.contains(id);
        let mut undecided = None;
        for read in &page.events {
            if known.events.contains(&read.event.id) || read.aws_request_id.as_ref().is_some_and(is_call) {
                continue;
            }
            let changes = events::candidates(database, read).await?;
            match origin(read, &changes, &self.own) {
                EventOrigin::Service => {}
                EventOrigin::NotKnownYet => undecided = earlier(undecided, Some(read.event.at)),
                EventOrigin::PastTheService if self.record_event(&read.event).await => {}
                EventOrigin::PastTheService => return Ok(None),
            }
        }
        Ok(Some(undecided))
    }

    /// False if the event is not recorded now.
    async fn record_event(&self, event: &SharingEvent) -> bool {
        let command = Command::RecordEvent(Arc::new(event.clone()));
        match self.parts.commits.commit(command).await {
            Ok(CommandReply::EventRecorded(index)) => {
                tracing::info!(
                    permission = %event.key, access = event.access.as_str(), event_id = %event.id, log_index = index,
                    "CloudTrail has a call to AWS that somebody made past the service"
                );
                true
            }
            Ok(reply) => reply == CommandReply::EventOnRecord,
            Err(error) => {
                tracing::info!(account_id = %event.key.account, %error, "an event of CloudTrail is not recorded yet");
                false
            }
        }
    }

    /// Gives the account and Region back after an error of CloudTrail. The row says so, and the log once.
    async fn cannot_go_on(&self, error: &AwsError) -> Result<(), StoreError> {
        let code = super::super::scan::code(error);
        let is_denied = error.kind == AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied);
        if self.trail.error_code.as_deref() != Some(code) {
            tracing::warn!(
                account_id = %self.trail.account, region = %self.trail.region, error = error.words(),
                "CloudTrail cannot be read; findings of drift do not say who caused them. It is tried again{}",
                if is_denied { ", once an hour: the role may lack cloudtrail:LookupEvents" } else { "" }
            );
        }
        let delay = if is_denied { REFUSED_DELAY } else { NEXT_ROUND };
        self.release(delay, Some(code)).await
    }

    async fn release(&self, delay: Duration, error_code: Option<&str>) -> Result<(), StoreError> {
        trail::release(&self.parts.database, &self.trail, delay, error_code).await
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
