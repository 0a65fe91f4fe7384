//! The caller of a handler, and the timeout of its work. A handler gets it only if the caller may use all accounts that the
//! request names.

use std::{future::Future, time::Duration};

use tonic::{Request, Status};

use crate::{
    clock::Clock,
    domain::{Principal, Timestamp, TraceId},
    edge::admission::Admitted,
};

use super::{access::NamesAccounts, call::Arrival, deadline, refusal::Refusal, status};

/// An authenticated and authorized caller.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) trace_id: Option<TraceId>,
    /// The timeout for the work on the call.
    pub(super) timeout: Duration,
    /// When the credentials expire. A stream ends then.
    pub(super) until: Option<Timestamp>,
}

impl Caller {
    /// The caller of a request. `max_timeout` caps the timeout.
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
            refused.count_without_role(&rule);
            return Err(status::not_allowed(rule).into_status());
        }
        let arrival = request.extensions().get::<Arrival>();
        let elapsed = arrival.map_or(Duration::ZERO, |arrival| clock.monotonic_now().since(arrival.0));
        Ok(Self {
            principal: principal.clone(),
            trace_id: request.extensions().get().cloned(),
            timeout: deadline::work_timeout(request.metadata(), elapsed, max_timeout),
            until: *until,
        })
    }
}

/// Runs the work within `timeout`. After it, the error is that of `on_timeout`.
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
