//! Amazon WorkSpaces: the one room that speaks to AWS, and the only one that knows its SDK. What leaves it is in the words of
//! [`domain`](crate::domain): every call ends in an [`AwsResponse`], whose fault says whether the call can have had an effect.
//!
//! Read in this order: `settings` (what to connect to), `connect` (a client for each account and Region, and whose credentials its
//! calls are signed with: `clients`, `owner`), `call` (that client, and what surrounds each of its calls), `permissions` and `images`
//! (the calls), `shared_reads` (reading together), `listing_limits` (listing in turn), `classify` and `codes` (what an answer means).
//!
//! Three rules hold throughout:
//! - Nothing here tries again: the forwarder owns retries, and the SDK's are switched off.
//! - *Not sent* is said only where it is known. What is not known is [`Unknown`](crate::domain::FaultKind::Unknown).
//! - Text of a driver goes to the log, never into a fault; text of AWS that quotes a signed request goes nowhere.

mod call;
mod classify;
mod clients;
mod codes;
mod connect;
mod credentials;
mod http;
mod identity;
mod images;
mod interceptor;
mod listing_limits;
mod pages;
mod permissions;
mod settings;
mod shared_reads;
mod text;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::domain::{AccountId, AwsError, AwsErrorKind, AwsResponse, FailureReason, Region};

use call::AccountClient;
use listing_limits::ListingLimits;
use shared_reads::SharedReads;

pub use connect::AwsConnectError;
pub use identity::{IdentityProblem, IdentityProblemKind};
pub use settings::{BaseCredentials, WorkSpacesSettings};

/// What telemetry adds to its filter, so that no level that an operator may choose lets the SDK log secrets: it traces signed
/// requests and whole answers, and warns of STS's refusals in full (this room logs them too, with care).
pub const LOG_DIRECTIVES: [&str; 2] = ["aws_config::sts=off", "aws_smithy_runtime=debug"];

/// A client of WorkSpaces for every configured account and Region. Clones share everything, their connections too.
#[derive(Clone)]
pub struct WorkSpaces {
    clients: Arc<HashMap<AccountId, HashMap<Region, AccountClient>>>,
    listing_limits: ListingLimits,
    read_timeout: Duration,
    shared_reads: SharedReads,
}

/// What a refusal with this error code means, as far as it is known.
pub fn reason_of(code: Option<&str>) -> FailureReason {
    match code.and_then(codes::meaning) {
        Some(codes::CodeMeaning::Refused(reason)) => reason,
        _ => FailureReason::UpstreamRefused,
    }
}

impl WorkSpaces {
    /// True when the account and the Region are configured.
    pub fn serves(&self, account: AccountId, region: &Region) -> bool {
        self.client(account, region).is_some()
    }

    fn client(&self, account: AccountId, region: &Region) -> Option<&AccountClient> {
        self.clients.get(&account)?.get(region)
    }
}

/// The SDK's clients debug-print all that they are made of, the external id of a role among it.
impl fmt::Debug for WorkSpaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.clients.iter().map(|(account, clients)| (account, clients.keys()));
        f.debug_map()
            .entries(regions.map(|(account, regions)| (account, regions.collect::<Vec<_>>())))
            .finish()
    }
}

/// Answers a call for an account or a Region that is not configured. Callers ask [`WorkSpaces::serves`] first.
fn not_configured<T>() -> AwsResponse<T> {
    AwsResponse {
        aws_request_id: None,
        result: Err(own_error(AwsErrorKind::NotSent, "NotConfigured")),
    }
}

/// A fault that AWS has no code for.
fn own_error(kind: AwsErrorKind, code: &str) -> AwsError {
    AwsError {
        kind,
        code: Some(code.to_owned()),
        message: None,
    }
}
