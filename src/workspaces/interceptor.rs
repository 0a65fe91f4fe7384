//! An interceptor in the SDK, one for each call. It supplies the credentials that the call is signed with, adds the header
//! `traceparent`, asks directly before the request is sent whether it may be, and records two facts that the SDK's result does
//! not show. The first is whether the request was handed to a connection. The second is whether the body of a success is
//! readable: the SDK ignores a body that it does not expect, so a web page with status 200 would count as a success.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef,
                BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef,
            },
            dyn_dispatch_hint,
        },
        orchestrator::HttpResponse,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

use super::credentials::AccountCredentials;

/// The interceptor of one call. Clones share its state.
#[derive(Debug, Clone)]
pub(super) struct CallInterceptor(Arc<CallState>);

/// Tells whether a request may still be sent.
pub(super) type MaySend = Box<dyn Fn() -> bool + Send + Sync>;

struct CallState {
    sent: AtomicBool,
    held_back: AtomicBool,
    readable: AtomicBool,
    may_send: Option<MaySend>,
    /// `None`: the call fails before it is sent.
    credentials: Option<AccountCredentials>,
    /// W3C Trace Context, if there is a trace.
    traceparent: Option<String>,
}

/// Shows the facts only, because credentials are secret.
impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState")
            .field("sent", &self.sent)
            .field("held_back", &self.held_back)
            .field("readable", &self.readable)
            .finish_non_exhaustive()
    }
}

impl CallInterceptor {
    /// An interceptor for a call with these credentials, as part of this trace. Without `may_send` the request is always sent.
    pub(super) fn new(
        credentials: Option<AccountCredentials>,
        traceparent: Option<String>,
        may_send: Option<MaySend>,
    ) -> Self {
        Self(Arc::new(CallState {
            sent: AtomicBool::default(),
            held_back: AtomicBool::default(),
            readable: AtomicBool::default(),
            may_send,
            credentials,
            traceparent,
        }))
    }

    /// True if the request was not sent because it might not be sent any more.
    pub(super) fn held_back(&self) -> bool {
        self.0.held_back.load(Ordering::Relaxed)
    }

    /// True if the request was handed to a connection. Before that, the SDK only gets credentials and signs.
    pub(super) fn sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// True if the answer was a 200 with an empty body or a JSON object.
    pub(super) fn readable(&self) -> bool {
        self.0.readable.load(Ordering::Relaxed)
    }
}

#[dyn_dispatch_hint]
impl Intercept for CallInterceptor {
    fn name(&self) -> &'static str {
        "CallInterceptor"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(credentials) = &self.0.credentials {
            config.interceptor_state().store_put(credentials.clone());
        }
        Ok(())
    }

    /// Adds `traceparent` after signing: a proxy may change this header, and the signature must stay valid.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(traceparent) = &self.0.traceparent {
            context
                .request_mut()
                .headers_mut()
                .insert("traceparent", traceparent.clone());
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.may_send.as_ref().is_some_and(|may_send| !may_send()) {
            self.0.held_back.store(true, Ordering::Relaxed);
            return Err("the request may not be sent any more".into());
        }
        self.0.sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.readable.store(readable(context.response()), Ordering::Relaxed);
        Ok(())
    }
}

fn readable(response: &HttpResponse) -> bool {
    let object = |body| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok();
    response.status().as_u16() == 200
        && response
            .body()
            .bytes()
            .is_some_and(|body| body.is_empty() || object(body))
}
