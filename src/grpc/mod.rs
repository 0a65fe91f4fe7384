//! gRPC on the [`crate::edge`]: the only room of the server that uses tonic and the generated types.
//!
//! The edge accepts connections. A call then passes the layers that [`server`] stacks. [`cors`] lets browsers call from the
//! allowed origins. The edge observes the call, with the names in [`code`]. [`call`] refuses requests that are not gRPC
//! ([`protocol`]), applies the concurrency limit, opens the span, and logs how the call ended. A panic becomes a status. Before
//! the message is read, the edge admits or refuses the call; [`rpcs`] is the table of what each RPC needs.
//!
//! Then a handler of [`service`] or [`audit`] runs. [`caller`] gives it the principal and the timeout ([`deadline`]), and checks
//! that the principal may read the accounts that the message names ([`access`]). [`parse`] makes domain types of the request,
//! with [`fields`] and [`page_token`]. A use case does the work, and [`present`] makes the response. [`status`] is the one place
//! that maps errors; [`refusal`] has the code of each reason. [`explanation`]
//! presents how the policy decides. [`health`] is the health service.

mod access;
mod access_service;
mod audit;
mod call;
mod caller;
mod code;
mod cors;
mod deadline;
mod drift_service;
mod explanation;
mod fields;
mod health;
mod justification;
mod page_token;
mod parse;
mod present;
mod protocol;
mod reflection;
mod refusal;
mod rpcs;
mod server;
mod service;
mod status;

pub use crate::edge::{Authenticator, PRINCIPAL};
pub use access_service::AccessApi;
pub use audit::AuditApi;
pub use drift_service::DriftApi;
pub use health::{Health, LIVENESS, READINESS};
pub use server::{Services, serve};
pub use service::ShareService;
pub use status::CHANGE_ID;
