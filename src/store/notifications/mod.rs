//! Hints between replicas: notifications of Postgres, all on one connection. A hint that is lost costs a moment and nothing
//! else, since whoever hears them looks by themselves from time to time: what is true is in the rows.
//!
//! Three rooms have something to tell: [`Outcomes`] (changes that ended), [`Growth`] (ledgers that grew) and [`Released`] (work
//! that was given back). Each keeps what is to be told, and takes in what is heard; here is the way between them.
//!
//! Hints are sent after a commit and not in it: Postgres lets one transaction with a notification commit at a time, in the
//! whole database. So they are gathered, at most every [`PAUSE`].

mod ledger_growth;
mod outcomes;
mod released_work;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    store::{connection::Database, error::StoreError},
};

pub use ledger_growth::{Growing, Growth, Sizes};
pub use outcomes::{Outcomes, Waiter};
pub use released_work::Released;

/// Between two rounds of hints: what comes up meanwhile is told in the next.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection for listening that is lost is made again after so long.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A connection for listening is made anew after so long: of one that leads nowhere, silence is all that is heard.
const LISTEN_FOR: Duration = Duration::from_secs(60);

/// Postgres sends at most 7999 bytes with a notification. No item is longer than an id of 36 bytes.
const ITEMS_PER_NOTIFICATION: usize = 200;

/// Who tells and hears hints. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Changes that ended.
    pub outcomes: Outcomes,
    /// Ledgers that grew.
    pub growth: Growth,
    /// Work that was given back.
    pub released: Released,
}

impl Hints {
    /// Hears what other replicas tell, on a connection of its own, until cancelled.
    pub async fn listen(self, database: Database, clock: Clock, stop: CancellationToken) {
        let listening = async {
            loop {
                tokio::select! {
                    _lost = self.hear_all(&database) => {
                        tracing::debug!("not listening");
                        clock.sleep(LISTEN_AGAIN_AFTER).await;
                    }
                    () = clock.sleep(LISTEN_FOR) => {}
                }
            }
        };
        // It never ends by itself.
        let _: Option<()> = stop.run_until_cancelled(listening).await;
    }

    async fn hear_all(&self, database: &Database) -> Result<(), StoreError> {
        let channels = [outcomes::CHANNEL, ledger_growth::CHANNEL, released_work::CHANNEL];
        let mut listener = database.listen(&channels).await?;
        while let Some(hint) = listener.try_recv().await? {
            let items = hint.payload().split(',');
            match hint.channel() {
                outcomes::CHANNEL => self.outcomes.hear(items),
                ledger_growth::CHANNEL => self.growth.hear(items),
                released_work::CHANNEL => self.released.hear(),
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells other replicas, until cancelled; then once more, what is left to tell.
    pub async fn tell(self, database: Database, stop: CancellationToken) {
        let (mut ended, mut grown) = (self.outcomes.told(), self.growth.told());
        let mut released = self.released.told();
        loop {
            // The senders live as long as `self`: there is always one to wait for.
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ended.changed() => {}
                _ = grown.changed() => {}
                _ = released.changed() => {}
            }
            self.tell_all(&database).await;
            let _: Option<()> = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
        self.tell_all(&database).await;
    }

    async fn tell_all(&self, database: &Database) {
        let (mut channels, mut payloads) = (Vec::new(), Vec::new());
        for (channel, items) in [
            (outcomes::CHANNEL, self.outcomes.to_tell()),
            (ledger_growth::CHANNEL, self.growth.to_tell()),
            (released_work::CHANNEL, self.released.to_tell()),
        ] {
            for items in items.chunks(ITEMS_PER_NOTIFICATION) {
                channels.push(channel.to_owned());
                payloads.push(items.join(","));
            }
        }
        if channels.is_empty() {
            return;
        }
        let notify = sqlx::query!(
            "SELECT count(pg_notify(channel, payload)) FROM unnest($1::text[], $2::text[]) AS hint (channel, payload)",
            &channels,
            &payloads,
        );
        if let Err(error) = database
            .run(async |connection| notify.fetch_one(connection).await)
            .await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "hints are lost; others find out by looking"
            );
        }
    }
}
