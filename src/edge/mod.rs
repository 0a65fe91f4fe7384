//! What stands between a socket and a service, whatever protocol the service speaks: listeners, TLS, limits, identity, quotas.
//! Knows no gRPC.
//!
//! [`listener`] takes connections, with TLS if that is set up. [`observation`] measures each call, whatever becomes of it, and
//! [`trace_context`] puts it into the trace of its caller. [`limits`] bounds what is under way at once. [`admission`] lets a call in or
//! not: [`authentication`] says who makes it, from what [`identity`] knows of certificates and tokens; [`quota`] bounds what one
//! principal may take for itself; the policy says whether they may do this at all. [`refused`] counts and logs the callers that are
//! not let in.
//!
//! What differs between protocols is given by the room that speaks one: the names of methods, what a status is, and how a refusal
//! is answered.

pub(crate) mod admission;
mod authentication;
mod identity;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod observation;
pub(crate) mod quota;
mod refused;
pub(crate) mod trace_context;

pub(crate) use authentication::only_header;
pub use authentication::{Authenticator, PRINCIPAL};
pub use identity::{
    AuthenticationFailure, Identity, ServerTls, TlsProblem, TlsStream, TokenKeys, TokenKeysProblem, Tokens,
};
pub use refused::CountRefused;
pub(crate) use refused::RefusedCallers;
