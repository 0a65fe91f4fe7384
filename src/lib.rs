//! sharewarden decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.
//!
//! Each module is a room with one task; `ARCHITECTURE.md` has the map, and walks one grant through it.

pub mod archive;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod domain;
pub mod forwarder;
pub mod grpc;
pub mod identity;
pub mod ledger;
pub mod permissions;
pub mod policy;
pub mod probe;
pub mod proto;
pub mod server;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod worker;
pub mod workspaces;
