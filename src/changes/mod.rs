//! The use cases of the API without gRPC: grant, revoke, get, list.
//!
//! Each checks the configuration and the policy first, then uses the store. [`ChangeService::submit`] gets a change accepted: the
//! committer opens it, and the forwarder works on it. [`Receipt::wait`] waits for its end. A caller that disconnects cancels
//! nothing. [`recent`] lets a replay do without the policy. [`denials`] bounds the refusals that one principal puts on record.
//! [`prediction`] tells what AWS's rules say, and [`explain`] how the policy decides. [`ends`] revokes shares at their end.

mod denials;
mod ends;
mod error;
mod explain;
mod prediction;
mod read;
mod recent;
mod submit;

use crate::{
    clock::Clock,
    domain::{AccountId, Region},
    forwarder::Forwarder,
    policy::Policy,
    store::{Committer, Database, Outcomes},
    workspaces::WorkSpaces,
};

pub use denials::Denials;
pub use ends::{Ends, EndsError};
pub use error::{Error, UnsuccessfulChange};
pub use explain::PolicyExplanation;
pub use read::{ChangePage, PermissionPage};
pub use recent::RecentRequests;
pub use submit::{CompletedChange, Receipt, Submission, ValidatedChange};

/// The use cases, with the parts of the server that they use.
#[derive(Clone)]
pub struct ChangeService {
    /// Reads permissions and changes.
    pub database: Database,
    /// Opens changes.
    pub committer: Committer,
    /// Signals the end of a change.
    pub outcomes: Outcomes,
    /// Works on changes. It refuses new ones when its backlog is full.
    pub forwarder: Forwarder,
    /// Reads images, and knows which accounts are configured.
    pub workspaces: WorkSpaces,
    /// Decides whether a change may be made.
    pub policy: Policy,
    /// The budgets for refusals on record.
    pub denials: Denials,
    /// The requests that were accepted a short time ago.
    pub recent: RecentRequests,
    /// Makes ids.
    pub clock: Clock,
}

impl ChangeService {
    fn check_configured(&self, account: AccountId, region: &Region) -> Result<(), Error> {
        if self.workspaces.serves(account, region) {
            Ok(())
        } else {
            Err(Error::NotConfigured {
                account,
                region: region.clone(),
            })
        }
    }
}
