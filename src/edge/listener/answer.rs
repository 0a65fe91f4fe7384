//! The body of every answer, and the task of every HTTP/2 stream. They count the bytes that the client has not taken, and end a
//! stream whose client takes nothing.
//!
//! HTTP/2 lets a client stop one answer with its window, while the connection lives on. hyper and h2 keep such an answer without
//! a limit of time. A client that stops TCP is noticed by [`super::Stream`].

use std::{
    cell::RefCell,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use http::Response;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::edge::answers::{Answers, CallMemory, MAX_AHEAD};

tokio::task_local! {
    /// The memory of the answer that the current task sends. Absent over HTTP/1.1, where the connection is one task.
    static SENDING: RefCell<Option<Arc<CallMemory>>>;
}

/// Counts the answer in its memory. An answer without one gets a memory without a principal.
pub(super) fn counted<B>(mut answer: Response<B>, answers: &Answers) -> Response<CountedBody<B>> {
    let memory = answer.extensions_mut().remove();
    let memory: Arc<CallMemory> = memory.unwrap_or_else(|| CallMemory::new(answers, None));
    // An error: this is HTTP/1.1.
    let _ = SENDING.try_with(|sending| sending.replace(Some(memory.clone())));
    answer.map(|inner| CountedBody { inner, memory })
}

/// A body with counted bytes. While the client has much to take, it makes no further frames, not even trailers. So a stream can
/// be reset: after its trailers it could not, and h2 would keep the rest until the connection ends.
pub(super) struct CountedBody<B> {
    inner: B,
    memory: Arc<CallMemory>,
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = CountedBytes<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let (unsent, _) = self.memory.unsent(context);
        if unsent > MAX_AHEAD {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let memory = &self.memory;
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| CountedBytes::new(bytes, memory)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A frame of an answer. It is counted until the connection has written it, or drops it.
pub(super) struct CountedBytes<D> {
    bytes: D,
    length: usize,
    memory: Arc<CallMemory>,
}

impl<D: Buf> CountedBytes<D> {
    fn new(bytes: D, memory: &Arc<CallMemory>) -> Self {
        let length = bytes.remaining();
        memory.encoded(length);
        Self {
            bytes,
            length,
            memory: memory.clone(),
        }
    }
}

impl<D: Buf> Buf for CountedBytes<D> {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(parts)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.bytes.has_remaining() {
            self.memory.moved();
        }
    }
}

impl<D> Drop for CountedBytes<D> {
    fn drop(&mut self) {
        self.memory.taken(self.length);
    }
}

/// Spawns the streams of one HTTP/2 connection.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    /// How long a client may take nothing of an answer.
    pub(super) unread_timeout: Duration,
    /// Closes the connection.
    pub(super) close: CancellationToken,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(StreamTask {
            stream: Box::pin(stream),
            is_handed_over: false,
            memory: None,
            timeout: None,
            executor: self.clone(),
        });
    }
}

/// The task of a stream. It ends when the client has taken the answer, so that the call keeps its slots until then.
struct StreamTask<F> {
    stream: Pin<Box<F>>,
    /// True when h2 has the whole answer. What is left of it is small.
    is_handed_over: bool,
    memory: Option<Arc<CallMemory>>,
    /// The timeout for the next progress, and the progress at its start.
    timeout: Option<(Pin<Box<Sleep>>, u64)>,
    executor: StreamExecutor,
}

impl<F: Future<Output = ()>> StreamTask<F> {
    fn poll_stream(&mut self, context: &mut Context<'_>) {
        if self.is_handed_over {
            return;
        }
        let (ended, memory) = SENDING.sync_scope(RefCell::default(), || {
            let ended = self.stream.as_mut().poll(context).is_ready();
            (ended, SENDING.with(RefCell::take))
        });
        self.is_handed_over = ended;
        self.memory = memory.or(self.memory.take());
    }

    /// The number of bytes that the client has not taken. Ready when it made no progress within the timeout.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> (usize, Poll<()>) {
        let (unsent, progress) = self.memory.as_ref().map_or((0, 0), |memory| memory.unsent(context));
        if unsent == 0 {
            self.timeout = None;
            return (0, Poll::Pending);
        }
        loop {
            let (timeout, since) = self.timeout.get_or_insert_with(|| {
                let timeout = tokio::time::sleep(self.executor.unread_timeout);
                (Box::pin(timeout), progress)
            });
            if timeout.as_mut().poll(context).is_pending() {
                return (unsent, Poll::Pending);
            }
            if *since == progress {
                return (unsent, Poll::Ready(()));
            }
            self.timeout = None;
        }
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_stream(context);
        let (unsent, stalled) = self.poll_stalled(context);
        if stalled.is_ready() {
            if let Some(memory) = &self.memory {
                memory.answers().count_stalled();
            }
            if self.is_handed_over {
                self.executor.close.cancel();
            }
            // The drop of an unfinished stream resets it.
            return Poll::Ready(());
        }
        match self.is_handed_over && unsent == 0 {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
