//! Grants and revokes. A request keeps its id over all tries, so it takes effect at most once.

use std::time::Duration;

use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::{
    connection::{Client, ShareStub, backoff},
    error::{Error, Reason, RequestDelivery},
    proto::v1::{
        ErrorReason, GrantSharePermissionRequest, GrantSharePermissionResponse, RevokeSharePermissionRequest,
        RevokeSharePermissionResponse,
    },
};

/// The maximum delay before a retry that an answer can ask for. A longer one is a fault, and could not be added to a time.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);

/// How long a try may take, unless the one before it had no answer either. A request is lost without an error if its connection
/// ends in the moment in which it is sent (hyperium/hyper#4122): it stays in a channel whose sender tonic drops with the next
/// request. So it is sent again.
const TRY_TIME: Duration = Duration::from_secs(10);

/// The result of a grant or a revoke.
#[derive(Debug, Clone)]
#[must_use]
pub enum Outcome<A> {
    /// AWS accepted the change, and the ledger records this. With `validate_only`: the request is valid and permitted. `findings`
    /// of the answer tell what AWS's own rules say.
    Succeeded(A),
    /// The service refused the request, or the change ended without success. The error says why.
    Failed(Error),
    /// The timeout passed, or the maximum of tries was reached, before the outcome was known. The change may still succeed.
    Unresolved {
        /// To get the outcome, send the same request again with this id. It takes effect at most once.
        request_id: String,
        /// The last error. CHANGE_PENDING, with the `change_id`, if the service accepted the change.
        error: Error,
    },
}

impl<A> Outcome<A> {
    pub(crate) fn map<B>(self, convert: impl FnOnce(A) -> B) -> Outcome<B> {
        match self {
            Self::Succeeded(answer) => Outcome::Succeeded(convert(answer)),
            Self::Failed(error) => Outcome::Failed(error),
            Self::Unresolved { request_id, error } => Outcome::Unresolved { request_id, error },
        }
    }
}

/// Tells what a pending change waits for.
pub struct Telling<'a> {
    /// How long the service may wait before it answers, so that there is something to tell.
    pub every: Duration,
    /// Hears each CHANGE_PENDING. Its metadata says what the change waits for.
    pub tell: &'a mut (dyn FnMut(&Error) + Send),
}

impl Client {
    /// Sends a grant, with the request's id or a new random one. Returns when the outcome is known or the timeout has passed.
    pub async fn grant(&self, request: GrantSharePermissionRequest) -> Outcome<GrantSharePermissionResponse> {
        self.grant_telling(request, None).await
    }

    /// Sends a grant in the same way, and tells what a pending change waits for.
    pub async fn grant_telling(
        &self,
        mut request: GrantSharePermissionRequest,
        telling: Option<Telling<'_>>,
    ) -> Outcome<GrantSharePermissionResponse> {
        let id = ensure_id(&mut request.request_id);
        let rpc = async |mut stub: ShareStub, request| stub.grant_share_permission(request).await;
        self.change(id, request, telling, rpc).await
    }

    /// Sends a revoke, in the same way as [`grant`](Self::grant).
    pub async fn revoke(&self, request: RevokeSharePermissionRequest) -> Outcome<RevokeSharePermissionResponse> {
        self.revoke_telling(request, None).await
    }

    /// Sends a revoke, in the same way as [`grant_telling`](Self::grant_telling).
    pub async fn revoke_telling(
        &self,
        mut request: RevokeSharePermissionRequest,
        telling: Option<Telling<'_>>,
    ) -> Outcome<RevokeSharePermissionResponse> {
        let id = ensure_id(&mut request.request_id);
        let rpc = async |mut stub: ShareStub, request| stub.revoke_share_permission(request).await;
        self.change(id, request, telling, rpc).await
    }

