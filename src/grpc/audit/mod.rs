//! `AuditService`. [`service`] has the handlers: [`parse`] makes domain types of requests, `audit` finds the answers, and
//! [`present`] makes messages of them. [`lists`] says what page tokens are bound to, [`status`] maps errors. [`stream`] has
//! the handlers that follow and copy ledgers, [`proofs`] those that prove what is in them.

mod lists;
mod parse;
mod present;
mod proofs;
mod service;
mod status;
mod stream;

pub use service::AuditApi;
