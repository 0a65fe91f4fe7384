//! The shares that were in effect at a time in the past.

use crate::{
    domain::{PermissionKey, Timestamp},
    store::audit::{self, Share, ShareFilter},
};

use super::{Audit, Error};

/// A page of shares that were in effect.
#[derive(Debug)]
pub struct SharePage {
    /// The shares, in the order of their keys.
    pub shares: Vec<Share>,
    /// The next page starts after this share. None on the last page.
    pub next: Option<PermissionKey>,
}

impl Audit {
    /// The time on the database's clock, which all times of the history are from.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.database.now().await?)
    }

    /// Lists at most `size` shares that were in effect at `time` and follow `after`.
    ///
    /// # Errors
    /// An error of the store.
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
