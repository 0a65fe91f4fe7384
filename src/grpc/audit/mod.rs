//! `AuditService`. [`service`] has the handlers: [`parse`] makes domain types of requests, the room `audit` has the use cases,
//! and [`present`] makes responses. [`lists`] binds page tokens to requests, and [`status`] maps errors. [`stream`] has the
//! handlers of watches and exports, [`proofs`] those of checkpoints and proofs, and [`policy_sets`] that of policy sets.

mod lists;
mod parse;
mod policy_sets;
mod present;
mod proofs;
mod service;
mod status;
mod stream;

pub use service::AuditApi;
