//! sharewarden shares Amazon WorkSpaces images between AWS accounts: it authorizes, performs and records each change.
//!
//! Each module is a room with one task. `ARCHITECTURE.md` has the map of the rooms, and the walk of one grant through them.

pub mod archive;
pub mod audit;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
pub mod drift;
pub mod edge;
pub mod forwarder;
pub mod grpc;
pub mod maintenance;
pub mod policy;
pub mod probe;
pub mod proto;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod worker;
pub mod workspaces;

/// The client is the separate package `crates/client`, so that other programs can use it as `cli` does.
pub use sharewarden_client as client;
/// The ledger is the separate package `crates/ledger`, so that an auditor's program can depend on it alone.
pub use sharewarden_ledger as ledger;
