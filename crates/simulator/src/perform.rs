//! One call from its arrival to its answer, with the fault it meets.
//!
//! A call runs in a task of its own: a caller who leaves does not stop it, as with AWS.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::calls::Call;
use super::engine::Engine;
use super::fault::{Behind, Effect, Moment};
use super::incoming::Incoming;
use super::now::now;
use super::refusal::Refusal;
use super::reply::{Answer, Protocol, Reply};

/// A call in progress.
pub(super) struct Performance {
    pub(super) engine: Arc<Engine>,
    pub(super) incoming: Incoming,
    pub(super) call: Call,
    /// Cancelled when the caller leaves.
    pub(super) gone: CancellationToken,
}

impl Performance {
    /// Performs the call and closes its line in the call log.
    pub(super) async fn run(self) -> Reply {
        let reply = self.reply().await;
        let tick = self.engine.log.tick();
        self.engine.log.note(self.call.number, |call| {
            call.ended = Some(tick);
            call.ended_at = Some(now());
            call.ending = Some(reply.ending());
            call.http_status = reply.answer().map(|answer| answer.status.as_u16());
            call.error_code = reply.answer().and_then(|answer| answer.error_code.clone());
        });
        reply
    }

    async fn reply(&self) -> Reply {
        let hit = self.engine.faults().choose(&self.call);
        let Some((fault, effect)) = hit else {
            return Reply::Whole(self.carry_out(None).await);
        };
        self.engine.log.note(self.call.number, |call| call.fault = Some(fault));
        if let Some(reply) = self.before(&effect).await {
            return reply;
        }
        let behind = match effect {
            Effect::StaleRead { behind } => Some(behind),
            _ => None,
        };
        let answer = self.carry_out(behind).await;
        self.after(&effect, answer).await
    }

    async fn carry_out(&self, behind: Option<Behind>) -> Answer {
        let result = match &self.incoming.order {
            Ok(order) => self.engine.carry_out(order, &self.call, behind).await,
            Err(refusal) => Err(refusal.clone()),
        };
        match result {
            Ok(body) => Answer::ok(self.incoming.protocol, &self.call.request_id, body),
            Err(refusal) => self.refused(&refusal),
        }
    }

    /// What a fault does before the call is carried out; a reply if it never is.
    async fn before(&self, effect: &Effect) -> Option<Reply> {
        match effect {
            Effect::Latency {
                milliseconds,
                moment: Moment::BeforeApplying,
            } => self.sleep(*milliseconds).await.err().map(|_| Reply::Reset),
            Effect::Throttle {
                http_status,
                retry_after_seconds,
            } => {
                let refusal = Refusal::new("ThrottlingException", "Rate exceeded").retry_after(*retry_after_seconds);
                Some(Reply::Whole(self.refused(&refusal.status(status(*http_status)))))
            }
            Effect::ServerError {
                http_status,
                moment: Moment::BeforeApplying,
                retry_after_seconds,
            } => Some(Reply::Whole(self.server_error(*http_status, *retry_after_seconds))),
            Effect::Reset {
                moment: Moment::BeforeApplying,
            } => Some(Reply::Reset),
            Effect::Hang {
                moment: Moment::BeforeApplying,
                at_most_milliseconds,
            } => {
                self.hang(*at_most_milliseconds).await;
                Some(Reply::Reset)
            }
            Effect::Refuse {
                code,
                message,
                http_status,
            } => {
                let refusal = Refusal::new(code.clone(), message.clone()).status(status(*http_status));
                Some(Reply::Whole(self.refused(&refusal)))
            }
            _ => None,
        }
    }

    /// What a fault makes of the answer, once there is one.
    async fn after(&self, effect: &Effect, answer: Answer) -> Reply {
        let is_ok = answer.status == StatusCode::OK;
        match effect {
            Effect::Latency {
                milliseconds,
                moment: Moment::AfterApplying,
            } => match self.sleep(*milliseconds).await {
                Ok(()) => Reply::Whole(answer),
                Err(Stopped) => Reply::Reset,
            },
            Effect::ServerError {
                http_status,
                moment: Moment::AfterApplying,
                retry_after_seconds,
            } => Reply::Whole(self.server_error(*http_status, *retry_after_seconds)),
            Effect::Reset {
                moment: Moment::AfterApplying,
            } => Reply::Reset,
            Effect::Hang {
                moment: Moment::AfterApplying,
                at_most_milliseconds,
            } => {
                self.hang(*at_most_milliseconds).await;
                Reply::Reset
            }
            Effect::CutShort if is_ok => Reply::CutShort(answer),
            Effect::Garbage if is_ok => Reply::Whole(answer.with_body(GARBAGE)),
            _ => Reply::Whole(answer),
        }
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        Answer::refused(self.incoming.protocol, &self.call.request_id, refusal)
    }

    /// 502 and 504 come from a proxy that knows nothing of AWS's protocols; the others from the service.
    fn server_error(&self, http_status: u16, retry_after_seconds: Option<u64>) -> Answer {
        let code = match (http_status, self.incoming.protocol) {
            (502 | 504, _) => return Answer::from_proxy(status(http_status), retry_after_seconds),
            (503, Protocol::Json) => "ServiceUnavailableException",
            (503, Protocol::Query) => "ServiceUnavailable",
            (_, Protocol::Json) => "InternalServerException",
            (_, Protocol::Query) => "InternalFailure",
        };
        let refusal = Refusal::new(code, "The request could not be served.").retry_after(retry_after_seconds);
        self.refused(&refusal.status(status(http_status)))
    }

    async fn sleep(&self, milliseconds: u64) -> Result<(), Stopped> {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(milliseconds)) => Ok(()),
            () = self.engine.stop.cancelled() => Err(Stopped),
        }
    }

    async fn hang(&self, at_most_milliseconds: u64) {
        tokio::select! {
            _ = self.sleep(at_most_milliseconds) => {}
            () = self.gone.cancelled() => {}
        }
    }
}

/// The simulator ends.
#[derive(Debug)]
struct Stopped;

/// Neither JSON, nor XML, nor text.
const GARBAGE: &[u8] = b"\x00\xff{\"ImagePermissions\": [<garbage";

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
