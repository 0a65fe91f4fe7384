//! What stands between a socket and a service, whatever protocol the service speaks: listeners, TLS, limits, identity, quotas.
//! Knows no gRPC.
//!
//! [`listener`] takes connections, with TLS if that is set up. [`limits`] bounds what is under way at once. [`authentication`] says
//! who makes a call, from what [`identity`] knows of certificates and tokens; [`quota`] is what one principal may take for itself;
//! [`refused`] counts and logs the callers that are not let in. [`trace_context`] puts a call into the trace of its caller.

mod authentication;
mod identity;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod quota;
mod refused;
pub(crate) mod trace_context;

pub(crate) use authentication::only_header;
pub use authentication::{Authenticator, PRINCIPAL};
pub use identity::{
    ClientCertificates, Distrust, Identity, KeySettings, KeySource, Keys, KeysProblem, ServerTls, TlsProblem,
    TlsSettings, TlsStream, TokenSettings, Tokens,
};
pub use refused::CountRefused;
pub(crate) use refused::Distrusted;
