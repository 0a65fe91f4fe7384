//! Telling that work was given back, by a replica that ends: others look for it at once, and not when they next would.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, watch};

/// The channel of these hints.
pub(super) const CHANNEL: &str = "sharewarden_work_released";

/// Who tells that work was given back. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Released(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Work was given back here, and others were not told yet.
    untold: AtomicBool,
    told: watch::Sender<()>,
    heard: Notify,
}

impl Released {
    /// Work was given back, in a commit that is done.
    pub fn tell(&self) {
        self.0.untold.store(true, Ordering::Relaxed);
        self.0.told.send_replace(());
    }

    /// Waits until work was given back on another replica. One task may wait.
    pub async fn heard(&self) {
        self.0.heard.notified().await;
    }

    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.0.told.subscribe()
    }

    /// One hint says it all: where there is work is in the rows.
    pub(super) fn to_tell(&self) -> Vec<String> {
        let untold = self.0.untold.swap(false, Ordering::Relaxed);
        untold.then(String::new).into_iter().collect()
    }

    pub(super) fn hear(&self) {
        self.0.heard.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_was_heard_before_anyone_waited_is_heard_and_nothing_twice() {
        let released = Released::default();
        released.hear();
        released.hear();
        released.heard().await;
        assert!(released.heard().now_or_never().is_none(), "it was heard");
        released.tell();
        released.tell();
        assert_eq!(released.to_tell(), [""], "one hint says it all");
        assert!(released.to_tell().is_empty(), "it is told once");
    }
}
