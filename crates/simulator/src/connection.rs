//! Connections. hyper is served by hand because a fault may end a connection with a TCP RST and no byte of an answer.

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::reply::ResetWanted;

/// How long a connection may take to end once the simulator does.
const GRACE: Duration = Duration::from_secs(2);

/// Takes connections until the simulator ends.
pub(super) async fn accept(listener: TcpListener, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(tasks.spawn(serve(stream, router.clone(), stop.clone()))),
            // Out of file descriptors, most likely: some must be given back before it makes sense to go on.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small answers must not wait for more to send; without this it is only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(router.clone(), request));
    // No time limit on reading a request's head: it would also close idle connections under a client's pool.
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
        // Closing with unsent or unread data resets by itself; this makes it certain.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, ResetWanted>> + Send>>;

fn answer(router: Router, request: hyper::Request<Incoming>) -> Answering {
    Box::pin(async move {
        let Ok(response) = router.oneshot(request.map(Body::new)).await;
        match response.extensions().get::<ResetWanted>() {
            Some(wanted) => Err(*wanted),
            None => Ok(response),
        }
    })
}

fn is_reset(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<ResetWanted>())
}

impl std::error::Error for ResetWanted {}

impl std::fmt::Display for ResetWanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a fault wants the connection reset")
    }
}
