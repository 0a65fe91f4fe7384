//! Admission, before anything of a message is read: it finds the principal, takes a slot of its quota, and asks the policy whether the
//! principal may do this anywhere. What depends on the message is checked after the message was read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::ORIGIN};
use tower::Service;

use crate::{
    domain::{Principal, Timestamp},
    policy::{
        Policy,
        roles::{Privilege, Scope},
    },
};

use super::{
    AuthenticationFailure, Authenticator, Identity, RefusedCallers,
    limits::PermitBody,
    listener::Peer,
    quota::{Exhausted, Quotas, Slot},
};

/// What is known of a caller who was admitted. It is in the extensions of the call.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) principal: Principal,
    pub(crate) operation: Privilege,
    /// In which accounts they may do it.
    pub(crate) scope: Scope,
    /// How long it is known who they are.
    pub(crate) until: Option<Timestamp>,
    /// Is told if the message shows that they may not.
    pub(crate) refused: RefusedCallers,
}

/// Why a call is not admitted.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// Missing or invalid credentials.
    Unauthenticated,
    /// The principal has no quota left.
    OverQuota(Exhausted),
    /// There is no such method.
    NoSuchMethod,
    /// No role allows it: the sentence that says so.
    Forbidden(String),
}

/// What admission goes by.
pub(crate) struct AdmissionRules {
    pub(crate) authenticator: Authenticator,
    pub(crate) policy: Policy,
    pub(crate) quotas: Quotas,
    pub(crate) refused: RefusedCallers,
    /// The web pages from which browsers may call.
    pub(crate) allowed_origins: Vec<String>,
    /// What the call at a path is to the policy. None: there is no such method, whatever the service behind says.
    pub(crate) operation: fn(path: &str) -> Option<Privilege>,
    /// The answer to a call that is not admitted, as the protocol has it.
    pub(crate) answer: fn(NotAdmitted) -> Response<()>,
}

impl AdmissionRules {
    /// Who makes a call. Browsers keep most pages from calling, but not one that was led to take us for its own server (DNS
    /// rebinding); they always tell which page it is.
    async fn identity(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Identity, AuthenticationFailure> {
        let is_allowed = |page: &HeaderValue| self.allowed_origins.iter().any(|origin| page == origin.as_str());
        if headers.get_all(ORIGIN).iter().all(is_allowed) {
            self.authenticator.identity(headers, peer).await
        } else {
            Err(AuthenticationFailure::ForeignPage)
        }
    }

    async fn admit<Q>(&self, request: &mut Request<Q>) -> Result<Slot, NotAdmitted> {
        let peer = request.extensions().get::<Peer>().cloned();
        let identity = self.identity(request.headers(), peer.as_ref()).await.map_err(|why| {
            self.refused.note(why, peer.map(|peer| peer.address));
            NotAdmitted::Unauthenticated
        })?;
        let principal = identity.principal;
        tracing::Span::current().record("principal", principal.as_str());
        let slot = self.quotas.take(&principal).map_err(NotAdmitted::OverQuota)?;
        let operation = (self.operation)(request.uri().path()).ok_or(NotAdmitted::NoSuchMethod)?;
        let scope = self.policy.scope(&principal, operation);
        let is_recorded = matches!(operation, Privilege::Grant | Privilege::Revoke);
        // A change that no role allows is refused where this is recorded.
        if scope.is_empty() && !is_recorded {
            let rule = operation.refusal(&principal, None);
            self.refused.note_role(&rule);
            return Err(NotAdmitted::Forbidden(rule));
        }
        request.extensions_mut().insert(principal.clone());
        request.extensions_mut().insert(Admitted {
            principal,
            operation,
            scope,
            until: identity.until,
            refused: self.refused.clone(),
        });
        Ok(slot)
    }
}

/// Admits calls, or not. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(crate) struct Admission(Arc<AdmissionRules>);

impl Admission {
    pub(crate) fn new(rules: AdmissionRules) -> Self {
        Self(Arc::new(rules))
    }

    /// Lets a service see admitted calls only.
    pub(crate) fn before<S>(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            admission: self.clone(),
        }
    }
}

/// A service behind the admission.
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
    type Response = Response<PermitBody<A, Slot>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        // The one that is ready is taken; a clone may not be.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Admission(rules) = self.admission.clone();
        Box::pin(async move {
            match rules.admit(&mut request).await {
                // The slot is held until the answer is sent.
                Ok(slot) => {
                    let response = inner.call(request).await?;
                    Ok(response.map(|body| PermitBody::new(body, Some(slot))))
                }
                Err(why) => Ok((rules.answer)(why).map(|()| PermitBody::default())),
            }
        })
    }
}
