//! Connections as they come in. Who connects must begin to speak: until then there is nothing of HTTP that could end a
//! connection, and silent ones would pile up.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The greeting of HTTP/2 is so long, and no request of HTTP/1 that we answer is shorter.
const GREETING: usize = 24;

/// Out of file descriptors, most likely: some must be given back before it makes sense to go on.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of a listener, each of which must greet within `patience`.
pub(super) fn connections(listener: TcpListener, patience: Duration) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(listener, move |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers must not wait for more to send; without this it is only slower.
                    let _ = stream.set_nodelay(true);
                    return Some((Ok(Connection::new(stream, patience)), listener));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

/// A connection that fails unless its greeting comes in time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    greeting: Option<Greeting>,
}

#[derive(Debug)]
struct Greeting {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        let greeting = Greeting {
            missing: GREETING,
            deadline: Box::pin(tokio::time::sleep(patience)),
        };
        Self {
            stream,
            greeting: Some(greeting),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(greeting) = &mut self.greeting else {
            return read;
        };
        greeting.missing = greeting.missing.saturating_sub(buffer.filled().len() - before);
        if greeting.missing == 0 {
            self.greeting = None;
        } else if read.is_pending() {
            ready!(greeting.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