    async fn change<Q, A, F>(
        &self,
        request_id: String,
        request: Q,
        mut telling: Option<Telling<'_>>,
        rpc: F,
    ) -> Outcome<A>
    where
        Q: Clone,
        F: AsyncFn(ShareStub, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut deadline = self.deadline();
        let first = telling.as_ref().map_or(TRY_TIME, |telling| telling.every.min(TRY_TIME));
        let (mut in_doubt, mut pending) = (false, None);
        let (mut delays, mut was_silent) = (0, false);
        let mut tries = CountedTries::default();
        let mut patience = first;
        loop {
            let mut error = match self.call_once(deadline.at_most(patience), request.clone(), &rpc).await {
                Ok(response) => return Outcome::Succeeded(response),
                Err(error) => error,
            };
            error.request_id = Some(request_id.clone());
            // The service may be slow, so the next try may take longer.
            let is_slow = is_cut_short(&error);
            patience = if is_slow { patience.saturating_mul(2) } else { first };
            tries.failed(&error);
            delays += 1;
            let class = ErrorClass::of(&error);
            if class == ErrorClass::Final {
                return Outcome::Failed(error);
            }
            in_doubt |= class == ErrorClass::InDoubt;
            let is_pending = error.known_reason() == Some(ErrorReason::ChangePending);
            if is_pending {
                // The service is available. The next try waits on the server until the change ends.
                pending = Some(error.clone());
                if let Some(telling) = &mut telling {
                    // The answer came early because it was asked to, so the next try need not wait.
                    delays = 0;
                    (telling.tell)(&error);
                }
            }
            let asked = error.retry_delay.unwrap_or_default().min(MAX_RETRY_DELAY);
            let delay = backoff(delays).max(asked);
            // An accepted change goes on, so its end is worth the whole timeout.
            let gives_up = class == ErrorClass::Rejected || pending.is_none() && tries.number >= self.tries;
            let mut is_late = delay >= deadline.remaining();
            let is_alive = is_pending || error.is_pushback();
            if self.job_is_stopped.is_some() && (is_alive || is_late && !was_silent) {
                // A job waits until the service has given no sign of life for two timeouts.
                was_silent = !is_alive;
                deadline = self.deadline_after(delay);
                is_late = false;
            }
            if gives_up || is_late || !self.may_repeat_after(delay).await {
                return match in_doubt {
                    false => Outcome::Failed(error),
                    true => Outcome::Unresolved {
                        request_id,
                        error: pending.unwrap_or(error),
                    },
                };
            }
        }
    }
}

/// The tries of a change that count towards their maximum.
#[derive(Debug, Default)]
struct CountedTries {
    number: u32,
    /// A request was sent and got no answer. The service may go on with it.
    is_lost: bool,
}

impl CountedTries {
    /// Counts a failed try. Two kinds do not count, because the timeout limits them: those that were cut short, and after a lost
    /// answer those without a connection, while the service is restarted.
    fn failed(&mut self, error: &Error) {
        let is_away = self.is_lost && error.delivery == RequestDelivery::NotSent;
        self.is_lost |= error.delivery == RequestDelivery::Unanswered;
        self.number += u32::from(!is_away && !is_cut_short(error));
    }
}

/// True for a try that nobody answered within its time.
fn is_cut_short(error: &Error) -> bool {
    error.delivery == RequestDelivery::Unanswered && error.code == Code::DeadlineExceeded
}

/// Gives the request an id if it has none, so that a retry is safe.
fn ensure_id(request_id: &mut String) -> String {
    if request_id.is_empty() {
        *request_id = Uuid::new_v4().to_string();
    }
    request_id.clone()
}

/// What an error says about the request, and whether to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorClass {
    /// The request has a final outcome, from this try or an earlier one.
    Final,
    /// The service may have accepted the request. A retry returns its outcome.
    InDoubt,
    /// This try had no effect. A retry may succeed.
    Retryable,
    /// This try had no effect, and a retry would not help. An earlier try may have had an effect.
    Rejected,
}

impl ErrorClass {
    fn of(error: &Error) -> Self {
        match (&error.reason, error.code) {
            (Some(Reason::Known(reason)), _) => Self::of_reason(*reason, error),
            // The error is from a newer service, a proxy or the transport. Only these codes show that the try had no effect.
            (
                Some(Reason::Unknown(_)) | None,
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::Unimplemented,
            ) => Self::Rejected,
            (Some(Reason::Unknown(_)) | None, _) => Self::InDoubt,
        }
    }

