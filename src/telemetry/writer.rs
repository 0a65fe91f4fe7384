//! The way of a line to standard error: a queue with bounds, and one thread that writes. Who logs never waits: when whoever reads
//! the log is too slow, lines are dropped and counted, and the log says so when it goes on.

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

/// So many lines may wait.
const MAX_LINES: usize = 16_384;

/// The lines that wait have at most so many bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// LogQueue are written together while they have no more bytes than this.
const WRITE_BYTES: usize = 64 * 1024;

/// So long a line waits for others to be written with it. Without that each of them would wake the thread that writes.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How often who flushes tries to get into a full queue.
const FLUSH_RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// The writer of this process: there is one standard error.
static WRITER: OnceLock<LogQueue> = OnceLock::new();

/// LogQueue that were dropped since the start of this process.
pub(super) fn dropped_lines() -> u64 {
    WRITER.get().map_or(0, LogQueue::dropped)
}

/// Waits until what was logged so far is written, for at most so long. True when it is, or when nothing was set up.
pub fn flush(at_most: Duration) -> bool {
    WRITER.get().is_none_or(|lines| lines.flush(at_most))
}

/// The writer of this process, which is started when it is first asked for.
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

/// What the thread is item.
enum QueuedItem {
    Line(Vec<u8>),
    /// Say so when everything before this is written.
    Flush(SyncSender<()>),
}

/// A queue of lines. Clones are the same.
#[derive(Clone)]
pub(super) struct LogQueue {
    queue: SyncSender<QueuedItem>,
    counts: Arc<Counts>,
    max_bytes: usize,
}

#[derive(Default)]
struct Counts {
    /// Bytes that wait.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl LogQueue {
    /// Starts a thread that writes to `out`.
    fn start(out: impl Write + Send + 'static, lines: usize, max_bytes: usize) -> io::Result<Self> {
        let (queue, received) = sync_channel(lines);
        let counts = Arc::<Counts>::default();
        let thread = WriterThread {
            out,
            queue: received,
            counts: counts.clone(),
            reported: 0,
        };
        thread::Builder::new().name("log".into()).spawn(move || thread.run())?;
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
        if !fits || self.queue.try_send(QueuedItem::Line(line.to_vec())).is_err() {
            self.counts.waiting.fetch_sub(line.len(), Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self, at_most: Duration) -> bool {
        let (done, written) = sync_channel(1);
        let mut left = at_most;
        let mut item = QueuedItem::Flush(done);
        loop {
            match self.queue.try_send(item) {
                Ok(()) => return written.recv_timeout(left).is_ok(),
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) if left.is_zero() => return false,
                Err(TrySendError::Full(again)) => item = again,
            }
            // Nothing tells when there is room.
            thread::park_timeout(FLUSH_RETRY_INTERVAL);
            left = left.saturating_sub(FLUSH_RETRY_INTERVAL);
        }
    }
}

/// The thread that writes.
struct WriterThread<W> {
    out: W,
    queue: Receiver<QueuedItem>,
    counts: Arc<Counts>,
    /// So many dropped lines were item of.
    reported: u64,
}

impl<W: Write> WriterThread<W> {
    fn run(mut self) {
        let mut text = Vec::new();
        while let Ok(first) = self.queue.recv() {
            if matches!(first, QueuedItem::Line(_)) {
                thread::park_timeout(BATCH_DELAY);
            }
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    QueuedItem::Line(line) => text.extend_from_slice(&line),
                    QueuedItem::Flush(done) => {
                        self.write(&mut text);
                        // Who asked may have given up.
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

    /// What cannot be written, since whoever read it is gone, is given up: there is nobody to tell.
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
            // It waits behind what is there, and is dropped itself if there is no room: then the next one tells of more.
            tracing::warn!(lines, "lines of the log were dropped: whoever reads it was too slow");
        }
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// One line. The formatters hand it over in one piece.
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

    /// Takes nothing until it is let go.
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
    fn who_logs_does_not_wait_for_a_reader_that_is_stuck_and_what_is_dropped_is_counted() {
        let reader = Reader::default();
        let lines = LogQueue::start(reader.clone(), 10, MAX_BYTES).unwrap();
        lines.put(b"first\n");
        reader.until_it_waits();
        for _ in 0..100 {
            lines.put(b"more\n");
        }
        assert_eq!(lines.dropped(), 90, "ten wait, and the first is being written");
        assert!(!lines.flush(Duration::from_millis(20)), "it is stuck");
        reader.go();
        assert!(lines.flush(LONG));
        assert_eq!(reader.lines(), 11);
        assert_eq!(lines.counts.waiting.load(Relaxed), 0);
    }

    #[test]
    fn lines_that_wait_have_no_more_bytes_than_allowed() {
        let reader = Reader::default();
        let lines = LogQueue::start(reader.clone(), 1000, 100).unwrap();
        for _ in 0..10 {
            lines.put(&[b'x'; 40]);
        }
        assert!((7..=8).contains(&lines.dropped()), "{}", lines.dropped());
        reader.go();
        assert!(lines.flush(LONG));
        lines.put(b"and it goes on\n");
        assert!(lines.flush(LONG));
        assert_eq!(reader.lines(), 1);
    }

    #[test]
    fn nothing_is_lost_when_it_is_flushed() {
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
