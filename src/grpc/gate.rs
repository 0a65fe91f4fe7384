//! In front of both services: who calls, is there room for one more call of theirs, and may they do this at all? What depends on
//! the message is asked again when it was read ([`super::caller`], and for changes the use case).

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::ORIGIN};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use crate::{
    domain::{Principal, Timestamp},
    edge::{
        Authenticator, Distrust, Distrusted, Identity,
        limits::Holding,
        listener::Peer,
        quota::{Exhausted, Share, Shares},
    },
    policy::{
        Policy,
        roles::{Operation, Scope},
    },
};

use super::{rpcs::Rpc, status};

/// What is known of a caller when their call is let in. It is in the extensions of the call.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub(super) principal: Principal,
    pub(super) operation: Operation,
    /// In which accounts they may do it.
    pub(super) scope: Scope,
    /// How long it is known who they are.
    pub(super) until: Option<Timestamp>,
    /// Who is told if the message shows that they may not.
    pub(super) distrusted: Distrusted,
}

/// Lets calls in, or not. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(super) struct Gate(Arc<Rules>);

pub(super) struct Rules {
    pub(super) authenticator: Authenticator,
    pub(super) policy: Policy,
    pub(super) shares: Shares,
    pub(super) distrusted: Distrusted,
    /// The web pages from which browsers may call.
    pub(super) allowed_origins: Vec<String>,
}

impl Rules {
    /// Who makes a call. Browsers keep most pages from calling, but not one that was led to take us for its own server (DNS
    /// rebinding); they always tell which page it is.
    async fn identity(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Identity, Distrust> {
        let is_allowed = |page: &HeaderValue| self.allowed_origins.iter().any(|origin| page == origin.as_str());
        if headers.get_all(ORIGIN).iter().all(is_allowed) {
            self.authenticator.identity(headers, peer).await
        } else {
            Err(Distrust::ForeignPage)
        }
    }
}

impl Gate {
    pub(super) fn new(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }

    /// Puts the gate in front of a service.
    pub(super) fn before<S>(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            gate: self.clone(),
        }
    }

    async fn admit(&self, request: &mut Request<Body>) -> Result<Share, Status> {
        let rules = &*self.0;
        let peer = request.extensions().get::<Peer>();
        let identity = rules.identity(request.headers(), peer).await.map_err(|why| {
            rules.distrusted.note(why, peer.map(|peer| peer.address));
            status::unauthenticated().into_status()
        })?;
        let principal = identity.principal;
        tracing::Span::current().record("principal", principal.as_str());
        let share = rules
            .shares
            .take(&principal)
            .map_err(|Exhausted { retry_after }| status::share_exhausted(retry_after).into_status())?;
        // What is not in the table is not there, whatever the service says.
        let operation = Rpc::at(request.uri().path()).operation;
        let operation = operation.ok_or_else(|| status::unimplemented().into_status())?;
        let scope = rules.policy.scope(&principal, operation);
        let is_recorded = matches!(operation, Operation::Grant | Operation::Revoke);
        // A change that no role allows is refused where this is recorded.
        if scope.is_empty() && !is_recorded {
            let rule = operation.refusal(&principal, None);
            rules.distrusted.note_role(&rule);
            return Err(status::not_allowed(rule).into_status());
        }
        request.extensions_mut().insert(principal.clone());
        request.extensions_mut().insert(Admitted {
            principal,
            operation,
            scope,
            until: identity.until,
            distrusted: rules.distrusted.clone(),
        });
        Ok(share)
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    inner: S,
    gate: Gate,
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that is ready is taken; a clone may not be.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(&mut request).await {
                // The share is held until the answer is sent.
                Ok(share) => {
                    let response = inner.call(request).await?;
                    Ok(response.map(|body| Body::new(Holding::new(body, Some(share)))))
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}
