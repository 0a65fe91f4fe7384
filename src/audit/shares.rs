//! The shares that were in effect at a time in the past.

use crate::{
    domain::Timestamp,
    store::audit::{self, Share, ShareFilter, SharePosition},
};

use super::{Audit, Error};

/// A page of shares that were in effect.
#[derive(Debug)]
pub struct SharePage {
    /// The shares, in the order of their positions.
    pub shares: Vec<Share>,
    /// The next page starts after this share. None on the last page.
    pub next: Option<SharePosition>,
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
        after: Option<&SharePosition>,
        size: u32,
    ) -> Result<SharePage, Error> {
        let mut shares = audit::shares_at(&self.database, time, filter, after, size.saturating_add(1)).await?;
        let more = shares.len() > size as usize;
        shares.truncate(size as usize);
        let next = shares.last().filter(|_| more).map(Share::position);
        Ok(SharePage { shares, next })
    }
}
