//! The gRPC edge: the only room of the server that names tonic and the generated types.
//!
//! A connection is taken by [`incoming`], one of so many, with TLS if that is set up. A call comes in through the layers that [`server`] stacks: what is no
//! gRPC is refused by [`protocol`]; [`measure`] measures it, with the names of [`code`]s; [`call`] gives it a place if there is [`room`], opens its span, notes when it arrived and logs how
//! it ended, and a panic becomes an answer. Before anything of the message is read, the [`gate`] asks
//! [`auth`] who calls, [`shares`] whether there is room for one more call of theirs, and the policy whether they may do what the
//! RPC is for ([`access`]); who is not believed is noted by [`distrusted`]. Then the
//! thin handlers of [`service`] and [`audit`] take over, with what [`caller`] knows (by [`deadline`] and
//! [`trace_context`]): [`parse`] makes domain types of the request (with [`fields`] and [`page_token`]), a use case does the work, and [`present`] makes messages of what came of it. What went wrong
//! goes through [`status`], the one place that maps errors; [`refusal`] knows the code of each reason. [`health`] watches
//! the store on the side; [`cors`] tells browsers from which pages they may call.

mod access;
mod audit;
mod auth;
mod call;
mod caller;
mod code;
mod cors;
mod deadline;
mod distrusted;
mod fields;
mod gate;
mod health;
mod incoming;
mod measure;
mod page_token;
mod parse;
mod present;
mod protocol;
mod refusal;
mod room;
mod server;
mod service;
mod shares;
mod status;
mod trace_context;

pub use audit::AuditApi;
pub use auth::{Authenticator, PRINCIPAL};
pub use distrusted::CountRefused;
pub use health::{Health, LIVENESS, READINESS};
pub use server::{ServerSettings, Services, serve};
pub use service::ShareService;
pub use status::CHANGE_ID;

/// Why the transport failed.
pub use tonic::transport::Error as ServeError;
