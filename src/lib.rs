//! sharewarden decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.
//!
//! Each module is a room with one task; `ARCHITECTURE.md` has the map, and walks one grant through it.

pub mod archive;
pub mod audit;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
pub mod edge;
pub mod forwarder;
pub mod grpc;
pub mod policy;
pub mod probe;
pub mod proto;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod worker;
pub mod workspaces;

/// What calls the service is a package of its own, `crates/client`; `cli` stands on it, as other programs do.
pub use sharewarden_client as client;
/// The ledger is a package of its own, `crates/ledger`, so that an auditor can depend on it alone.
pub use sharewarden_ledger as ledger;