    /// The match has no catch-all, so a new reason does not compile until it has a class.
    fn of_reason(reason: ErrorReason, error: &Error) -> Self {
        use ErrorReason as R;
        match reason {
            R::InvalidFields
            | R::RequestIdReused
            | R::AccountNotConfigured
            | R::ImageNotFound
            | R::ImageUnavailable
            | R::OperationNotSupported
            | R::UpstreamAccessDenied
            | R::UpstreamInvalidParameter
            | R::UpstreamRefused
            | R::UpstreamThrottled
            | R::UpstreamUnavailable
            | R::ChangeSuperseded => Self::Final,
            // The service accepted the change, or recorded the denial. Without either, the caller lacks a role in this try only.
            R::PolicyDenied if error.change_id.is_some() || error.metadata.contains_key("log_index") => Self::Final,
            R::ChangePending
            | R::ChangeUnconfirmed
            | R::CallTimedOut
            | R::AuditStoreUnavailable
            | R::Internal
            | R::Unspecified => Self::InDoubt,
            R::ServerStopping | R::TokenKeysUnavailable | R::PolicyFactsUnavailable => Self::Retryable,
            R::Overloaded if error.retry_delay.is_some() => Self::Retryable,
            R::Overloaded
            | R::PolicyDenied
            | R::Unauthenticated
            | R::Unimplemented
            | R::InvalidPageToken
            | R::PermissionNotFound
            | R::ChangeNotFound
            | R::EntryNotFound
            | R::PolicySetNotFound
            | R::NotFinalized
            | R::NothingToAdopt
            | R::EntryArchived
            | R::CheckpointNotFound
            | R::NotYetCovered
            | R::LedgerTampered
            | R::InvalidSignature => Self::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same decisions in the Python client.
    const PYTHON: &str = include_str!("../../../clients/python/src/sharewarden/_decisions.py");

    fn error(code: Code, reason: Option<ErrorReason>) -> Error {
        Error {
            reason: reason.map(Reason::Known),
            ..Error::from(&Status::new(code, ""))
        }
    }

    #[test]
    fn tries_while_a_service_that_lost_an_answer_is_away_do_not_count() {
        let failed = |code, delivery| Error {
            delivery,
            ..error(code, None)
        };
        let refused = failed(Code::Unavailable, RequestDelivery::NotSent);
        let broken = failed(Code::Unknown, RequestDelivery::Unanswered);
        let number = |errors: &[&Error]| {
            let mut tries = CountedTries::default();
            errors.iter().for_each(|error| tries.failed(error));
            tries.number
        };
        assert_eq!(number(&[&refused; 3]), 3, "the service was never there");
        assert_eq!(number(&[&broken; 3]), 3, "something else is there");
        assert_eq!(number(&[&broken, &refused, &refused, &refused]), 1);
        assert_eq!(number(&[&failed(Code::Unavailable, RequestDelivery::Answered); 3]), 3);
        let silent = failed(Code::DeadlineExceeded, RequestDelivery::Unanswered);
        assert_eq!(number(&[&silent, &silent, &refused]), 0);
    }

    /// The text of the Python source between `start` and the next `end`.
    fn between(start: &str, end: &str) -> &'static str {
        let (_, rest) = PYTHON.split_once(start).unwrap();
        rest.split_once(end).unwrap().0
    }

    /// The class that the Python client has for a name, where `names_of` gives the names of a class.
    fn class_in_python(name: &str, names_of: impl Fn(&str) -> &'static str) -> Vec<ErrorClass> {
        let classes = [
            ("FINAL", ErrorClass::Final),
            ("IN_DOUBT", ErrorClass::InDoubt),
            ("RETRYABLE", ErrorClass::Retryable),
            ("REJECTED", ErrorClass::Rejected),
        ];
        let has = |class: &str| names_of(class).split_whitespace().any(|found| found == name);
        let classes = classes.into_iter().filter(|(class, _)| has(class));
        classes.map(|(_, class)| class).collect()
    }

    #[test]
    fn the_python_client_has_the_same_class_for_each_reason() {
        let names_of = |class: &str| {
            let names = between(&format!("ErrorClass.{class}: \""), ",\n");
            names.trim_matches('"')
        };
        let reasons: Vec<_> = (0..1000)
            .filter_map(|number| ErrorReason::try_from(number).ok())
            .collect();
        assert!(reasons.len() > 30, "{reasons:?}");
        for reason in reasons {
            let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
            let here = ErrorClass::of(&error(Code::Unknown, Some(reason)));
            assert_eq!(class_in_python(name, names_of), [here], "{name}");
        }
    }

    #[test]
    fn the_python_client_has_the_same_class_for_each_code_without_a_reason() {
        let without_effect = between("WITHOUT_EFFECT = frozenset(\n", ")\n");
        for number in 0..17 {
            let code = Code::from(number);
            let name = format!("{code:?}");
            // InvalidArgument is INVALID_ARGUMENT there.
            let upper: String = name
                .char_indices()
                .flat_map(|(at, c)| {
                    [
                        (at > 0 && c.is_uppercase()).then_some('_'),
                        Some(c.to_ascii_uppercase()),
                    ]
                })
                .flatten()
                .collect();
            let there = match without_effect.contains(&format!("StatusCode.{upper},")) {
                true => ErrorClass::Rejected,
                false => ErrorClass::InDoubt,
            };
            assert_eq!(ErrorClass::of(&error(code, None)), there, "{upper}");
        }
    }
}
