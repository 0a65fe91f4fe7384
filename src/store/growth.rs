//! Telling that ledgers grew. A hint to whoever follows them: what a ledger holds is in the table.
//!
//! The committer tells [`Growth`] right after a commit, without waiting for anyone. Who follows ledgers in this process is
//! woken at once; other replicas are told by a notification, after the commit and not in it (see [`super::outcomes`]), and
//! at most every [`PAUSE`].

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, domain::AccountId};

use super::Database;

/// The channel on which replicas hint that ledgers grew.
const CHANNEL: &str = "sharewarden_ledger_grown";

/// Postgres sends at most 7999 bytes with a notification; a pair takes at most 33.
const PAIRS_PER_NOTIFICATION: usize = 200;

/// Between two notifications: what is committed meanwhile is told with the next one.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection for listening that is lost is made again after so long.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Ledgers, and how many entries they have at least.
pub type Sizes = BTreeMap<AccountId, u64>;

/// Who tells that ledgers grew. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What was committed here, and was not followed yet.
    unfollowed: Mutex<Sizes>,
    /// What was committed here, and was not told others yet.
    unannounced: Mutex<Sizes>,
    grown: watch::Sender<()>,
}

/// Hears of it when ledgers grow in this process.
#[derive(Debug)]
pub struct Growing {
    shared: Arc<Shared>,
    grown: watch::Receiver<()>,
}

impl Growth {
    /// Ledgers grew, in a commit that is done.
    pub(super) fn tell(&self, sizes: &[(AccountId, u64)]) {
        if !sizes.is_empty() {
            note(&self.shared.unannounced, sizes);
            self.hear(sizes);
        }
    }

    fn hear(&self, sizes: &[(AccountId, u64)]) {
        note(&self.shared.unfollowed, sizes);
        self.shared.grown.send_replace(());
    }

    /// Listens to the hints of other replicas, for as long as it is polled, on a connection of its own.
    pub async fn listen(&self, database: &Database, clock: &Clock) -> Infallible {
        loop {
            if let Ok(mut listener) = database.listen(CHANNEL).await {
                while let Ok(Some(notification)) = listener.try_recv().await {
                    self.hear(&parse(notification.payload()));
                }
            }
            tracing::debug!("not listening");
            clock.sleep(LISTEN_AGAIN_AFTER).await;
        }
    }

    /// Begins to hear of it. There is one who follows in a process.
    pub fn follow(&self) -> Growing {
        Growing {
            shared: self.shared.clone(),
            grown: self.shared.grown.subscribe(),
        }
    }

    /// Hints to other replicas which ledgers grew, until cancelled.
    pub async fn announce(self, database: Database, stop: CancellationToken) {
        let mut grown = self.shared.grown.subscribe();
        while stop
            .run_until_cancelled(grown.changed())
            .await
            .is_some_and(|changed| changed.is_ok())
        {
            let sizes: Vec<_> = std::mem::take(&mut *lock(&self.shared.unannounced))
                .into_iter()
                .collect();
            for sizes in sizes.chunks(PAIRS_PER_NOTIFICATION) {
                notify(&database, sizes).await;
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }
}

async fn notify(database: &Database, sizes: &[(AccountId, u64)]) {
    let pairs = sizes.iter().map(|(account, size)| format!("{account}:{size}"));
    let payload = pairs.collect::<Vec<_>>().join(",");
    let notify = sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload);
    if let Err(error) = database.run(async |connection| notify.execute(connection).await).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a hint is lost; others find out by polling"
        );
    }
}

impl Growing {
    /// Waits until ledgers have grown that were not asked for yet, and names them.
    pub async fn next(&mut self) -> Sizes {
        loop {
            // The sender lives as long as `self`.
            let _ = self.grown.changed().await;
            let sizes = std::mem::take(&mut *lock(&self.shared.unfollowed));
            if !sizes.is_empty() {
                return sizes;
            }
        }
    }
}

/// What cannot be read is no hint.
fn parse(payload: &str) -> Vec<(AccountId, u64)> {
    let pairs = payload.split(',').filter_map(|pair| {
        let (account, size) = pair.split_once(':')?;
        Some((account.parse().ok()?, size.parse().ok()?))
    });
    pairs.collect()
}

fn note(known: &Mutex<Sizes>, sizes: &[(AccountId, u64)]) {
    let mut known = lock(known);
    for (account, size) in sizes {
        let known = known.entry(*account).or_default();
        *known = (*size).max(*known);
    }
}

fn lock(sizes: &Mutex<Sizes>) -> MutexGuard<'_, Sizes> {
    // A map of sizes is whole between any two statements that hold the lock.
    sizes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_largest_size_that_was_told_is_heard_of_once() {
        let growth = Growth::default();
        let mut growing = growth.follow();
        let account: AccountId = "000011112222".parse().unwrap();
        growth.tell(&[(account, 7)]);
        growth.tell(&[(account, 5)]);
        assert_eq!(growing.next().await, Sizes::from([(account, 7)]));
        growth.tell(&[(account, 8)]);
        assert_eq!(growing.next().await, Sizes::from([(account, 8)]));
    }

    #[test]
    fn a_hint_is_read_as_far_as_it_can_be() {
        let account: AccountId = "000011112222".parse().unwrap();
        assert_eq!(parse("000011112222:7,,x:1,111122223333:-1,444"), [(account, 7)]);
    }
}
