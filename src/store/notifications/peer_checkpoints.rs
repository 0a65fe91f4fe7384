//! Replicas tell each other which checkpoints they know, and a replica that starts asks the others to repeat theirs.
//!
//! A checkpoint that was deleted from the database stays known to the replicas that run. This module moves texts: it knows
//! neither keys nor ledgers, and every database user can send such notifications. The receiver verifies the signatures.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// The channel of these notifications.
pub(super) const CHANNEL: &str = "sharewarden_checkpoints";

/// The payload that asks for all checkpoints. Every note is longer.
const QUESTION: &str = "?";

/// Postgres refuses longer payloads. A note that witnesses have made longer is not sent.
const MAX_PAYLOAD: usize = 7999;

/// Maximum bytes of received notes that wait. Notes beyond it are dropped: any database user can send them.
const MAX_WAITING: usize = 4 * 1024 * 1024;

/// Sends and receives notes. Clones share all state.
#[derive(Debug, Clone, Default)]
pub struct PeerCheckpoints(Arc<PeerCheckpointsState>);

#[derive(Debug, Default)]
struct PeerCheckpointsState {
    unsent: Mutex<Vec<String>>,
    unsent_changed: watch::Sender<()>,
    received: Mutex<Received>,
    received_changed: Notify,
}

/// What other replicas sent.
#[derive(Debug, Default)]
pub struct Received {
    /// Signed notes, not verified.
    pub notes: Vec<String>,
    /// A replica asks for all checkpoints.
    pub is_asked: bool,
    /// The number of notes that were dropped.
    pub dropped: usize,
    bytes: usize,
}

impl PeerCheckpoints {
    /// Sends notes to the other replicas. This replica receives them too.
    pub fn send(&self, notes: impl IntoIterator<Item = String>) {
        let notes = notes.into_iter().filter(|note| note.len() <= MAX_PAYLOAD);
        lock(&self.0.unsent).extend(notes);
        self.0.unsent_changed.send_replace(());
    }

    /// Asks the other replicas for all checkpoints that they know.
    pub(super) fn ask(&self) {
        self.send([QUESTION.to_owned()]);
    }

    /// Waits until something was received since the last [`take`](Self::take). One task may wait.
    pub async fn received(&self) {
        self.0.received_changed.notified().await;
    }

    /// Takes what was received.
    pub fn take(&self) -> Received {
        std::mem::take(&mut *lock(&self.0.received))
    }

    pub(super) fn receive(&self, payload: &str) {
        let mut received = lock(&self.0.received);
        if payload == QUESTION {
            received.is_asked = true;
        } else if received.bytes + payload.len() <= MAX_WAITING {
            received.bytes += payload.len();
            received.notes.push(payload.to_owned());
        } else {
            received.dropped += 1;
        }
        self.0.received_changed.notify_one();
    }

    pub(super) fn unsent(&self) -> watch::Receiver<()> {
        self.0.unsent_changed.subscribe()
    }

    pub(super) fn take_unsent(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0.unsent))
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each statement under the lock leaves the state consistent, so a panic of another holder does no harm.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notes_and_questions_are_taken_once_and_a_flood_is_dropped() {
        let peers = PeerCheckpoints::default();
        peers.receive("a note");
        peers.receive(QUESTION);
        peers.received().await;
        let received = peers.take();
        assert_eq!((received.notes, received.is_asked), (vec!["a note".to_owned()], true));
        let flood = "x".repeat(MAX_PAYLOAD);
        for _ in 0..1000 {
            peers.receive(&flood);
        }
        let received = peers.take();
        let kept = MAX_WAITING / MAX_PAYLOAD;
        assert_eq!(
            (received.notes.len(), received.dropped, received.is_asked),
            (kept, 1000 - kept, false)
        );
        peers.send(["x".repeat(MAX_PAYLOAD + 1), "short".into()]);
        assert_eq!(peers.take_unsent(), ["short"]);
    }
}
