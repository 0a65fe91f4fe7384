//! Admission. It runs before the message of a call is read. It finds the principal, refuses one without any role, and takes a
//! slot of the principal's quota. Then it asks the policy in which accounts the principal may call this method, and takes a place
//! among all calls. A caller that is not admitted takes no place. Rules that depend on the message are checked later.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::ORIGIN};
use tower::Service;

use crate::{
    domain::{Authentication, Principal, Timestamp},
    policy::{
        Policy, PolicyCaller,
        roles::{Privilege, Scope},
    },
};

use super::{
    AuthenticationFailure, Authenticator, Identity, RefusedCallers,
    answers::{Answers, CallMemory},
    limits::{Limit, LimitReached, Limits, Permit, PermitBody},
    listener::Peer,
    quota::{Exhausted, Quotas, Slot},
};

/// An admitted caller. It is in the extensions of the call's request.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) principal: Principal,
    /// The kinds of its credentials, and all its claims.
    pub(crate) authentication: Arc<Authentication>,
    pub(crate) operation: Privilege,
    /// The accounts in which the principal may call this method.
    pub(crate) scope: Scope,
    /// With [`Privilege::Own`]: the accounts in which the principal may read everything, and not only what is its own.
    pub(crate) reads: Scope,
    /// When the credentials expire; `None`: never.
    pub(crate) until: Option<Timestamp>,
    /// Counts and logs the call if the message shows that it is not allowed.
    pub(crate) refused: RefusedCallers,
    /// The memory for the answer.
    pub(crate) memory: Arc<CallMemory>,
}

/// Why a call is not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// Missing or invalid credentials.
    Unauthenticated,
    /// The credentials cannot be checked now.
    Unverifiable,
    /// All places of calls are taken.
    Overloaded,
    /// The principal has no quota left.
    OverQuota(Exhausted),
    /// The method does not exist.
    NoSuchMethod,
    /// No role allows the call. Holds the message for the caller.
    Forbidden(String),
}

/// What admission needs to decide.
pub(crate) struct AdmissionRules {
    pub(crate) authenticator: Authenticator,
    pub(crate) policy: Policy,
    pub(crate) quotas: Quotas,
    pub(crate) answers: Answers,
    pub(crate) limits: Limits,
    pub(crate) refused: RefusedCallers,
    /// The web origins whose pages may call.
    pub(crate) allowed_origins: Vec<String>,
    /// The privilege that the method at a path needs, and the limit that it counts against. `None`: the method does not exist,
    /// even if the service behind would answer.
    pub(crate) method: fn(path: &str) -> Option<(Privilege, Limit)>,
    /// Makes the answer to a call that is not admitted, in the form of the protocol.
    pub(crate) answer: fn(NotAdmitted) -> Response<()>,
}

impl AdmissionRules {
    /// The caller's identity. A call from a page whose origin is not allowed is refused. CORS alone does not stop a page after
    /// DNS rebinding: the browser then takes this server for the page's own. A browser always sends `Origin`.
    async fn identity(&self, headers: &HeaderMap, peer: &Peer) -> Result<Identity, AuthenticationFailure> {
        let is_allowed = |page: &HeaderValue| self.allowed_origins.iter().any(|origin| page == origin.as_str());
        if headers.get_all(ORIGIN).iter().all(is_allowed) {
            self.authenticator.identity(headers, peer).await
        } else {
            Err(AuthenticationFailure::ForeignPage)
        }
    }

    /// Why the principal may make no call at all, if it may not.
    fn reason_against(&self, caller: PolicyCaller<'_>) -> Option<String> {
        let principal = caller.principal;
        if principal.as_str() == Principal::SERVICE {
            return Some(format!(
                "{principal} is the name of the service itself: no caller may have it"
            ));
        }
        let is_named = self.policy.has_binding(caller);
        (!is_named)
            .then(|| format!("{principal} has no role: no role binding ([[roles]]) or group ([[groups]]) names it"))
    }

