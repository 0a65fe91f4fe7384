//! Who could copy which image at a moment.

use crate::{
    domain::{PermissionKey, Timestamp},
    store::audit::{self, Share, ShareFilter},
};

use super::{Audit, Error};

/// A page of shares that were in effect.
#[derive(Debug)]
pub struct SharePage {
    /// The shares, in the order of their names.
    pub shares: Vec<Share>,
    /// Where the next page begins: after this one. None on the last page.
    pub next: Option<PermissionKey>,
}

impl Audit {
    /// Lists `size` shares that were in effect at `time`, those after `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn shares_at(
        &self,
        time: Timestamp,
        filter: &ShareFilter,
        after: Option<&PermissionKey>,
        size: u32,
    ) -> Result<SharePage, Error> {
        let mut shares = audit::shares_at(&self.database, time, filter, after, size.saturating_add(1)).await?;
        let more = shares.len() > size as usize;
        shares.truncate(size as usize);
        let next = shares.last().filter(|_| more).map(|share| share.key.clone());
        Ok(SharePage { shares, next })
    }
}
