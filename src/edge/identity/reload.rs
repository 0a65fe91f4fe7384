//! The worker that reads the files of `server.tls` again at an interval.

use std::time::Duration;

use crate::worker::{NextRound, Trigger, Worker};

use super::{ServerTls, TlsProblem};

impl Worker for ServerTls {
    const NAME: &'static str = "certificates";
    const FAILURE: &'static str = "the new files of server.tls cannot be used: the old certificates stay in use";
    const AT_ONCE: bool = false;
    type Error = TlsProblem;

    fn every(&self) -> Duration {
        self.settings.reload_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, TlsProblem> {
        self.reload_files().await?;
        Ok(NextRound::Interval)
    }
}
