//! `share_permission`.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Access, ChangeId, Landing, Lease, Permission, PermissionKey, ReplicaId, Timestamp},
    store::StoreError,
};

use super::{bigint, count, named, parse};

const TABLE: &str = "share_permission";

/// A row.
#[derive(Debug)]
pub(in crate::store) struct PermissionRow {
    pub(in crate::store) account_id: String,
    pub(in crate::store) region: String,
    pub(in crate::store) image_id: String,
    pub(in crate::store) shared_account_id: String,
    pub(in crate::store) desired: Option<String>,
    pub(in crate::store) applied: Option<String>,
    pub(in crate::store) generation: i64,
    pub(in crate::store) current_change_id: Option<Uuid>,
    pub(in crate::store) next_change_id: Option<Uuid>,
    pub(in crate::store) lease_owner: Option<Uuid>,
    pub(in crate::store) lease_epoch: i64,
    pub(in crate::store) lease_expires_at: Option<OffsetDateTime>,
    pub(in crate::store) in_doubt: bool,
    pub(in crate::store) landing: Option<String>,
    pub(in crate::store) landing_until: Option<OffsetDateTime>,
    pub(in crate::store) next_attempt_at: Option<OffsetDateTime>,
    pub(in crate::store) created_at: OffsetDateTime,
    pub(in crate::store) updated_at: OffsetDateTime,
}

impl TryFrom<PermissionRow> for Permission {
    type Error = StoreError;

    fn try_from(row: PermissionRow) -> Result<Self, StoreError> {
        let lease_epoch = count(TABLE, row.lease_epoch)?;
        let access = |text: Option<String>| text.map(|text| named(TABLE, Access::parse, &text)).transpose();
        Ok(Permission {
            key: PermissionKey {
                account: parse(TABLE, &row.account_id)?,
                region: parse(TABLE, &row.region)?,
                image: parse(TABLE, &row.image_id)?,
                shared_account: parse(TABLE, &row.shared_account_id)?,
            },
            desired: access(row.desired)?,
            applied: access(row.applied)?,
            generation: count(TABLE, row.generation)?,
            current: row.current_change_id.map(ChangeId),
            next: row.next_change_id.map(ChangeId),
            lease: row
                .lease_owner
                .zip(row.lease_expires_at)
                .map(|(owner, expires_at)| Lease {
                    owner: ReplicaId(owner),
                    epoch: lease_epoch,
                    expires_at: Timestamp::new(expires_at),
                }),
            lease_epoch,
            in_doubt: row.in_doubt,
            landing: access(row.landing)?
                .zip(row.landing_until.map(Timestamp::new))
                .map(|(access, until)| Landing { access, until }),
            next_attempt_at: row.next_attempt_at.map(Timestamp::new),
            created_at: Timestamp::new(row.created_at),
            updated_at: Timestamp::new(row.updated_at),
        })
    }
}

/// Permissions, new ones and old ones, column by column.
#[derive(Default)]
pub(in crate::store) struct Permissions<'a> {
    pub(in crate::store) keys: Keys<'a>,
    pub(in crate::store) desired: Vec<Option<&'a str>>,
    pub(in crate::store) applied: Vec<Option<&'a str>>,
    pub(in crate::store) generations: Vec<i64>,
    pub(in crate::store) current: Vec<Option<Uuid>>,
    pub(in crate::store) next: Vec<Option<Uuid>>,
    pub(in crate::store) lease_owners: Vec<Option<Uuid>>,
    pub(in crate::store) lease_epochs: Vec<i64>,
    pub(in crate::store) lease_ends: Vec<Option<OffsetDateTime>>,
    pub(in crate::store) doubts: Vec<bool>,
    pub(in crate::store) landing: Vec<Option<&'a str>>,
    pub(in crate::store) landing_until: Vec<Option<OffsetDateTime>>,
    pub(in crate::store) next_attempts: Vec<Option<OffsetDateTime>>,
    pub(in crate::store) created: Vec<OffsetDateTime>,
    pub(in crate::store) updated: Vec<OffsetDateTime>,
    /// Which ones there is no row of yet.
    pub(in crate::store) are_new: Vec<bool>,
}

impl<'a> Permissions<'a> {
    pub(in crate::store) fn push(&mut self, permission: &'a Permission, is_new: bool) {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_offset_date_time);
        let (lease, landing) = (permission.lease, permission.landing);
        self.keys.push(&permission.key);
        self.desired.push(permission.desired.map(Access::as_str));
        self.applied.push(permission.applied.map(Access::as_str));
        self.generations.push(bigint(permission.generation));
        self.current.push(permission.current.map(|id| id.0));
        self.next.push(permission.next.map(|id| id.0));
        self.lease_owners.push(lease.map(|lease| lease.owner.0));
        self.lease_epochs.push(bigint(permission.lease_epoch));
        self.lease_ends.push(time(lease.map(|lease| lease.expires_at)));
        self.doubts.push(permission.in_doubt);
        self.landing.push(landing.map(|landing| landing.access.as_str()));
        self.landing_until.push(time(landing.map(|landing| landing.until)));
        self.next_attempts.push(time(permission.next_attempt_at));
        self.created.push(permission.created_at.to_offset_date_time());
        self.updated.push(permission.updated_at.to_offset_date_time());
        self.are_new.push(is_new);
    }
}

/// Names of permissions, column by column.
#[derive(Default)]
pub(in crate::store) struct Keys<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) regions: Vec<&'a str>,
    pub(in crate::store) images: Vec<&'a str>,
    pub(in crate::store) shared: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    pub(in crate::store) fn push(&mut self, key: &'a PermissionKey) {
        self.accounts.push(key.account.as_str());
        self.regions.push(key.region.as_str());
        self.images.push(key.image.as_str());
        self.shared.push(key.shared_account.as_str());
    }
}
