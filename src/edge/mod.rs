//! Everything between a socket and a service: listeners, TLS, limits, authentication, quotas. It contains no gRPC.
//!
//! [`listener`] accepts connections. [`observation`] measures each call, and [`trace_context`] puts it into its caller's trace.
//! [`admission`] admits or refuses a call, with four parts: [`authentication`] finds the principal, from certificates and tokens
//! ([`identity`]); [`quota`] bounds the calls of one principal; the policy decides whether the principal may call the method;
//! [`limits`] bounds the concurrent calls. [`answers`] bounds the memory of what is not yet sent. [`refused`] counts and logs
//! refused callers.
//!
//! The room `grpc` supplies what depends on the protocol: method names, statuses, and the form of a refusal.

pub(crate) mod admission;
pub(crate) mod answers;
mod authentication;
mod holder_limit;
mod identity;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod observation;
pub(crate) mod quota;
mod refusal_log;
mod refused;
pub(crate) mod trace_context;

pub(crate) use authentication::only_header;
pub use authentication::{Authenticator, PRINCIPAL};
pub use identity::{
    AuthenticationFailure, Identity, ServerTls, TlsProblem, TlsStream, TokenKeys, TokenKeysProblem, Tokens,
};
pub use refused::CountRefused;
pub(crate) use refused::RefusedCallers;
