//! Amazon WorkSpaces, and CloudTrail: the only room that calls AWS and uses its SDK. Every call ends in an [`AwsResponse`] of the
//! [`domain`](crate::domain). Its error says whether the call can have had an effect.
//!
//! Read in this order: `settings`; `connect` builds a client for each account and Region, with `clients` and `credentials`;
//! `call` is that client. `permissions` and `images` have the calls, `shared_reads` combines reads of one image, and
//! `listing_limits` limits concurrent lists. `facts` has what AWS reports about one image, with a cache. `trail` reads who shared
//! what from CloudTrail. `classify` and `codes` give an answer its meaning.
//!
//! Three rules hold throughout:
//! - Nothing is retried here. The forwarder owns retries, and the SDK's retries are off.
//! - A call counts as *not sent* only if that is certain. Otherwise it is [`Unknown`](AwsErrorKind::Unknown).
//! - A driver's text goes to the log and never into an error. AWS's text that quotes a signed request goes nowhere.

mod call;
mod classify;
mod clients;
mod codes;
mod connect;
mod credentials;
mod facts;
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
mod trail;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{AccountId, AwsError, AwsErrorKind, AwsResponse, FailureReason, OwnIdentity, Region},
};

use call::AccountClient;
use facts::ImageFacts;
use listing_limits::ListingLimits;
use shared_reads::SharedReads;

pub use connect::AwsConnectError;
pub use facts::FactTurn;
pub use identity::{IdentityProblem, IdentityProblemKind};
pub use pages::PageCursor;
pub use settings::{BaseCredentials, WorkSpacesSettings};
pub use trail::EventPage;

/// Limits of the log filter. At lower levels the SDK logs secrets: signed requests, whole answers, and refusals by STS in full.
/// This room logs those refusals itself, without secrets.
pub const LOG_DIRECTIVES: [&str; 2] = ["aws_config::sts=off", "aws_smithy_runtime=debug"];

/// The clients of all configured accounts and Regions. Clones share them and their connections.
#[derive(Clone)]
pub struct WorkSpaces {
    clients: Arc<HashMap<AccountId, HashMap<Region, AccountClient>>>,
    identities: Arc<HashMap<AccountId, OwnIdentity>>,
    listing_limits: ListingLimits,
    /// Reads of facts have a limit of their own, so that lists do not hold them back.
    fact_limits: ListingLimits,
    facts: Arc<ImageFacts>,
    clock: Clock,
    read_timeout: Duration,
    shared_reads: SharedReads,
}

/// The failure reason for an error code of AWS.
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

    /// The configured accounts, each with its Regions.
    pub fn endpoints(&self) -> impl Iterator<Item = (AccountId, &Region)> {
        let accounts = self.clients.iter();
        accounts.flat_map(|(account, regions)| regions.keys().map(|region| (*account, region)))
    }

    /// As whom the service calls AWS for the account.
    pub fn own_identity(&self, account: AccountId) -> OwnIdentity {
        self.identities.get(&account).cloned().unwrap_or_default()
    }

    fn client(&self, account: AccountId, region: &Region) -> Option<&AccountClient> {
        self.clients.get(&account)?.get(region)
    }
}

/// Shows the accounts and Regions only: the SDK's clients would print the external id of a role.
impl fmt::Debug for WorkSpaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.clients.iter().map(|(account, clients)| (account, clients.keys()));
        f.debug_map()
            .entries(regions.map(|(account, regions)| (account, regions.collect::<Vec<_>>())))
            .finish()
    }
}

/// The answer for an account or Region that is not configured. Callers ask [`WorkSpaces::serves`] first.
fn not_configured<T>() -> AwsResponse<T> {
    AwsResponse {
        aws_request_id: None,
        result: Err(own_error(AwsErrorKind::NotSent, "NotConfigured")),
    }
}

/// An error of this room, for which AWS has no code.
fn own_error(kind: AwsErrorKind, code: &str) -> AwsError {
    AwsError {
        kind,
        code: Some(code.to_owned()),
        message: None,
    }
}
