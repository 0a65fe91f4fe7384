//! Signals within this process and between replicas: a change ended ([`Outcomes`]), ledgers grew ([`LedgerGrowth`]), work was
//! released ([`ReleasedWork`]), checkpoints are known ([`PeerCheckpoints`]). Between replicas they are notifications of
//! Postgres, all
//! on one connection. [`Beginnings`] stay in this process.
//!
//! A lost notification costs time and nothing else: each receiver also polls, and the rows are the truth. Only
//! checkpoints of other
//! replicas are not polled: they are kept in case the rows are changed.
//!
//! Notifications are sent after the commit and not in it, because Postgres serializes the commits of transactions that notify.
//! They are collected and sent at most once every [`SEND_INTERVAL`].

mod beginnings;
mod ledger_growth;
mod outcomes;
mod peer_checkpoints;
mod released_work;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{connection::Database, error::StoreError},
};

pub use beginnings::Beginnings;
pub use ledger_growth::{LedgerGrowth, LedgerGrowthReceiver, LedgerSizes};
pub use outcomes::{OutcomeWaiter, Outcomes};
pub use peer_checkpoints::{PeerCheckpoints, Received};
pub use released_work::ReleasedWork;

/// The shortest time between two rounds of sending.
const SEND_INTERVAL: Duration = Duration::from_millis(20);

/// The delay before a lost listening connection is opened again.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The maximum age of the listening connection. On a connection to a dead peer nothing arrives, and no error either.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60);

/// Postgres limits a payload to 7,999 bytes. An item has at most the 36 bytes of an id.
const ITEMS_PER_NOTIFICATION: usize = 200;

/// Sends and receives notifications. Clones share all state.
#[derive(Debug, Clone, Default)]
pub struct Notifications {
    /// Changes that ended.
    pub outcomes: Outcomes,
    /// Ledgers that grew.
    pub ledger_growth: LedgerGrowth,
    /// Work that a stopping replica released.
    pub released_work: ReleasedWork,
    /// Ledgers that this process began.
    pub beginnings: Beginnings,
    /// Checkpoints that other replicas know.
    pub peer_checkpoints: PeerCheckpoints,
}

impl Notifications {
    /// Receives notifications of other replicas on a connection of its own, until cancelled.
    pub async fn listen(self, database: Database, clock: Clock, stop: CancellationToken) {
        let listening = async {
            loop {
                tokio::select! {
                    _lost = self.receive_all(&database) => {
                        tracing::debug!("the connection that listens for notifications is lost; it is opened again");
                        clock.sleep(RECONNECT_DELAY).await;
                    }
                    () = clock.sleep(MAX_CONNECTION_AGE) => {}
                }
            }
        };
        // It never ends by itself.
        let _: Option<()> = stop.run_until_cancelled(listening).await;
    }

    async fn receive_all(&self, database: &Database) -> Result<(), StoreError> {
        let channels = [
            outcomes::CHANNEL,
            ledger_growth::CHANNEL,
            released_work::CHANNEL,
            peer_checkpoints::CHANNEL,
        ];
        let mut listener = database.listen(&channels).await?;
        // Checkpoints may have been announced while this replica did not listen.
        self.peer_checkpoints.ask();
        while let Some(notification) = listener.try_recv().await? {
            let items = notification.payload().split(',');
            match notification.channel() {
                outcomes::CHANNEL => self.outcomes.receive(items),
                ledger_growth::CHANNEL => self.ledger_growth.receive(items),
                released_work::CHANNEL => self.released_work.receive(),
                peer_checkpoints::CHANNEL => self.peer_checkpoints.receive(notification.payload()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends notifications to other replicas until cancelled, and then what is left.
    pub async fn send(self, database: Database, stop: CancellationToken) {
        let (mut outcomes, mut growth) = (self.outcomes.unsent(), self.ledger_growth.unsent());
        let (mut released, mut checkpoints) = (self.released_work.unsent(), self.peer_checkpoints.unsent());
        // The listener may have left its question before this task began.
        checkpoints.mark_changed();
        loop {
            // The senders live as long as `self`, so these never fail.
            tokio::select! {
                () = stop.cancelled() => break,
                _ = outcomes.changed() => {}
                _ = growth.changed() => {}
                _ = released.changed() => {}
                _ = checkpoints.changed() => {}
            }
            self.send_all(&database).await;
            let _: Option<()> = stop.run_until_cancelled(tokio::time::sleep(SEND_INTERVAL)).await;
        }
        self.send_all(&database).await;
    }

    async fn send_all(&self, database: &Database) {
        let (mut channels, mut payloads) = (Vec::new(), Vec::new());
        for (channel, items) in [
            (outcomes::CHANNEL, self.outcomes.take_unsent()),
            (ledger_growth::CHANNEL, self.ledger_growth.take_unsent()),
            (released_work::CHANNEL, self.released_work.take_unsent()),
        ] {
            for items in items.chunks(ITEMS_PER_NOTIFICATION) {
                channels.push(channel.to_owned());
                payloads.push(items.join(","));
            }
        }
        for note in self.peer_checkpoints.take_unsent() {
            channels.push(peer_checkpoints::CHANNEL.to_owned());
            payloads.push(note);
        }
        if channels.is_empty() {
            return;
        }
        let notify = sqlx::query!(
            "SELECT count(pg_notify(channel, payload)) FROM unnest($1::text[], $2::text[]) AS hint (channel, payload)",
            &channels,
            &payloads,
        );
        if let Err(error) = database.run(async |conn| notify.fetch_one(conn).await).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "notifications were not sent; other replicas find changes by polling, and ask for checkpoints again"
            );
        }
    }
}
