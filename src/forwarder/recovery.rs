//! Recovery: takes up work that nobody holds: at the start, when a change is due for its next attempt, when another replica
//! gives work back, and from time to time.
//!
//! First the accounts are found that have such work; then each is claimed for by itself, no more than can be begun there soon,
//! so that no account waits behind another's. Where there is more, it is looked again as soon as there is room. What this replica is
//! not configured for is left to those that are.

use std::{
    collections::{BTreeSet, HashSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    domain::{AccountId, PermissionKey, Region, transition::Command},
    store::{StoreError, due},
    worker::{NextRound, Trigger, Worker},
};

use super::{Forwarder, dispatcher::ClaimLimit, endpoint::Endpoint};

const CANNOT_LOOK: &str = "cannot look for work that nobody holds";

/// The worker that looks where there is work that nobody holds.
pub(super) struct Recovery {
    pub(super) forwarder: Forwarder,
    /// What was warned of.
    pub(super) unserved: HashSet<(AccountId, Region)>,
}

impl Worker for Recovery {
    const NAME: &'static str = "recovery";
    const FAILURE: &'static str = CANNOT_LOOK;
    type Error = StoreError;

    fn every(&self) -> Duration {
        self.forwarder.0.settings.recover_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let inner = &self.forwarder.0;
        for (account, region) in due::places(&inner.database).await? {
            if inner.workspaces.serves(account, &region) {
                self.forwarder.endpoint(account, &region).look();
            } else if self.unserved.insert((account, region.clone())) {
                tracing::warn!(
                    account_id = %account, %region,
                    "changes are due that this replica cannot work on: the account or the Region is not configured"
                );
            }
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        self.forwarder.0.released.heard().await;
    }
}

impl Forwarder {
    /// Claims for one account in one Region, until stopped.
    pub(super) async fn look_after(self, endpoint: Arc<Endpoint>) {
        loop {
            let rest = self.look_again(&endpoint);
            if self.0.stop.run_until_cancelled(rest).await.is_none() {
                return;
            }
        }
    }

    async fn look_again(&self, endpoint: &Endpoint) {
        let now = self.0.clock.monotonic_now();
        let (room, until_due) = {
            let mut place = endpoint.place();
            match place.is_to_look(now) {
                Ok(()) => (place.room(now), None),
                Err(until_due) => (ClaimLimit::None, until_due),
            }
        };
        let due = match room {
            ClaimLimit::Due(limit) => self.due(endpoint, limit).await,
            ClaimLimit::BudgetSpent(limit) => {
                let give_up_after = self.0.settings.retry.give_up_after;
                due::spent(
                    &self.0.database,
                    endpoint.account,
                    &endpoint.region,
                    give_up_after,
                    limit,
                )
                .await
            }
            ClaimLimit::None => return self.until_moved(endpoint, until_due).await,
        };
        match due {
            Ok(keys) => {
                let (ClaimLimit::Due(limit) | ClaimLimit::BudgetSpent(limit)) = room else {
                    return;
                };
                if keys.len() >= limit as usize {
                    endpoint.place().look();
                }
                self.claim(endpoint, keys).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "{CANNOT_LOOK}");
                self.until_moved(endpoint, Some(self.0.settings.recover_every)).await;
                endpoint.place().look();
            }
        }
    }

    /// What is due, fairly between images; and of images that are read for it, what else that read will tell of.
    async fn due(&self, endpoint: &Endpoint, limit: u32) -> Result<Vec<PermissionKey>, StoreError> {
        let database = &self.0.database;
        let due = due::due(database, endpoint.account, &endpoint.region, limit).await?;
        let to_read: BTreeSet<_> = due.iter().filter(|due| due.reads).map(|due| &due.key.image).collect();
        let images: Vec<_> = to_read.into_iter().cloned().collect();
        let mut keys: Vec<_> = due.into_iter().map(|due| due.key).collect();
        let room = endpoint.place().room_to_share() / u32::try_from(images.len().max(1)).unwrap_or(u32::MAX);
        if room > 0 && !images.is_empty() {
            let named: HashSet<_> = keys.iter().cloned().collect();
            let more = due::due_to_read(database, endpoint.account, &endpoint.region, &images, room).await?;
            keys.extend(more.into_iter().filter(|key| !named.contains(key)));
        }
        Ok(keys)
    }

    async fn until_moved(&self, endpoint: &Endpoint, at_most: Option<Duration>) {
        let Some(at_most) = at_most else {
            return endpoint.looking.notified().await;
        };
        tokio::select! {
            () = endpoint.looking.notified() => {}
            () = self.0.clock.sleep(at_most) => {}
        }
    }

    /// Claims work. The committer decides between those who find the same.
    async fn claim(&self, endpoint: &Endpoint, keys: Vec<PermissionKey>) {
        if keys.is_empty() {
            return;
        }
        let (account, region, found) = (&endpoint.account, &endpoint.region, keys.len());
        let span = tracing::info_span!("recover", account_id = %account, cloud.region = %region, found);
        let claims = async {
            tracing::debug!("taking up changes that nobody works on");
            let mut claims = JoinSet::new();
            for key in keys {
                let committer = self.0.committer.clone();
                let claim = async move { committer.commit_patiently(Command::Claim(key)).await.err() };
                claims.spawn(claim.in_current_span());
            }
            if let Some(error) = claims.join_all().await.into_iter().flatten().next() {
                tracing::warn!(%error, "changes could not be taken up; it is looked for them again");
            }
        };
        claims.instrument(span).await;
    }
}
