//! The texts of the policy sets that entries name.

use crate::{
    domain::PolicyDigest,
    store::policy_sets::{self, PolicySetPart},
};

use super::{Audit, Error};

impl Audit {
    /// A part of the text of a policy set, of at most `characters`, from the character `start` on.
    ///
    /// # Errors
    /// [`Error::PolicySetNotFound`], or an error of the store.
    pub async fn policy_set(&self, digest: PolicyDigest, start: u32, characters: u32) -> Result<PolicySetPart, Error> {
        let part = policy_sets::part(&self.database, digest, start, characters).await?;
        part.ok_or(Error::PolicySetNotFound(digest))
    }
}
