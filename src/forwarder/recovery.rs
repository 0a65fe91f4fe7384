//! Recovery: takes up work that nobody holds, at the start and from time to time.

use tokio::task::JoinSet;

use crate::{domain::transition::Command, store};

use super::Forwarder;

impl Forwarder {
    /// Looks for work that nobody holds, until stopped.
    pub(super) async fn recover(&self) {
        while !self.0.stop.is_cancelled() {
            let more = self.recover_once().await;
            if !more {
                tokio::select! {
                    () = self.0.stop.cancelled() => return,
                    () = self.0.clock.sleep(self.0.settings.recover_every) => {}
                    _ = self.0.released.heard() => {}
                }
            }
        }
    }

    /// Claims as much of the work that nobody holds as can be begun soon. True when there may be more.
    async fn recover_once(&self) -> bool {
        let room = (2 * self.0.settings.max_in_flight).saturating_sub(self.backlog());
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let keys = match store::due::due(&self.0.database, limit).await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for work that nobody holds"
                );
                return false;
            }
        };
        let found = keys.len();
        if found == 0 {
            return false;
        }
        tracing::info!(found, "recovering changes that nobody works on");
        let mut claims = JoinSet::new();
        for key in keys {
            let committer = self.0.committer.clone();
            claims.spawn(async move { committer.commit_patiently(Command::Claim(key)).await.is_ok() });
        }
        let all_claimed = claims.join_all().await.into_iter().all(|claimed| claimed);
        all_claimed && found == room
    }
}
