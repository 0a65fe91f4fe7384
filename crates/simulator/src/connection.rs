//! Connections. They are served with hyper directly because a fault may reset a connection (TCP RST) without a response.

use std::{net::IpAddr, pin::Pin, time::Duration};

use axum::{Router, body::Body, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::response::ResetConnection;

/// As an extension of a request: the address that it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) IpAddr);

/// Maximum time for a connection to end at shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// Accepts connections until the simulator stops.
pub(super) async fn accept(listener: TcpListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => drop(tasks.spawn(serve(stream, peer.ip(), router.clone(), stop.clone()))),
            // Most likely out of file descriptors: wait until some are closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, router: Router, stop: CancellationToken) {
    // Send small responses at once. A failure costs only time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    // No timeout for request headers: it would also close idle pooled connections.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::time::timeout(GRACE, &mut connection).await.ok()
        }
    };
    if let Some(Err(error)) = ended
        && is_reset(&error)
    {
        // A close with unread data sends RST by itself; without such data this is needed.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, ResetConnection>> + Send>>;

fn answer(router: Router, peer: IpAddr, mut request: hyper::Request<Incoming>) -> ResponseFuture {
    request.extensions_mut().insert(PeerAddress(peer));
    Box::pin(async move {
        let Ok(response) = router.oneshot(request.map(Body::new)).await;
        match response.extensions().get::<ResetConnection>() {
            Some(wanted) => Err(*wanted),
            None => Ok(response),
        }
    })
}

fn is_reset(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<ResetConnection>())
}

impl std::error::Error for ResetConnection {}

impl std::fmt::Display for ResetConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a fault resets the connection")
    }
}
