//! Reads: one permission or change, and lists of permissions, changes and images.

use crate::{
    domain::{
        AccountId, ChangeId, Permission, PermissionKey, Principal, Region,
        image::{Image, Ownership},
    },
    store::{
        audit::Order,
        changes::{self, ChangeFilter, ChangePosition, ChangeStatus},
        drift::images::{self, LastLook},
        reads::{self, PermissionFilter},
    },
};

use super::{ChangeService, Error};

/// A page of permissions.
#[derive(Debug)]
pub struct PermissionPage {
    /// The permissions, in the order of their keys.
    pub permissions: Vec<Permission>,
    /// The next page starts after this one. None on the last page.
    pub next: Option<PermissionKey>,
}

/// A page of changes.
#[derive(Debug)]
pub struct ChangePage {
    /// The changes, in the requested order.
    pub changes: Vec<ChangeStatus>,
    /// The next page starts after this one. None on the last page.
    pub next: Option<ChangePosition>,
}

/// Maximum bytes on a page of changes; a page ends early beyond it.
const MAX_BYTES: usize = 768 * 1024;

/// Estimated bytes of the ids and times of a change, and of an attempt.
const CHANGE_SIZE: usize = 1024;
const ATTEMPT_SIZE: usize = 256;

impl ChangeService {
    /// Reads one permission.
    ///
    /// # Errors
    /// [`Error::PermissionNotFound`], or an error of the store.
    pub async fn get(&self, key: PermissionKey) -> Result<Permission, Error> {
        reads::permission(&self.database, &key)
            .await?
            .ok_or(Error::PermissionNotFound(key))
    }

    /// What the last complete look at the image showed of a permission. None if there was no look.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn last_look(&self, key: &PermissionKey) -> Result<Option<LastLook>, Error> {
        Ok(images::last_look(&self.database, key).await?)
    }

    /// Lists at most `size` permissions that follow `after`.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn list(
        &self,
        filter: &PermissionFilter,
        after: Option<&PermissionKey>,
        size: u32,
    ) -> Result<PermissionPage, Error> {
        let mut permissions = reads::permissions(&self.database, filter, after, size.saturating_add(1)).await?;
        let more = permissions.len() > size as usize;
        permissions.truncate(size as usize);
        let next = permissions
            .last()
            .filter(|_| more)
            .map(|permission| permission.key.clone());
        Ok(PermissionPage { permissions, next })
    }

    /// Reads one change.
    ///
    /// # Errors
    /// [`Error::ChangeNotFound`], or an error of the store.
    pub async fn get_change(&self, account: AccountId, id: ChangeId) -> Result<ChangeStatus, Error> {
        changes::change(&self.database, account, id)
            .await?
            .ok_or(Error::ChangeNotFound(account, id))
    }

    /// True if the principal asked for the change: with the request that opened it, or with one that joined it.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn is_asked_for_by(
        &self,
        account: AccountId,
        id: ChangeId,
        principal: &Principal,
    ) -> Result<bool, Error> {
        Ok(changes::is_asked_for_by(&self.database, account, id, principal).await?)
    }

    /// Lists at most `size` changes that follow `after`.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn list_changes(
        &self,
        filter: &ChangeFilter,
        order: Order,
        after: Option<&ChangePosition>,
        size: u32,
    ) -> Result<ChangePage, Error> {
        let mut bytes = 0;
        let fits = |change: &ChangeStatus| {
            bytes += estimated_bytes(change);
            bytes <= MAX_BYTES
        };
        let limit = size.saturating_add(1);
        let mut changes = changes::changes(&self.database, filter, order, after, limit, fits).await?;
        let more = bytes > MAX_BYTES || changes.len() == limit as usize;
        if more {
            // It begins the next page. One change is much smaller than a page, so this is not the first.
            changes.pop();
        }
        let last = changes.last().filter(|_| more);
        Ok(ChangePage {
            next: last.map(|last| ChangePosition::of(&last.change)),
            changes,
        })
    }

    /// Lists the images of an account in a Region. The list is read from AWS, not from the store.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] or [`Error::Upstream`].
    pub async fn list_images(
        &self,
        account: AccountId,
        region: &Region,
        ownership: Ownership,
    ) -> Result<Vec<Image>, Error> {
        self.check_configured(account, region)?;
        self.workspaces
            .list_images(account, region, ownership)
            .await
            .result
            .map_err(Error::Upstream)
    }
}

fn estimated_bytes(ChangeStatus { change, .. }: &ChangeStatus) -> usize {
    let (intent, failure) = (&change.intent, change.failure.as_ref());
    let message = failure
        .and_then(|failure| failure.message.as_ref())
        .map_or(0, String::len);
    let justification: usize = intent.justification.texts().map(|(_, text)| text.len()).sum();
    CHANGE_SIZE + justification + message + ATTEMPT_SIZE * change.attempts.len()
}
