//! `share_permission`.

use crate::{
    domain::{Access, Basis, ChangeId, Lease, Permission, PermissionKey, ReplicaId, Timestamp, UnresolvedCall},
    store::error::StoreError,
};

use super::{
    bigint, count, named, parse,
    table::{Bigint, Boolean, Text, Timestamptz, Uuid},
};

const TABLE: &str = "share_permission";

super::table::table! {
    /// A permission to read.
    row PermissionRow;
    /// Permissions to save.
    rows Permissions of permission: &'a Permission;
    #[key] account_id: Text = permission.key.account.as_str(),
    #[key] region: Text = permission.key.region.as_str(),
    #[key] image_id: Text = permission.key.image.as_str(),
    #[key] shared_account_id: Text = permission.key.shared_account.as_str(),
    #[moves] desired: Option<Text> = permission.desired.map(Access::as_str),
    #[moves] applied: Option<Text> = permission.applied.map(Access::as_str),
    #[moves] basis_change_id: Option<Uuid> = permission.basis.map(|basis| basis.change_id.0),
    #[moves] expire_time: Option<Timestamptz> = time(permission.basis.and_then(|basis| basis.expire_time)),
    #[moves] end_due_at: Option<Timestamptz> = time(permission.end_due_at),
    #[moves] generation: Bigint = bigint(permission.generation),
    #[moves] current_change_id: Option<Uuid> = permission.current.map(|id| id.0),
    #[moves] next_change_id: Option<Uuid> = permission.next.map(|id| id.0),
    #[moves] lease_owner: Option<Uuid> = permission.lease.map(|lease| lease.owner.0),
    #[moves] lease_epoch: Bigint = bigint(permission.lease_epoch),
    #[moves] lease_expires_at: Option<Timestamptz> = time(permission.lease.map(|lease| lease.expires_at)),
    #[moves] in_doubt: Boolean = permission.in_doubt,
    #[moves] unresolved_call_access: Option<Text> = permission.unresolved_call.map(|call| call.access.as_str()),
    #[moves] unresolved_call_until: Option<Timestamptz> = time(permission.unresolved_call.map(|call| call.until)),
    #[moves] next_attempt_at: Option<Timestamptz> = time(permission.next_attempt_at),
    created_at: Timestamptz = permission.created_at.to_offset_date_time(),
    #[moves] updated_at: Timestamptz = permission.updated_at.to_offset_date_time(),
}

fn time(time: Option<Timestamp>) -> Option<time::OffsetDateTime> {
    time.map(Timestamp::to_offset_date_time)
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
            basis: row.basis_change_id.map(|id| Basis {
                change_id: ChangeId(id),
                expire_time: row.expire_time.map(Timestamp::new),
            }),
            end_due_at: row.end_due_at.map(Timestamp::new),
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
            unresolved_call: access(row.unresolved_call_access)?
                .zip(row.unresolved_call_until.map(Timestamp::new))
                .map(|(access, until)| UnresolvedCall { access, until }),
            next_attempt_at: row.next_attempt_at.map(Timestamp::new),
            created_at: Timestamp::new(row.created_at),
            updated_at: Timestamp::new(row.updated_at),
        })
    }
}
