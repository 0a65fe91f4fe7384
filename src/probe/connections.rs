//! The connections of the admin port, with bounds to all that somebody from outside could make large or long. hyper is served by
//! hand, for axum's own server has no such bounds. HTTP/1.1 for those who read, and HTTP/2 without TLS for gRPC probes.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// So many connections at once; more are closed.
const CONNECTIONS: usize = 64;

/// The head of a request must be there in this time, also of the next one on the same connection.
const HEAD: Duration = Duration::from_secs(5);

/// No connection is older: who reads an answer too slowly is left.
const LIFE: Duration = Duration::from_secs(60);

/// How long what is under way may take once it is to end.
const GRACE: Duration = Duration::from_secs(1);

/// A head is no larger, and has no more headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// HTTP/2 begins so, and no method of HTTP/1.1 does.
const HTTP2: &[u8] = b"PRI";

/// So many requests at once on a connection of HTTP/2.
const STREAMS: u32 = 16;

/// Between two looks at a beginning that came in pieces.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Out of file descriptors, most likely: some must be given back before it makes sense to go on.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until cancelled, and waits for their end.
pub(super) async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (room, tasks) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // One too many is closed.
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        let serving = serve(stream, router.clone(), stop.clone());
        tasks.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    let is_http2 = match tokio::time::timeout(HEAD, begins_with_http2(&stream)).await {
        Ok(Ok(is_http2)) => is_http2,
        // It is gone, or says nothing.
        Ok(Err(_)) | Err(_) => return,
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let stream = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .serve_connection(stream, service);
        bounded(connection, http2::Connection::graceful_shutdown, stop).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(stream, service);
        bounded(connection, http1::Connection::graceful_shutdown, stop).await;
    }
}

/// Looks at the first bytes, and leaves them there.
async fn begins_with_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2.len()];
    loop {
        match stream.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read if !HTTP2.starts_with(&first[..read]) => return Ok(false),
            read if read == HTTP2.len() => return Ok(true),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// A connection until its end, which comes when it is told to stop or has lived for long enough.
async fn bounded<C: Future + Unpin>(mut connection: C, end: fn(Pin<&mut C>), stop: CancellationToken) {
    tokio::select! {
        _ = &mut connection => return,
        () = tokio::time::sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    end(Pin::new(&mut connection));
    // Nothing is owed to who does not read.
    let _ = tokio::time::timeout(GRACE, connection).await;
}
