//! Writes the log to standard error, through a bounded queue and one thread. Logging never blocks. If the reader of the log is
//! too slow, lines are dropped and counted, and a later line reports the number.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Maximum lines in the queue.
const MAX_LINES: usize = 16_384;

/// Maximum bytes in the queue.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Lines are collected up to this size, and then written together.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a line waits for more lines. Without it, each line would wake the thread.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How often a flush tries to enter a full queue.
const FLUSH_RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// The queue of this process. A process has one standard error.
static WRITER: OnceLock<LogQueue> = OnceLock::new();

/// Number of dropped lines since the start of the process.
pub(super) fn dropped_lines() -> u64 {
    WRITER.get().map_or(0, LogQueue::dropped)
}

/// Waits until all lines so far are written, but at most `at_most`. Returns true if they are, or if there is no log.
pub fn flush(at_most: Duration) -> bool {
    WRITER.get().is_none_or(|lines| lines.flush(at_most))
}

/// The queue of this process. The first call starts its thread.
pub(super) fn standard_error() -> io::Result<LogQueue> {
    let lines = match WRITER.get() {
        Some(lines) => lines,
        None => {
            let started = LogQueue::start(io::stderr(), MAX_LINES, MAX_BYTES)?;
            WRITER.get_or_init(|| started)
        }
    };
    Ok(lines.clone())
}

/// What the thread receives.
enum LogItem {
    Line(Vec<u8>),
    /// A request to answer when everything before it is written.
    Flush(SyncSender<()>),
}

/// The queue of lines. Clones share it.
#[derive(Clone)]
pub(super) struct LogQueue {
    queue: SyncSender<LogItem>,
    counts: Arc<Counts>,
    max_bytes: usize,
}

#[derive(Default)]
struct Counts {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl LogQueue {
    /// Starts the thread, which writes to `out`.
    fn start(out: impl Write + Send + 'static, lines: usize, max_bytes: usize) -> io::Result<Self> {
        let (queue, received) = sync_channel(lines);
        let counts = Arc::<Counts>::default();
        let writer = WriterThread {
            out,
            queue: received,
            counts: counts.clone(),
            reported: 0,
        };
        thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        Ok(Self {
            queue,
            counts,
            max_bytes,
        })
    }

    fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }

    fn put(&self, line: &[u8]) {
        let waiting = self.counts.waiting.fetch_add(line.len(), Relaxed);
        let fits = waiting + line.len() <= self.max_bytes;
        if !fits || self.queue.try_send(LogItem::Line(line.to_vec())).is_err() {
            self.counts.waiting.fetch_sub(line.len(), Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self, at_most: Duration) -> bool {
        let (done, written) = sync_channel(1);
        let mut left = at_most;
        let mut item = LogItem::Flush(done);
        loop {
            match self.queue.try_send(item) {
                Ok(()) => return written.recv_timeout(left).is_ok(),
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) if left.is_zero() => return false,
                Err(TrySendError::Full(again)) => item = again,
            }
            // The queue has no signal for free space, so this polls.
            thread::park_timeout(FLUSH_RETRY_INTERVAL);
            left = left.saturating_sub(FLUSH_RETRY_INTERVAL);
        }
    }
}

/// The thread's state.
struct WriterThread<W> {
    out: W,
    queue: Receiver<LogItem>,
    counts: Arc<Counts>,
    /// How many dropped lines were reported.
    reported: u64,
}

impl<W: Write> WriterThread<W> {
    fn run(mut self) {
        let mut text = Vec::new();
        while let Ok(first) = self.queue.recv() {
            if matches!(first, LogItem::Line(_)) {
                thread::park_timeout(BATCH_DELAY);
            }
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    LogItem::Line(line) => text.extend_from_slice(&line),
                    LogItem::Flush(done) => {
                        self.write(&mut text);
                        // The flush may have timed out.
                        let _ = done.try_send(());
                    }
                }
                next = if text.len() < WRITE_BYTES {
                    self.queue.try_recv().ok()
                } else {
                    None
                };
            }
            self.write(&mut text);
        }
    }

    /// Writes and clears the text. A failed write is ignored: there is nowhere to report it.
    fn write(&mut self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let _ = self.out.write_all(text).and_then(|()| self.out.flush());
        self.counts.waiting.fetch_sub(text.len(), Relaxed);
        text.clear();
        let dropped = self.counts.dropped.load(Relaxed);
        if dropped > self.reported {
            let lines = dropped - self.reported;
            self.reported = dropped;
            // If the queue is still full, this line is dropped too, and the next one reports a larger number.
            tracing::warn!(
                lines,
                "lines of the log were dropped: the reader of standard error was too slow"
            );
        }
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Puts a line into the queue. The formatters write a line with one call.
pub(super) struct LineWriter<'a>(&'a LogQueue);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex, MutexGuard};

    use super::*;

    /// A reader that reads nothing before `go`.
    #[derive(Clone, Default)]
    struct Reader(Arc<(Mutex<ReaderState>, Condvar)>);

    #[derive(Default)]
    struct ReaderState {
        goes: bool,
        waits: bool,
        taken: Vec<u8>,
    }

    impl Reader {
        fn state(&self) -> MutexGuard<'_, ReaderState> {
            self.0.0.lock().unwrap()
        }

        fn go(&self) {
            self.state().goes = true;
            self.0.1.notify_all();
        }

        fn until_it_waits(&self) {
            drop(self.0.1.wait_while(self.state(), |state| !state.waits).unwrap());
        }

        fn lines(&self) -> usize {
            self.state().taken.iter().filter(|byte| **byte == b'\n').count()
        }
    }

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let mut state = self.state();
            state.waits = true;
            self.0.1.notify_all();
            let mut state = self.0.1.wait_while(state, |state| !state.goes).unwrap();
            state.taken.extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_slow_reader_does_not_block_logging_and_dropped_lines_are_counted() {
        let reader = Reader::default();
        let lines = LogQueue::start(reader.clone(), 10, MAX_BYTES).unwrap();
        lines.put(b"first\n");
        reader.until_it_waits();
        for _ in 0..100 {
            lines.put(b"more\n");
        }
        assert_eq!(lines.dropped(), 90, "ten are queued, and the first is being written");
        assert!(!lines.flush(Duration::from_millis(20)), "the reader blocks");
        reader.go();
        assert!(lines.flush(LONG));
        assert_eq!(reader.lines(), 11);
        assert_eq!(lines.counts.waiting.load(Relaxed), 0);
    }

    #[test]
    fn queued_lines_have_at_most_the_maximum_number_of_bytes() {
        let reader = Reader::default();
        let lines = LogQueue::start(reader.clone(), 1000, 100).unwrap();
        for _ in 0..10 {
            lines.put(&[b'x'; 40]);
        }
        assert!((7..=8).contains(&lines.dropped()), "{}", lines.dropped());
        reader.go();
        assert!(lines.flush(LONG));
        lines.put(b"one more line\n");
        assert!(lines.flush(LONG));
        assert_eq!(reader.lines(), 1);
    }

    #[test]
    fn a_flush_writes_all_lines() {
        let reader = Reader::default();
        reader.go();
        let lines = LogQueue::start(reader.clone(), MAX_LINES, MAX_BYTES).unwrap();
        for _ in 0..10_000 {
            lines.put(b"a line\n");
        }
        assert!(lines.flush(LONG));
        assert_eq!((reader.lines(), lines.dropped()), (10_000, 0));
    }
}
