//! The accept loop of every port. A connection gets TLS if it is configured. It is served over HTTP/1.1 or HTTP/2, as the client
//! begins it. Everything that a client can make large or long has a limit. [`connections`] says which connection gives way if
//! there are too many.

mod connections;

mod answer;

use std::{
    convert::Infallible,
    error::Error as StdError,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Sleep,
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::clock::Clock;

use super::{AuthenticationFailure, Identity, RefusedCallers, ServerTls, answers::Answers};

use answer::StreamExecutor;

pub(crate) use connections::Connection;
use connections::{Connections, OpenConnection};

/// The length of the HTTP/2 preface. Almost every HTTP/1.1 request is longer too.
const PREFACE_BYTES: usize = 24;

/// Delay after an accept has failed. The usual cause is that no file descriptor is free.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// How long requests may continue after their connection has reached its maximum age.
const AGE_GRACE: Duration = Duration::from_secs(1);

/// The minimum that hyper accepts.
const MIN_BUFFER_BYTES: usize = 8 * 1024;

/// The limits of a port.
#[derive(Debug, Clone)]
pub(crate) struct ListenerSettings {
    /// Maximum connections. A further one takes the place of another one.
    pub(crate) max_connections: usize,
    /// The client must complete the TLS handshake and send the HTTP/2 preface (or 24 bytes of HTTP/1.1) within this time.
    pub(crate) handshake_timeout: Duration,
    /// An HTTP/1.1 client must send the head of its next request within this time.
    pub(crate) head_timeout: Duration,
    /// Maximum size of a request head in bytes.
    pub(crate) max_head_bytes: u32,
    /// Maximum concurrent requests on one HTTP/2 connection.
    pub(crate) max_concurrent_streams: u32,
    /// Time between two HTTP/2 keepalive pings.
    pub(crate) keepalive_interval: Duration,
    /// How long an HTTP/2 client may take to answer a ping.
    pub(crate) keepalive_timeout: Duration,
    /// How long a client may take nothing of an answer. Then its stream is reset, or its connection is closed.
    pub(crate) unread_timeout: Duration,
    /// Maximum age of a connection. `None`: no maximum.
    pub(crate) max_age: Option<Duration>,
}

/// A bound port and its settings.
pub(crate) struct HttpListener {
    pub(crate) socket: TcpListener,
    pub(crate) settings: ListenerSettings,
    pub(crate) tls: Option<Tls>,
    pub(crate) clock: Clock,
    /// Counts the answers.
    pub(crate) answers: Answers,
}

/// TLS for the connections of a port.
pub(crate) struct Tls {
    pub(crate) server: ServerTls,
    /// Counts and logs failed handshakes.
    pub(crate) refused: RefusedCallers,
}

/// The client of a connection. It is in the extensions of each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The identity in the client's certificate. `None`: the client sent none.
    pub(crate) certificate: Option<Result<Identity, AuthenticationFailure>>,
    /// Its place, and its own limits.
    pub(crate) connection: Connection,
}

impl HttpListener {
    /// Serves until `stop` is cancelled. Then it closes the socket, and each connection ends with its current request. The
    /// future ends with the last connection. Dropping the future closes all connections.
    pub(crate) async fn serve<S, B>(self, service: S, stop: CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Self {
            socket,
            settings,
            tls,
            clock,
            answers,
        } = self;
        let places = Connections::new(settings.max_connections, &clock);
        let server = Arc::new(ConnectionServer { settings, tls, answers });
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                // Remove ended connections first, so that their places are free.
                biased;
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let client = AcceptedClient {
                        address,
                        connection: places.open(address),
                    };
                    connections.spawn(server.clone().serve(stream, client, service.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn StdError,
                        "cannot accept a connection; retrying in 50 ms"
                    );
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
        // New clients get an error at once and can connect to another replica.
        drop(socket);
        while connections.join_next().await.is_some() {}
    }
}

fn http(settings: &ListenerSettings, close: CancellationToken) -> auto::Builder<StreamExecutor> {
    let mut http = auto::Builder::new(StreamExecutor {
        unread_timeout: settings.unread_timeout,
        close,
    });
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(MIN_BUFFER_BYTES.max(settings.max_head_bytes as usize));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(settings.max_head_bytes)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout);
    http
}

