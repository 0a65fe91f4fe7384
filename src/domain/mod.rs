//! The words of the service as types that cannot be wrong, and its decisions as pure functions. No I/O, no async, no clock.
//!
//! Read in this order: [`id`] (what things are called), [`permission`] and [`change`] (what is stored), [`entry`] (what is
//! remembered), [`upstream`] (what AWS can say), [`transition`] (what every command does to an account) and [`convergence`]
//! (what to do next about a change, given what AWS said).

pub mod causes;
pub mod change;
pub mod convergence;
pub mod entry;
#[cfg(any(test, feature = "dev"))]
pub mod example;
pub mod id;
pub mod image;
pub mod pattern;
pub mod permission;
pub mod request;
pub mod transition;
pub mod upstream;

pub use crate::ledger::{AccountId, Invalid, KindName, Timestamp};
pub use causes::{causes, with_causes};
pub use change::{Action, Cause, Change, ChangeFailure, ChangeState, FailureReason, Intent};
pub use entry::{ChangeBody, Entry, EntryBody, EntryColumns, EntryKind, OcsfStatus, ShareEffect, UnknownBody};
pub use id::{ChangeId, ImageId, Principal, Reason, Region, ReplicaId, RequestId, Ticket, TraceId};
pub use pattern::PrincipalPattern;
pub use permission::{Access, Lease, Permission, PermissionKey, PermissionState, UnresolvedCall};
pub use request::{Request, RequestContent};
pub use upstream::{Attempt, AwsError, AwsErrorKind, AwsOperation, AwsResponse, Classification};
