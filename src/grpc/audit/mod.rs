//! `AuditService`. [`service`] has the handlers.

mod present;
mod proofs;
mod service;
mod status;
mod stream;

pub use service::AuditApi;
