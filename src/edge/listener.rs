//! Connections as they come in: at most so many; more are closed at once. Who connects must begin to speak: until then there is nothing of HTTP that could end a
//! connection, and silent ones would pile up. Where there is TLS, its handshake comes first, within the same time: others do not
//! wait for it.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Sleep,
};
use tokio_stream::Stream;

use super::{Distrust, Identity, RefusedCallers, ServerTls, TlsStream};

/// The greeting of HTTP/2 is so long, and no request of HTTP/1 that we answer is shorter.
const GREETING: usize = 24;

/// Out of file descriptors, most likely: some must be given back before it makes sense to go on.
const PAUSE: Duration = Duration::from_millis(50);

/// How connections are taken.
#[derive(Clone)]
pub(crate) struct Incoming {
    /// At most so many at once.
    pub(crate) most: usize,
    /// Each must greet within this time.
    pub(crate) patience: Duration,
    /// What makes TLS of them, if anything does.
    pub(crate) tls: Option<ServerTls>,
    /// Who is told of those whose handshake failed.
    pub(crate) refused: RefusedCallers,
}

struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    incoming: Incoming,
    /// Handshakes under way, each of which has its place.
    handshakes: JoinSet<Option<Connection>>,
}

/// The connections of a listener that have come to be.
pub(crate) fn connections(listener: TcpListener, incoming: Incoming) -> impl Stream<Item = io::Result<Connection>> {
    let door = Door {
        listener,
        room: Arc::new(Semaphore::new(incoming.most.min(Semaphore::MAX_PERMITS))),
        incoming,
        handshakes: JoinSet::new(),
    };
    stream::unfold(door, async |mut door| {
        loop {
            if let Some(connection) = door.next().await {
                return Some((Ok(connection), door));
            }
        }
    })
}

impl Door {
    /// Something happens; perhaps a connection has come to be.
    async fn next(&mut self) -> Option<Connection> {
        tokio::select! {
            accepted = self.listener.accept() => match accepted {
                Ok((stream, address)) => self.enter(stream, address),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                    None
                }
            },
            Some(ended) = self.handshakes.join_next() => ended.ok().flatten(),
        }
    }

    /// Gives a place to who connects, if there is one; the handshake goes on by itself.
    fn enter(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Connection> {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            tracing::debug!("a connection too many was closed");
            return None;
        };
        // Small answers must not wait for more to send; without this it is only slower.
        let _ = stream.set_nodelay(true);
        let deadline = Box::pin(tokio::time::sleep(self.incoming.patience));
        let Some(tls) = self.incoming.tls.clone() else {
            let peer = Peer {
                address,
                certificate: None,
            };
            return Some(Connection::new(Wire::Plain(stream), peer, place, deadline));
        };
        let refused = self.incoming.refused.clone();
        self.handshakes
            .spawn(handshake(tls, stream, address, place, deadline, refused));
        None
    }
}

async fn handshake(
    tls: ServerTls,
    stream: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
    mut deadline: Pin<Box<Sleep>>,
    refused: RefusedCallers,
) -> Option<Connection> {
    let result = tokio::select! {
        result = tls.accept(stream) => result,
        () = &mut deadline => Err(Distrust::Handshake),
    };
    match result {
        Ok(stream) => {
            let certificate = ServerTls::identity(&stream);
            let peer = Peer { address, certificate };
            Some(Connection::new(Wire::Tls(Box::new(stream)), peer, place, deadline))
        }
        Err(why) => {
            refused.note(why, Some(address));
            None
        }
    }
}

/// Who is at the other end of a connection. It is in the extensions of each of its calls.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whom the client's certificate names; none without one.
    pub(crate) certificate: Option<Result<Identity, Distrust>>,
}

/// A connection that fails unless its greeting comes in time, and keeps its place until it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    peer: Peer,
    greeting: Option<Greeting>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Greeting {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// Does the same with whichever it is.
macro_rules! on {
    ($wire:expr, $stream:ident => $work:expr) => {
        match $wire {
            Wire::Plain($stream) => $work,
            Wire::Tls($stream) => $work,
        }
    };
}

impl Connection {
    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    fn new(wire: Wire, peer: Peer, place: OwnedSemaphorePermit, deadline: Pin<Box<Sleep>>) -> Self {
        let greeting = Greeting {
            missing: GREETING,
            deadline,
        };
        Self {
            wire,
            peer,
            greeting: Some(greeting),
            _place: place,
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
        let read = on!(&mut self.wire, stream => Pin::new(stream).poll_read(context, buffer));
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
        on!(&mut self.wire, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(&mut self.wire, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        on!(&self.wire, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.wire, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.wire, stream => Pin::new(stream).poll_shutdown(context))
    }
}
