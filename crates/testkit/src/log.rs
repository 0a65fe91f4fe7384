//! What is logged on a test's thread, where all of its server runs.

use std::{io, sync::Arc, sync::LazyLock, time::Duration};

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

/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hears nothing, and lives as long as the process. While one subscriber is alone, a line that another thread comes to first is taken
/// for one that nobody ever wants, on no thread. With a second one each thread is asked.
static NOT_ALONE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// What is logged on this thread while this lives.
pub struct Log {
    text: watch::Receiver<String>,
    _guard: DefaultGuard,
}

impl Log {
    /// Listens to what the filter lets through.
    pub fn of_this_thread(filter: impl Filter<Registry> + Send + Sync + 'static) -> Self {
        LazyLock::force(&NOT_ALONE);
        let (sender, text) = watch::channel(String::new());
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Writer(Arc::new(sender)));
        let _guard = tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .set_default();
        Self { text, _guard }
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        self.text.borrow().clone()
    }

    /// Waits for a line with these words.
    pub async fn wait_for(&mut self, words: &str) {
        let said = self.text.wait_for(|text| text.contains(words));
        let said = tokio::time::timeout(PATIENCE, said).await.is_ok();
        assert!(said, "{words:?} is not logged: {}", self.text());
    }
}

#[derive(Clone)]
struct Writer(Arc<watch::Sender<String>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.send_modify(|all| all.push_str(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
