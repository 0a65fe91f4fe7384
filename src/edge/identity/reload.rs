//! The worker that reads the files of `server.tls` again.

use std::time::Duration;

use crate::worker::{NextRound, Trigger, Worker};

use super::{ServerTls, TlsProblem};

/// Reads the files again.
#[derive(Debug)]
pub struct CertificateReload {
    /// What takes over new contents.
    pub tls: ServerTls,
    /// How often to read them.
    pub every: Duration,
}

impl Worker for CertificateReload {
    const NAME: &'static str = "certificates";
    const FAILURE: &'static str = "the new files of server.tls cannot be used: the old certificates stay in force";
    const AT_ONCE: bool = false;
    type Error = TlsProblem;

    fn every(&self) -> Duration {
        self.every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, TlsProblem> {
        self.tls.reload().await?;
        Ok(NextRound::Interval)
    }
}
