//! SIGTERM and SIGINT. The first begins an orderly stop, the second ends the process at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry;

/// Maximum time to write the rest of the log when the process ends at once.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// Handles SIGTERM and SIGINT from now on. The future ends with the first signal. The next one ends the process at once, with the
/// exit status that a shell reports for it: 143 for SIGTERM, 130 for SIGINT. The effect is then the same as of SIGKILL: other
/// replicas recover the work when its leases expire, and temporary folders stay.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            let kind = signals.next().await;
            tracing::warn!("a second signal: ending at once; other replicas recover the work in progress");
            telemetry::flush_log(LOG_FLUSH_TIMEOUT);
            std::process::exit(128 + kind.as_raw_value());
        });
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
