//! Ctrl-C and SIGTERM, which ask a job to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::failure::{Exit, Failure};

/// The signals of this process, from the call of `listen` on.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let what = format!("cannot listen for Ctrl-C: {error}");
                Failure::new(Exit::General, what, "nothing was sent; run the command again")
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}
