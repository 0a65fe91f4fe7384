//! The domain: validated types, and decisions as pure functions. No I/O, no async, no clock.
//!
//! Read in this order: [`id`] (identifiers), [`permission`], [`basis`] and [`change`] (the stored state), [`entry`] (the
//! ledger), [`upstream`] (answers of AWS), [`transition`] (the effect of every command on an account) and [`convergence`]
//! (the next step of a change). [`drift`] has the differences between AWS and the ledger, and [`trail`] who made calls past the
//! service. [`prediction`] repeats AWS's own rules. [`recorded_state`] is for auditors: what the entries of a ledger say about
//! the other tables.

pub mod authentication;
pub mod basis;
pub mod causes;
pub mod change;
pub mod claims;
pub mod convergence;
pub mod decision;
pub mod drift;
pub mod entry;
#[cfg(any(test, feature = "dev"))]
pub mod example;
pub mod id;
pub mod image;
pub mod justification;
pub mod pattern;
pub mod permission;
pub mod prediction;
pub mod recorded_state;
pub mod request;
mod spiffe;
pub mod trail;
pub mod transition;
pub mod upstream;

pub use crate::ledger::{AccountId, Invalid, KindName, Timestamp};
pub use authentication::{Authentication, CredentialKind};
pub use basis::{Basis, ShareEnd};
pub use causes::{causes, with_causes};
pub use change::{Action, Cause, Change, ChangeFailure, ChangeState, FailureReason, Intent};
pub use claims::{Claim, ClaimName, Claims};
pub use decision::{Decision, PolicyDigest, PolicyId};
pub use drift::{DriftDifference, DriftFinding, DriftResolution, Observation, PermissionStamp, ResolvedDrift};
pub use entry::{
    ChangeBody, ConfirmationBody, DenialsBody, DriftBaselineBody, DriftFoundBody, DriftObservedBody, DriftResolvedBody,
    Entry, EntryBody, EntryColumns, EntryKind, OcsfStatus, ShareEffect, UnknownBody,
};
pub use id::{ChangeId, EventId, ImageId, Principal, Region, ReplicaId, RequestId, ScanId, TraceId};
pub use justification::{Justification, Reason, Ticket};
pub use pattern::PrincipalPattern;
pub use permission::{Access, Lease, Permission, PermissionKey, PermissionState, UnresolvedCall};
pub use recorded_state::RecordedState;
pub use request::{Request, RequestContent};
pub use trail::{EventOrigin, OwnIdentity, ReadEvent, SharingEvent};
pub use upstream::{Attempt, AwsError, AwsErrorKind, AwsOperation, AwsResponse, Classification};
