//! The shares that were in effect at a time in the past.

use std::collections::HashMap;

use crate::{
    domain::{Basis, EntryBody, PermissionKey, Timestamp},
    store::audit::{self, Share, ShareFilter, SharePosition},
};

use super::{Audit, AuditEntry, Error};

/// A share that was in effect, and why.
#[derive(Debug)]
pub struct PastShare {
    /// Who could copy which image, and since when.
    pub share: Share,
    /// The grant on which it stood at that time.
    pub basis: PastBasis,
}

/// Why a share existed at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastBasis {
    /// The last grant that had succeeded.
    Known(Basis),
    /// The entry of that grant is archived.
    Archived,
    /// The query also has shares that had ended. Their bases are not looked up.
    NotAsked,
}

/// A page of shares that were in effect.
#[derive(Debug)]
pub struct SharePage {
    /// The shares, in the order of their positions.
    pub shares: Vec<PastShare>,
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
        let shares = match filter.since {
            None => self.with_bases(time, shares).await?,
            Some(_) => shares
                .into_iter()
                .map(|share| PastShare {
                    share,
                    basis: PastBasis::NotAsked,
                })
                .collect(),
        };
        Ok(SharePage { shares, next })
    }

    /// Looks up why the shares existed at `time`.
    async fn with_bases(&self, time: Timestamp, shares: Vec<Share>) -> Result<Vec<PastShare>, Error> {
        let mut bases: HashMap<PermissionKey, (u64, Basis)> = HashMap::new();
        for stored in audit::grants_at(&self.database, time, &shares).await? {
            let entry = AuditEntry::check(stored)?;
            if let EntryBody::ChangeSucceeded(body) = &entry.recorded.entry.body {
                let basis = Basis {
                    change_id: body.intent.change_id,
                    expire_time: body.expire_time(),
                };
                bases.insert(body.intent.key.clone(), (entry.log_index(), basis));
            }
        }
        let mut found = Vec::new();
        for share in shares {
            let known = bases.get(&share.key).filter(|(index, _)| *index >= share.start_index);
            let basis = match known {
                Some((_, basis)) => PastBasis::Known(*basis),
                None => self.absent_basis(&share).await?,
            };
            found.push(PastShare { share, basis });
        }
        Ok(found)
    }

    /// The entry that began a share is archived, or somebody has removed it.
    async fn absent_basis(&self, share: &Share) -> Result<PastBasis, Error> {
        let (account, log_index) = (share.key.account, share.start_index);
        match audit::archived_at(&self.database, account, log_index).await? {
            Some(_) => Ok(PastBasis::Archived),
            None => Err(Error::Tampered { account, log_index }),
        }
    }
}
