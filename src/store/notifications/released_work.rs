//! Signals that a stopping replica released work. Others then look for due work at once, and not at their next interval.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, watch};

/// The channel of these notifications.
pub(super) const CHANNEL: &str = "sharewarden_work_released";

/// Sends and receives these signals. Clones share all state.
#[derive(Debug, Clone, Default)]
pub struct ReleasedWork(Arc<ReleasedWorkState>);

#[derive(Debug, Default)]
struct ReleasedWorkState {
    /// Work was released here, and other replicas were not notified yet.
    is_unsent: AtomicBool,
    unsent_changed: watch::Sender<()>,
    received: Notify,
}

impl ReleasedWork {
    /// Signals that this replica released work. Call it after the commit.
    pub fn notify(&self) {
        self.0.is_unsent.store(true, Ordering::Relaxed);
        self.0.unsent_changed.send_replace(());
    }

    /// Waits until another replica released work. One task may wait.
    pub async fn notified(&self) {
        self.0.received.notified().await;
    }

    pub(super) fn unsent(&self) -> watch::Receiver<()> {
        self.0.unsent_changed.subscribe()
    }

    /// One empty item is enough: the rows say where the work is.
    pub(super) fn take_unsent(&self) -> Vec<String> {
        let is_unsent = self.0.is_unsent.swap(false, Ordering::Relaxed);
        is_unsent.then(String::new).into_iter().collect()
    }

    pub(super) fn receive(&self) {
        self.0.received.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_signal_before_the_wait_counts_and_repeated_signals_are_one() {
        let released = ReleasedWork::default();
        released.receive();
        released.receive();
        released.notified().await;
        assert!(released.notified().now_or_never().is_none(), "two signals are one");
        released.notify();
        released.notify();
        assert_eq!(released.take_unsent(), [""], "two signals are one item");
        assert!(released.take_unsent().is_empty(), "an item is sent once");
    }
}
