//! Signals that a command, or its pager, handles for a while. A handler cannot be removed from the process, so after that while
//! the handler does what the signal does without one: it ends the process.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use signal_hook::flag::register_conditional_default;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// For each signal that was ever held: true while it ends the process. A signal has one handler, because a second one would end
/// the process while the first is held.
static ENDS_PROCESS: Mutex<BTreeMap<i32, Arc<AtomicBool>>> = Mutex::new(BTreeMap::new());

/// A signal that does not end the process until this is dropped. Hold it once at a time.
#[derive(Debug)]
pub(super) struct HeldSignal {
    signal: Signal,
    ends_process: Arc<AtomicBool>,
}

impl HeldSignal {
    /// Holds the signal from now on.
    pub(super) fn new(kind: SignalKind) -> io::Result<Self> {
        let signal = signal(kind)?;
        let mut handlers = ENDS_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let ends_process = match handlers.get(&kind.as_raw_value()) {
            Some(handler) => Arc::clone(handler),
            None => {
                let handler = Arc::new(AtomicBool::new(false));
                register_conditional_default(kind.as_raw_value(), Arc::clone(&handler))?;
                handlers.insert(kind.as_raw_value(), Arc::clone(&handler));
                handler
            }
        };
        ends_process.store(false, SeqCst);
        Ok(Self { signal, ends_process })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        self.signal.recv().await;
    }
}

impl Drop for HeldSignal {
    fn drop(&mut self) {
        self.ends_process.store(true, SeqCst);
    }
}
