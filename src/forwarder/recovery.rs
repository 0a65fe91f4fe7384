//! Recovery: claims due changes that have no lease. It runs at the start, when a retry is due, when another replica gives work
//! back, and at an interval.
//!
//! A worker finds the endpoints that have such changes. A task per endpoint then claims no more changes than can start there
//! soon, so that no account waits behind another. Where more are due, it claims them as soon as its dispatcher has room. An
//! endpoint that this replica is not configured for is left to other replicas.

use std::{
    collections::{BTreeSet, HashSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    domain::{AccountId, Region, transition::Command},
    store::{
        CommitError, StoreError,
        due::{self, Due},
    },
    worker::{NextRound, Trigger, Worker},
};

use super::{Forwarder, dispatcher::ClaimLimit, endpoint::Endpoint};

const CANNOT_FIND_DUE: &str = "cannot read due changes from the database";

/// The worker that finds the endpoints with due changes.
pub(super) struct Recovery {
    pub(super) forwarder: Forwarder,
    /// Endpoints that are not configured here and were logged.
    pub(super) unserved: HashSet<(AccountId, Region)>,
}

impl Worker for Recovery {
    const NAME: &'static str = "recovery";
    const FAILURE: &'static str = CANNOT_FIND_DUE;
    type Error = StoreError;

    fn every(&self) -> Duration {
        self.forwarder.0.settings.recover_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, StoreError> {
        let inner = &self.forwarder.0;
        for (account, region) in due::endpoints(&inner.database).await? {
            if inner.workspaces.serves(account, &region) {
                self.forwarder.endpoint(account, &region).request_scan();
            } else if self.unserved.insert((account, region.clone())) {
                tracing::warn!(
                    account_id = %account, %region,
                    "changes are due for an account or a Region that is not configured on this replica"
                );
            }
        }
        Ok(NextRound::Interval)
    }

    async fn woken(&mut self) {
        self.forwarder.0.released_work.notified().await;
    }
}

impl Forwarder {
    /// Claims due changes of one endpoint until the forwarder stops.
    pub(super) async fn run_claims(self, endpoint: Arc<Endpoint>) {
        loop {
            let claimed = self.claim_or_wait(&endpoint);
            if self.0.stop.run_until_cancelled(claimed).await.is_none() {
                return;
            }
        }
    }

    async fn claim_or_wait(&self, endpoint: &Endpoint) {
        let now = self.0.clock.monotonic_now();
        let (claim_limit, until_retry) = {
            let mut dispatcher = endpoint.dispatcher();
            match dispatcher.check_scan_due(now) {
                Ok(()) => (dispatcher.claim_limit(now), None),
                Err(until_retry) => (ClaimLimit::None, until_retry),
            }
        };
        let due = match claim_limit {
            ClaimLimit::Due(limit) => self.due(endpoint, limit).await,
            ClaimLimit::BudgetSpent(limit) => {
                let give_up_after = self.0.settings.give_up_after;
                due::expired(
                    &self.0.database,
                    endpoint.account,
                    &endpoint.region,
                    give_up_after,
                    limit,
                )
                .await
                .map(|keys| keys.into_iter().map(|key| Due { key, reads: false }).collect())
            }
            ClaimLimit::None => return self.wait_for_scan(endpoint, until_retry).await,
        };
        match due {
            Ok(due) => {
                let (ClaimLimit::Due(limit) | ClaimLimit::BudgetSpent(limit)) = claim_limit else {
                    return;
                };
                if due.len() >= limit as usize {
                    endpoint.dispatcher().request_scan();
                }
                self.claim(endpoint, due).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "{CANNOT_FIND_DUE}");
                self.wait_for_scan(endpoint, Some(self.0.settings.recover_every)).await;
                endpoint.dispatcher().request_scan();
            }
        }
    }

    /// Due changes, shared fairly between images. For each image that will be read anyway, it adds other due changes that the
    /// read answers.
    async fn due(&self, endpoint: &Endpoint, limit: u32) -> Result<Vec<Due>, StoreError> {
        let database = &self.0.database;
        let mut due = due::due(database, endpoint.account, &endpoint.region, limit).await?;
        let to_read: BTreeSet<_> = due.iter().filter(|due| due.reads).map(|due| &due.key.image).collect();
        let images: Vec<_> = to_read.into_iter().cloned().collect();
        let per_image = u32::try_from(images.len().max(1)).unwrap_or(u32::MAX);
        let shared_limit = endpoint.dispatcher().shared_claim_limit() / per_image;
        if shared_limit > 0 && !images.is_empty() {
            let named: HashSet<_> = due.iter().map(|due| due.key.clone()).collect();
            let more = due::due_to_read(database, endpoint.account, &endpoint.region, &images, shared_limit).await?;
            let more = more.into_iter().filter(|key| !named.contains(key));
            due.extend(more.map(|key| Due { key, reads: true }));
        }
        Ok(due)
    }

    async fn wait_for_scan(&self, endpoint: &Endpoint, at_most: Option<Duration>) {
        let Some(at_most) = at_most else {
            return endpoint.scan.notified().await;
        };
        tokio::select! {
            () = endpoint.scan.notified() => {}
            () = self.0.clock.sleep(at_most) => {}
        }
    }

    /// Claims changes. Two replicas may find the same change; the committer gives its lease to one of them.
    async fn claim(&self, endpoint: &Endpoint, due: Vec<Due>) {
        if due.is_empty() {
            return;
        }
        let (account, region, found) = (&endpoint.account, &endpoint.region, due.len());
        let span = tracing::info_span!("recover", account_id = %account, cloud.region = %region, found);
        let claims = async {
            tracing::debug!("claiming due changes that have no lease");
            let (to_read, to_call): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.reads);
            let result = self.claim_together(to_read).await;
            let claims = to_call.into_iter().map(|due| ((), Command::Claim(due.key)));
            if let Err(error) = result.and(self.0.claims.commit_all(claims, |(), _| {}).await) {
                tracing::warn!(%error, "some claims failed; recovery will retry");
            }
        };
        claims.instrument(span).await;
    }

    /// Claims changes that start with a read, all at once: those of an image share the read if they are queued together.
    async fn claim_together(&self, due: Vec<Due>) -> Result<(), CommitError> {
        let mut claims = JoinSet::new();
        for Due { key, .. } in due {
            let committer = self.0.committer.clone();
            let claim = async move { committer.commit_with_backpressure(Command::Claim(key)).await.err() };
            claims.spawn(claim.in_current_span());
        }
        claims.join_all().await.into_iter().flatten().next().map_or(Ok(()), Err)
    }
}
