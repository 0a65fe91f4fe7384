//! Getting and listing.

use crate::{
    domain::{
        AccountId, Change, ChangeId, Permission, PermissionKey, Region,
        image::{Image, Ownership},
    },
    store::reads::{self, PermissionFilter},
};

use super::{Error, Permissions};

/// A page of permissions.
#[derive(Debug)]
pub struct PermissionPage {
    /// The permissions, in the order of their names.
    pub permissions: Vec<Permission>,
    /// Where the next page begins: after this one. None on the last page.
    pub next: Option<PermissionKey>,
}

impl Permissions {
    /// Reads one permission.
    ///
    /// # Errors
    /// [`Error::PermissionNotFound`], or the store's.
    pub async fn get(&self, key: PermissionKey) -> Result<Permission, Error> {
        reads::permission(&self.database, &key)
            .await?
            .ok_or(Error::PermissionNotFound(key))
    }

    /// Lists `size` permissions after `after`.
    ///
    /// # Errors
    /// The store's.
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
    /// [`Error::ChangeNotFound`], or the store's.
    pub async fn get_change(&self, account: AccountId, id: ChangeId) -> Result<Change, Error> {
        reads::change(&self.database, account, id)
            .await?
            .ok_or(Error::ChangeNotFound(account, id))
    }

    /// Lists the images of an account in a Region, read through from AWS.
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
