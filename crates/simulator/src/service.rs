//! The HTTP handler of AWS calls: every path except `/_simulator`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::{
    api_error::ApiError,
    engine::Engine,
    execution::CallExecution,
    request::ParsedRequest,
    response::{ApiResponse, AwsProtocol, Delivery},
};

/// Maximum request body, in bytes. AWS's largest request is far smaller.
const BODY_LIMIT: usize = 256 * 1024;

pub(super) async fn serve(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return too_large();
    };
    let parsed = ParsedRequest::read(&head, &body, &engine.inventory());
    let call = engine.log.start(parsed.summary.clone());
    let presence = DisconnectGuard {
        engine: Arc::clone(&engine),
        number: call.number,
        gone: CancellationToken::new(),
    };
    let execution = CallExecution {
        engine: Arc::clone(&engine),
        parsed,
        call,
        gone: presence.gone.clone(),
    };
    let delivery = engine.tasks.spawn(execution.run()).await;
    delivery.unwrap_or(Delivery::Reset).into_response()
}

fn too_large() -> Response<Body> {
    let error = ApiError::new(
        "RequestEntityTooLargeException",
        format!("The request body is larger than {BODY_LIMIT} bytes."),
    );
    let error = error.status(StatusCode::PAYLOAD_TOO_LARGE);
    Delivery::Whole(ApiResponse::refused(
        AwsProtocol::Json,
        "00000000-0000-0000-0000-000000000000",
        &error,
    ))
    .into_response()
}

/// Lives while the caller waits. If it is dropped before the call has ended, the caller has disconnected.
struct DisconnectGuard {
    engine: Arc<Engine>,
    number: u64,
    gone: CancellationToken,
}

impl Drop for DisconnectGuard {
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
