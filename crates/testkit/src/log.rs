//! Captures the log of the current thread. The server of a test runs on one thread.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::{
    Layer, Registry,
    fmt::MakeWriter,
    layer::{Filter, SubscriberExt},
    util::SubscriberInitExt,
};

/// Maximum time to wait for a line.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A second subscriber for the life of the process. With only one subscriber, `tracing` caches for all threads that
/// nobody wants a line which another thread reached first. With two, it asks each thread.
static NOT_ALONE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// The captured log. Capturing ends when it is dropped.
pub struct Log {
    text: watch::Receiver<String>,
    _guard: DefaultGuard,
}

impl Log {
    /// Captures what the filter lets through.
    pub fn of_this_thread(filter: impl Filter<Registry> + Send + Sync + 'static) -> Self {
        LazyLock::force(&NOT_ALONE);
        let (sender, text) = watch::channel(String::new());
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(ChannelWriter(Arc::new(sender)));
        let _guard = tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .set_default();
        Self { text, _guard }
    }

    /// The log so far.
    pub fn text(&self) -> String {
        self.text.borrow().clone()
    }

    /// Waits for a line that contains `words`.
    pub async fn wait_for(&mut self, words: &str) {
        let said = self.text.wait_for(|text| text.contains(words));
        let said = tokio::time::timeout(TIMEOUT, said).await.is_ok();
        assert!(said, "{words:?} is not logged: {}", self.text());
    }
}

#[derive(Clone)]
struct ChannelWriter(Arc<watch::Sender<String>>);

impl io::Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.send_modify(|all| all.push_str(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ChannelWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
