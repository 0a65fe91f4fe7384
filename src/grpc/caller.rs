//! What a handler knows of its caller, and how long it lets them wait.

use std::{future::Future, time::Duration};

use tonic::{Request, Status};

use crate::{
    clock::Clock,
    domain::{Principal, TraceId},
};

use super::{auth, call::Arrival, deadline, refusal::Refusal, status};

/// Who calls, and how long they wait.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) trace_id: Option<TraceId>,
    pub(super) patience: Duration,
}

impl Caller {
    /// The caller of a request, who is not kept waiting longer than `most`.
    pub(super) fn of<T>(request: &Request<T>, clock: &Clock, most: Duration) -> Result<Self, Status> {
        let arrival = request.extensions().get::<Arrival>();
        let spent = arrival.map_or(Duration::ZERO, |arrival| clock.elapsed().since(arrival.0));
        let principal = request.extensions().get::<Principal>();
        Ok(Self {
            principal: principal
                .ok_or_else(|| status::unauthenticated(auth::PRINCIPAL))?
                .clone(),
            trace_id: request.extensions().get().cloned(),
            patience: deadline::patience(request.metadata(), spent, most),
        })
    }
}

/// Waits at most for `patience`; past it, says who did not answer.
pub(super) async fn within<T, E: Into<Refusal>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
    late: fn() -> Refusal,
) -> Result<T, Status> {
    match tokio::time::timeout(patience, work).await {
        Ok(result) => result.map_err(|error| error.into().into_status()),
        Err(_) => Err(late().into_status()),
    }
}
