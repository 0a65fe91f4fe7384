//! Runs one call from its arrival to its response, with the fault that hits it.
//!
//! A call runs in its own task: as in AWS, a caller that disconnects does not stop it.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::{
    api_error::ApiError,
    calls::ApiCall,
    engine::Engine,
    fault::{Effect, FaultTiming, Staleness},
    now::now,
    request::ParsedRequest,
    response::{ApiResponse, AwsProtocol, Delivery},
};

pub(super) struct CallExecution {
    pub(super) engine: Arc<Engine>,
    pub(super) parsed: ParsedRequest,
    pub(super) call: ApiCall,
    /// Cancelled when the caller disconnects.
    pub(super) gone: CancellationToken,
}

impl CallExecution {
    /// Runs the call and completes its entry in the call log.
    pub(super) async fn run(self) -> Delivery {
        let delivery = self.delivery().await;
        let tick = self.engine.log.tick();
        self.engine.log.note(self.call.number, |call| {
            call.ended = Some(tick);
            call.ended_at = Some(now());
            call.ending = Some(delivery.ending());
            call.http_status = delivery.response().map(|response| response.status.as_u16());
            call.error_code = delivery.response().and_then(|response| response.error_code.clone());
        });
        delivery
    }

    async fn delivery(&self) -> Delivery {
        let hit = self.engine.faults().choose(&self.call);
        let Some((fault, effect)) = hit else {
            let response = self.carry_out(None).await;
            self.record(&response);
            return Delivery::Whole(response);
        };
        self.engine.log.note(self.call.number, |call| call.fault = Some(fault));
        if let Some(delivery) = self.before(&effect).await {
            // An answer without a code is a proxy's, and no call reached AWS.
            let answer = delivery.response().filter(|response| response.error_code.is_some());
            answer.into_iter().for_each(|response| self.record(response));
            return delivery;
        }
        let behind = match effect {
            Effect::StaleRead { behind } => Some(behind),
            _ => None,
        };
        let response = self.carry_out(behind).await;
        self.record(&response);
        self.after(&effect, response).await
    }

    /// Records the call as an event of CloudTrail, with AWS's answer whether or not the caller receives it.
    fn record(&self, response: &ApiResponse) {
        if let Ok(request) = &self.parsed.request {
            let trail = &self.engine.trail;
            trail.record(&self.call, &request.caller, &self.parsed.sender, response, now());
        }
    }

    async fn carry_out(&self, behind: Option<Staleness>) -> ApiResponse {
        let result = match &self.parsed.request {
            Ok(request) => self.engine.carry_out(request, &self.call, behind).await,
            Err(error) => Err(error.clone()),
        };
        match result {
            Ok(body) => ApiResponse::ok(self.parsed.protocol, &self.call.request_id, body),
            Err(error) => self.refused(&error),
        }
    }

    /// The part of a fault before the operation. Returns a response if the operation is not carried out.
    async fn before(&self, effect: &Effect) -> Option<Delivery> {
        match effect {
            Effect::Latency {
                milliseconds,
                moment: FaultTiming::BeforeApplying,
            } => self.sleep(*milliseconds).await.err().map(|_| Delivery::Reset),
            Effect::Throttle {
                http_status,
                retry_after_seconds,
            } => {
                let error = ApiError::new("ThrottlingException", "Rate exceeded").retry_after(*retry_after_seconds);
                Some(Delivery::Whole(self.refused(&error.status(status(*http_status)))))
            }
            Effect::ServerError {
                http_status,
                moment: FaultTiming::BeforeApplying,
                retry_after_seconds,
            } => Some(Delivery::Whole(self.server_error(*http_status, *retry_after_seconds))),
            Effect::Reset {
                moment: FaultTiming::BeforeApplying,
            } => Some(Delivery::Reset),
            Effect::Hang {
                moment: FaultTiming::BeforeApplying,
                at_most_milliseconds,
            } => {
                self.hang(*at_most_milliseconds).await;
                Some(Delivery::Reset)
            }
            Effect::Refuse {
                code,
                message,
                http_status,
            } => {
                let error = ApiError::new(code.clone(), message.clone()).status(status(*http_status));
                Some(Delivery::Whole(self.refused(&error)))
            }
            _ => None,
        }
    }

    /// The part of a fault after the operation.
    async fn after(&self, effect: &Effect, response: ApiResponse) -> Delivery {
        let is_ok = response.status == StatusCode::OK;
        match effect {
            Effect::Latency {
                milliseconds,
                moment: FaultTiming::AfterApplying,
            } => match self.sleep(*milliseconds).await {
                Ok(()) => Delivery::Whole(response),
                Err(Stopped) => Delivery::Reset,
            },
            Effect::ServerError {
                http_status,
                moment: FaultTiming::AfterApplying,
                retry_after_seconds,
            } => Delivery::Whole(self.server_error(*http_status, *retry_after_seconds)),
            Effect::Reset {
                moment: FaultTiming::AfterApplying,
            } => Delivery::Reset,
            Effect::Hang {
                moment: FaultTiming::AfterApplying,
                at_most_milliseconds,
            } => {
                self.hang(*at_most_milliseconds).await;
                Delivery::Reset
            }
            Effect::CutShort if is_ok => Delivery::CutShort(response),
            Effect::Garbage if is_ok => Delivery::Whole(response.with_body(GARBAGE)),
            _ => Delivery::Whole(response),
        }
    }

    fn refused(&self, error: &ApiError) -> ApiResponse {
        ApiResponse::refused(self.parsed.protocol, &self.call.request_id, error)
    }

    /// 502 and 504 come from a proxy that does not speak AWS's protocols. Other statuses come from the service.
    fn server_error(&self, http_status: u16, retry_after_seconds: Option<u64>) -> ApiResponse {
        let code = match (http_status, self.parsed.protocol) {
            (502 | 504, _) => return ApiResponse::from_proxy(status(http_status), retry_after_seconds),
            (503, AwsProtocol::Json) => "ServiceUnavailableException",
            (503, AwsProtocol::Query) => "ServiceUnavailable",
            (_, AwsProtocol::Json) => "InternalServerException",
            (_, AwsProtocol::Query) => "InternalFailure",
        };
        let error = ApiError::new(code, "The request could not be served.").retry_after(retry_after_seconds);
        self.refused(&error.status(status(http_status)))
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

/// The simulator is stopping.
#[derive(Debug)]
struct Stopped;

/// Neither JSON nor XML nor UTF-8.
const GARBAGE: &[u8] = b"\x00\xff{\"ImagePermissions\": [<garbage";

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
