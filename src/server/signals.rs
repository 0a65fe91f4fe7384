//! SIGTERM and SIGINT: the first begins an orderly end, the second ends the process at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry;

/// What was logged may take so long to be written when the process ends at once.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// Takes over SIGTERM and SIGINT from now on. The future ends with the first of them; from then on the next one ends the process
/// at once, with the exit status that a shell gives to a process which a signal has ended (143 and 130). What is under way then
/// is as after SIGKILL: other replicas recover it when its leases run out, and temporary folders stay behind.
///
/// # Errors
/// When the signals cannot be taken over.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            let kind = signals.next().await;
            tracing::warn!("a second signal: ending at once; other replicas recover what was under way");
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
