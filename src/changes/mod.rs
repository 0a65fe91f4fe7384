//! The use cases: grant, revoke, get, list. What the API means, apart from gRPC.
//!
//! Each asks the configuration and the policy first, then the store. [`ChangeService::submit`] decides: the change is opened by the committer
//! and worked on by the forwarder. [`Receipt::wait`] waits for its end, so that a caller who goes away takes nothing with it.

mod error;
mod read;
mod submit;

use crate::{
    clock::Clock,
    domain::{AccountId, Region},
    forwarder::Forwarder,
    policy::Policy,
    store::{Committer, Database, Outcomes},
    workspaces::WorkSpaces,
};

pub use error::{Error, UnsuccessfulChange};
pub use read::{ChangePage, PermissionPage};
pub use submit::{CompletedChange, Receipt, Submission};

/// The use cases, and what they need.
#[derive(Clone)]
pub struct ChangeService {
    /// Where permissions and changes are read.
    pub database: Database,
    /// Through which changes are opened.
    pub committer: Committer,
    /// Who tells that a change has ended.
    pub outcomes: Outcomes,
    /// Who works on changes.
    pub forwarder: Forwarder,
    /// Where images are read, and which accounts are configured.
    pub workspaces: WorkSpaces,
    /// What may be done.
    pub policy: Policy,
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