    async fn admit<Q>(&self, request: &mut Request<Q>) -> Result<(CallPlaces, Arc<CallMemory>), NotAdmitted> {
        // Every request comes through a listener, which names the peer.
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or(NotAdmitted::Unauthenticated)?;
        let identity = self.identity(request.headers(), &peer).await.map_err(|why| {
            self.refused.count_unauthenticated(why, Some(peer.address));
            match why {
                AuthenticationFailure::TokenKeysUnavailable => NotAdmitted::Unverifiable,
                _ => NotAdmitted::Unauthenticated,
            }
        })?;
        let (principal, authentication) = (identity.principal, Arc::new(identity.authentication));
        let caller = PolicyCaller {
            principal: &principal,
            claims: Some(&authentication.claims),
        };
        tracing::Span::current().record("principal", principal.as_str());
        // Before the quotas: principals without a role take no place in their tables, and leave nothing in the ledger.
        if let Some(rule) = self.reason_against(caller) {
            self.refused.count_without_binding(&principal);
            return Err(NotAdmitted::Forbidden(rule));
        }
        let method = (self.method)(request.uri().path());
        let is_stream = method.is_some_and(|(_, limit)| limit == Limit::Streams);
        let slot = self
            .quotas
            .take(&principal, is_stream)
            .map_err(NotAdmitted::OverQuota)?;
        let (operation, limit) = method.ok_or(NotAdmitted::NoSuchMethod)?;
        let scope = self.policy.scope(caller, operation);
        let reads = match operation {
            Privilege::Own => self.policy.scope(caller, Privilege::Read),
            _ => Scope::Only(BTreeSet::new()),
        };
        let is_recorded = matches!(operation, Privilege::Grant | Privilege::Revoke);
        // A grant or revoke that no role of the principal allows goes on: the refusal must be recorded in the ledger.
        if scope.is_empty() && !is_recorded {
            let rule = operation.refusal(&principal, None);
            self.refused.count_without_role(&rule);
            return Err(NotAdmitted::Forbidden(rule));
        }
        peer.connection.keep(&principal);
        let permit = self
            .limits
            .acquire(limit, &peer)
            .map_err(|LimitReached| NotAdmitted::Overloaded)?;
        let memory = slot.memory(&self.answers);
        request.extensions_mut().insert(principal.clone());
        request.extensions_mut().insert(Admitted {
            principal,
            authentication,
            operation,
            scope,
            reads,
            until: identity.until,
            refused: self.refused.clone(),
            memory: memory.clone(),
        });
        Ok(((slot, permit), memory))
    }
}

/// The places of an admitted call: among the calls of its principal, and among all calls.
type CallPlaces = (Slot, Permit);

/// Admits or refuses calls. Clones share one set of rules.
#[derive(Clone)]
pub(crate) struct Admission(Arc<AdmissionRules>);

impl Admission {
    pub(crate) fn new(rules: AdmissionRules) -> Self {
        Self(Arc::new(rules))
    }

    /// Wraps a service, so that it receives admitted calls only.
    pub(crate) fn before<S>(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            admission: self.clone(),
        }
    }
}

/// A service that receives admitted calls only.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    admission: Admission,
}

impl<S, Q, A> Service<Request<Q>> for Guarded<S>
where
    S: Service<Request<Q>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    A: Default + Send + 'static,
{
    type Response = Response<PermitBody<A, CallPlaces>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // `poll_ready` made this instance ready, and not its clone.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Admission(rules) = self.admission.clone();
        Box::pin(async move {
            match rules.admit(&mut request).await {
                // The body holds the places until the answer is sent.
                Ok((places, memory)) => {
                    let mut response = inner.call(request).await?;
                    // The listener counts the answer in it.
                    response.extensions_mut().insert(memory);
                    Ok(response.map(|body| PermitBody::new(body, Some(places))))
                }
                Err(why) => Ok((rules.answer)(why).map(|()| PermitBody::default())),
            }
        })
    }
}
