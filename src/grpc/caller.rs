//! What a handler knows of its caller, and how long it lets them wait. Nobody gets to know it who does not ask about accounts
//! that the caller may ask about.

use std::{future::Future, time::Duration};

use tonic::{Request, Status};

use crate::{
    clock::Clock,
    domain::{Principal, Timestamp, TraceId},
    edge::admission::Admitted,
};

use super::{access::NamesAccounts, call::Arrival, deadline, refusal::Refusal, status};

/// Who calls, and how long they wait.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) trace_id: Option<TraceId>,
    pub(super) timeout: Duration,
    /// How long it is known who they are; a stream goes on no longer.
    pub(super) until: Option<Timestamp>,
}

impl Caller {
    /// The caller of a request, who is not kept waiting longer than `most`.
    pub(super) fn of<T: NamesAccounts>(
        request: &Request<T>,
        clock: &Clock,
        max_timeout: Duration,
    ) -> Result<Self, Status> {
        let admitted = request.extensions().get::<Admitted>();
        let Admitted {
            principal,
            operation,
            scope,
            until,
            refused,
        } = admitted.ok_or_else(|| status::unauthenticated().into_status())?;
        if !request.get_ref().accounts().is_within(scope) {
            let rule = operation.refusal_of_scope(principal, scope);
            refused.note_role(&rule);
            return Err(status::not_allowed(rule).into_status());
        }
        let arrival = request.extensions().get::<Arrival>();
        let spent = arrival.map_or(Duration::ZERO, |arrival| clock.monotonic_now().since(arrival.0));
        Ok(Self {
            principal: principal.clone(),
            trace_id: request.extensions().get().cloned(),
            timeout: deadline::work_timeout(request.metadata(), spent, max_timeout),
            until: *until,
        })
    }
}

/// Waits at most for `timeout`; past it, says who did not answer.
pub(super) async fn with_timeout<T, E: Into<Refusal>>(
    timeout: Duration,
    work: impl Future<Output = Result<T, E>>,
    on_timeout: fn() -> Refusal,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result.map_err(|error| error.into().into_status()),
        Err(_) => Err(on_timeout().into_status()),
    }
}
