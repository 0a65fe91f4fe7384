//! gRPC on the [`crate::edge`]: the only room of the server that names tonic and the generated types.
//!
//! The edge takes connections. A call comes in through the layers that [`server`] stacks: what is no
//! gRPC is refused by [`protocol`]; the edge observes it, with the names of [`code`]s; [`call`] holds it to its limit, opens its span, notes when it arrived and logs how
//! it ended, and a panic becomes an answer. Before anything of the message is read, the edge admits it or not; [`rpcs`] is the table of what each RPC needs, and [`access`] says which accounts a message is about. Then the
//! thin handlers of [`service`] and [`audit`] take over, with what [`caller`] knows (by [`deadline`]): [`parse`] makes domain types of the request (with [`fields`] and [`page_token`]), a use case does the work, and [`present`] makes messages of what came of it. What went wrong
//! goes through [`status`], the one place that maps errors; [`refusal`] knows the code of each reason. [`health`] watches
//! the store on the side; [`cors`] tells browsers from which pages they may call.

mod access;
mod audit;
mod call;
mod caller;
mod code;
mod cors;
mod deadline;
mod fields;
mod health;
mod page_token;
mod parse;
mod present;
mod protocol;
mod refusal;
mod rpcs;
mod server;
mod service;
mod status;

pub use crate::edge::{Authenticator, PRINCIPAL};
pub use audit::AuditApi;
pub use health::{Health, LIVENESS, READINESS};
pub use server::{ServerSettings, Services, serve};
pub use service::ShareService;
pub use status::CHANGE_ID;

/// Why the transport failed.
pub use tonic::transport::Error as ServeError;
