//! The connections of the admin port, with bounds to all that somebody from outside could make large or long. hyper is served by
//! hand, for axum's own server has no such bounds.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
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
    let service = service_fn(move |request: hyper::Request<Incoming>| router.clone().oneshot(request.map(Body::new)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = &mut connection => return,
        () = tokio::time::sleep(LIFE) => {}
        () = stop.cancelled() => {}
    }
    Pin::new(&mut connection).graceful_shutdown();
    // Nothing is owed to who does not read.
    let _ = tokio::time::timeout(GRACE, connection).await;
}
