//! gRPC on the [`crate::edge`]: the only room of the server that names tonic and the generated types.
//!
//! The edge accepts connections. A call comes in through the layers that [`server`] stacks. [`cors`] tells browsers from which
//! pages they may call. The edge observes the call, with the names of [`code`]s. [`call`] refuses what is no gRPC ([`protocol`]),
//! holds the call to its limit, opens its span, notes when it arrived and logs how it ended. A panic becomes an answer. Before
//! anything of the message is read, the edge admits the call or not: [`rpcs`] is the table of what each RPC needs.
//!
//! Then the thin handlers of [`service`] and [`audit`] take over, with what [`caller`] knows (by [`deadline`]); [`access`] says
//! which accounts a message is about. [`parse`] makes domain types of the request (with [`fields`] and [`page_token`]), a use case
//! does the work, and [`present`] makes messages of what came of it. What went wrong goes through [`status`], the one place that
//! maps errors; [`refusal`] knows the code of each reason. [`health`] tells whether the service is well.

mod access;
mod audit;
mod call;
mod caller;
mod code;
mod cors;
mod deadline;
mod fields;
mod health;
mod justification;
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
pub use server::{Services, serve};
pub use service::ShareService;
pub use status::CHANGE_ID;
