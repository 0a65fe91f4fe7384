//! The HTTP side: every path that is not the admin's leads here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::incoming::Incoming;
use super::perform::Performance;
use super::refusal::Refusal;
use super::reply::{Answer, Protocol, Reply};

/// The longest body that is read; AWS's longest request is far below it.
const BODY_LIMIT: usize = 256 * 1024;

/// Serves one call.
pub(super) async fn serve(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return too_large();
    };
    let incoming = Incoming::read(&head, &body, &engine.world());
    let call = engine.log.start(incoming.facts.clone());
    let presence = Presence {
        engine: Arc::clone(&engine),
        number: call.number,
        gone: CancellationToken::new(),
    };
    let performance = Performance {
        engine: Arc::clone(&engine),
        incoming,
        call,
        gone: presence.gone.clone(),
    };
    let reply = engine.tasks.spawn(performance.run()).await;
    reply.unwrap_or(Reply::Reset).into_response()
}

fn too_large() -> Response<Body> {
    let refusal = Refusal::new(
        "RequestEntityTooLargeException",
        format!("A request may have {BODY_LIMIT} bytes."),
    );
    let refusal = refusal.status(StatusCode::PAYLOAD_TOO_LARGE);
    Reply::Whole(Answer::refused(
        Protocol::Json,
        "00000000-0000-0000-0000-000000000000",
        &refusal,
    ))
    .into_response()
}

/// Lives as long as the caller waits. Dropped while the call goes on, it says that the caller has left.
struct Presence {
    engine: Arc<Engine>,
    number: u64,
    gone: CancellationToken,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.gone.cancel();
        let tick = self.engine.log.tick();
        self.engine.log.note(self.number, |call| {
            if call.ended.is_none() {
                call.client_left = Some(tick);
            }
        });
    }
}