/// The client of an accepted connection.
struct AcceptedClient {
    address: SocketAddr,
    connection: OpenConnection,
}

/// Serves one port's connections.
struct ConnectionServer {
    settings: ListenerSettings,
    tls: Option<Tls>,
    answers: Answers,
}

impl ConnectionServer {
    /// Serves one connection until it ends.
    async fn serve<S, B>(
        self: Arc<Self>,
        stream: TcpStream,
        client: AcceptedClient,
        service: S,
        stop: CancellationToken,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut deadline = Box::pin(tokio::time::sleep(self.settings.handshake_timeout));
        let opened = tokio::select! {
            opened = self.open(stream, &client) => opened,
            () = &mut deadline => Err(AuthenticationFailure::Handshake),
            () = client.connection.0.displaced() => return,
            () = stop.cancelled() => return,
        };
        let (stream, peer) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                if let Some(tls) = &self.tls {
                    tls.refused.count_unauthenticated(why, Some(client.address));
                }
                return;
            }
        };
        let stream = Stream {
            stream,
            unread_timeout: self.settings.unread_timeout,
            stalled: None,
            preface: Some(Preface {
                missing: PREFACE_BYTES,
                deadline,
            }),
        };
        let answers = self.answers.clone();
        let service = service
            .map_request(move |mut request: Request<Incoming>| {
                peer.connection.used();
                request.extensions_mut().insert(peer.clone());
                request
            })
            .map_response(move |response| answer::counted(response, &answers));
        let close = CancellationToken::new();
        let http = http(&self.settings, close.clone());
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        let grace = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &*error as &dyn StdError, "a connection failed");
                }
                return;
            }
            // The place belongs to another connection now, so there is no time for an orderly end.
            () = client.connection.0.displaced() => return,
            // The caller of `serve` sets the time limit of a stop.
            () = stop.cancelled() => None,
            () = close.cancelled() => return,
            () = aged(self.settings.max_age) => Some(AGE_GRACE),
        };
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ended = connection => {}
            () = aged(grace) => {}
            () = client.connection.0.displaced() => {}
            () = close.cancelled() => {}
        }
    }

    /// Makes the TLS handshake, if TLS is configured.
    async fn open(
        &self,
        stream: TcpStream,
        client: &AcceptedClient,
    ) -> Result<(Box<dyn Transport>, Peer), AuthenticationFailure> {
        let peer = |certificate| Peer {
            address: client.address,
            certificate,
            connection: client.connection.0.clone(),
        };
        // Send small answers at once. If this fails, they are only later.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Ok((Box::new(stream), peer(None)));
        };
        let stream = tls.server.accept(stream).await?;
        let certificate = ServerTls::identity(&stream);
        Ok((Box::new(stream), peer(certificate)))
    }
}

/// Completes at this age. `None`: never.
async fn aged(age: Option<Duration>) {
    match age {
        Some(age) => tokio::time::sleep(age).await,
        None => std::future::pending().await,
    }
}

/// TCP, or TLS over TCP.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The bytes of a connection. A read fails if the preface is late: hyper has no timeout before it. A write fails if the client
/// has taken nothing for too long.
struct Stream {
    stream: Box<dyn Transport>,
    preface: Option<Preface>,
    unread_timeout: Duration,
    /// The timeout of a write that waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
}

struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(preface) = &mut self.preface else {
            return read;
        };
        preface.missing = preface.missing.saturating_sub(buffer.filled().len() - before);
        if preface.missing == 0 {
            self.preface = None;
        } else if read.is_pending() {
            ready!(preface.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl Stream {
    /// The result of a write, or an error if it has waited for the client too long.
    fn within_timeout<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.unread_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_timeout(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within_timeout(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.within_timeout(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.within_timeout(context, shut_down)
    }
}

#[cfg(test)]
pub(crate) use connections::connection as connection_for_tests;

#[cfg(test)]
mod tests;
