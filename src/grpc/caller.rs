//! The caller of a handler, and the timeout of its work. A handler gets it only if the caller may use all accounts that the
//! request names.

use std::{future::Future, sync::Arc, time::Duration};

use tonic::{Request, Status};

use crate::{
    clock::Clock,
    domain::{Authentication, Principal, Timestamp, TraceId},
    edge::{RefusedCallers, admission::Admitted, answers::CallMemory},
    policy::{PolicyCaller, roles::Privilege},
};

use super::{access::NamesAccounts, call::Arrival, deadline, refusal::Refusal, status};

/// How long a call waits for memory for its answer.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest page of a list in bytes, as a message. The rooms below end a page of about this size early.
const PAGE_BYTES: usize = 1024 * 1024;

/// An authenticated and authorized caller.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) authentication: Arc<Authentication>,
    pub(super) trace_id: Option<TraceId>,
    /// The timeout for the work on the call.
    pub(super) timeout: Duration,
    /// When the credentials expire. A stream ends then.
    pub(super) until: Option<Timestamp>,
    /// The memory for the answer.
    pub(super) memory: Arc<CallMemory>,
    /// The refusal of what others asked for. Present if the caller may read only what it asked for itself, in the accounts that
    /// the request names.
    own_only: Option<String>,
    refused: RefusedCallers,
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
            authentication,
            operation,
            scope,
            reads,
            until,
            refused,
            memory,
        } = admitted.ok_or_else(|| status::unauthenticated().into_status())?;
        let accounts = request.get_ref().accounts();
        let rule = || match operation {
            Privilege::Own if reads.is_empty() => Privilege::Read.refusal(principal, None),
            Privilege::Own => Privilege::Read.refusal_of_scope(principal, reads),
            _ => operation.refusal_of_scope(principal, scope),
        };
        if !accounts.is_within(scope) {
            return Err(refuse(refused, rule()));
        }
        let is_own_only = *operation == Privilege::Own && !accounts.is_within(reads);
        let arrival = request.extensions().get::<Arrival>();
        let elapsed = arrival.map_or(Duration::ZERO, |arrival| clock.monotonic_now().since(arrival.0));
        Ok(Self {
            principal: principal.clone(),
            authentication: authentication.clone(),
            trace_id: request.extensions().get().cloned(),
            timeout: deadline::work_timeout(request.metadata(), elapsed, max_timeout),
            until: *until,
            memory: memory.clone(),
            own_only: is_own_only.then(rule),
            refused: refused.clone(),
        })
    }

    /// The caller as the policy knows it.
    pub(super) fn for_policy(&self) -> PolicyCaller<'_> {
        PolicyCaller {
            principal: &self.principal,
            claims: Some(&self.authentication.claims),
        }
    }

    /// Refuses a read of what others asked for, unless the caller may read everything there. `is_own` finds out whether the
    /// caller asked for it. The refusal says nothing of what exists. `how` continues it with what the caller may ask.
    pub(super) async fn refuse_others<E: Into<Refusal>>(
        &self,
        is_own: impl Future<Output = Result<bool, E>>,
        how: &str,
    ) -> Result<(), Status> {
        let Some(rule) = &self.own_only else {
            return Ok(());
        };
        match with_timeout(self.timeout, is_own, status::store_unavailable).await? {
            true => Ok(()),
            false => Err(self.refuse(format!("{rule}{how}"))),
        }
    }

    /// The status for a caller that lacks a role.
    pub(super) fn refuse(&self, rule: String) -> Status {
        refuse(&self.refused, rule)
    }

    /// Reserves memory for a page, before it is read. `size` is the maximum number of items, `item_bytes` the size of the largest
    /// one as a message.
    pub(super) async fn reserve_page(&self, size: u32, item_bytes: usize) -> Result<(), Status> {
        self.reserve(item_bytes.saturating_mul(size as usize).min(PAGE_BYTES))
            .await
    }

    /// Reserves memory for an answer of at most this size, before it is read.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<(), Status> {
        let timeout = self.timeout.min(ROOM_TIMEOUT);
        tokio::time::timeout(timeout, self.memory.reserve(bytes))
            .await
            .map_err(|_| status::no_room().into_status())
    }
}

fn refuse(refused: &RefusedCallers, rule: String) -> Status {
    refused.count_without_role(&rule);
    status::not_allowed(rule).into_status()
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
