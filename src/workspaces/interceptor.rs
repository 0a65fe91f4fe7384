//! Goes into the SDK with a call. It says there whose credentials the call is signed with, tells AWS which trace it belongs to, and
//! watches for the two things that the call's result does not tell: whether the request was handed to the connection at all, and
//! whether a success was whole and readable (the SDK does not look at a body it expects nothing in, so a web page with status 200
//! would pass).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
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

/// Watches one call. Clones watch the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct CallInterceptor(Arc<CallState>);

#[derive(Debug, Default)]
struct CallState {
    sent: AtomicBool,
    readable: AtomicBool,
    /// Without one there are no credentials.
    credentials: Option<AccountCredentials>,
    /// W3C Trace Context, where there is a trace.
    traceparent: Option<String>,
}

impl CallInterceptor {
    /// Watches a call with these credentials, which belongs to this trace.
    pub(super) fn new(credentials: Option<AccountCredentials>, traceparent: Option<String>) -> Self {
        Self(Arc::new(CallState {
            credentials,
            traceparent,
            ..CallState::default()
        }))
    }

    /// The request was handed to the connection. Until then, there were only credentials to get and bytes to sign.
    pub(super) fn sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// The answer was a 200 with an empty body or a JSON object.
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

    /// After the signing: who passes a call on may have its own word in the trace, and the signature must bear that.
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
