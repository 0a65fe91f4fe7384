//! `share_permission`.

use sqlx::PgConnection;
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

/// Reads the permissions with these names, as far as they exist.
pub(in crate::store) async fn load(
    connection: &mut PgConnection,
    keys: &[&PermissionKey],
) -> Result<Vec<Permission>, StoreError> {
    let Columns {
        accounts,
        regions,
        images,
        shared,
    } = columns(keys.iter().copied());
    let rows = sqlx::query_as!(
        PermissionRow,
        "SELECT p.account_id, p.region, p.image_id, p.shared_account_id, desired, applied, generation, current_change_id,
             next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
             landing_until, next_attempt_at, created_at, updated_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (account_id, region, image_id, shared_account_id)
         JOIN share_permission p ON (p.account_id, p.region, p.image_id, p.shared_account_id)
             = (k.account_id, k.region, k.image_id, k.shared_account_id)",
        &accounts,
        &regions,
        &images,
        &shared,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Permission::try_from).collect()
}

/// Saves permissions, new ones and old ones. The heads of their ledgers must be locked.
pub(in crate::store) async fn save(
    connection: &mut PgConnection,
    permissions: &[&Permission],
) -> Result<(), StoreError> {
    let Columns {
        accounts,
        regions,
        images,
        shared,
    } = columns(permissions.iter().map(|permission| &permission.key));
    let each = || permissions.iter();
    let access = |access: Option<Access>| access.map(|access| access.as_str().to_owned());
    let desired: Vec<_> = each().map(|p| access(p.desired)).collect();
    let applied: Vec<_> = each().map(|p| access(p.applied)).collect();
    let generations: Vec<_> = each().map(|p| bigint(p.generation)).collect();
    let current: Vec<_> = each().map(|p| p.current.map(|id| id.0)).collect();
    let next: Vec<_> = each().map(|p| p.next.map(|id| id.0)).collect();
    let owners: Vec<_> = each().map(|p| p.lease.map(|lease| lease.owner.0)).collect();
    let epochs: Vec<_> = each().map(|p| bigint(p.lease_epoch)).collect();
    let expiries: Vec<_> = each()
        .map(|p| p.lease.map(|lease| lease.expires_at.to_offset_date_time()))
        .collect();
    let doubts: Vec<_> = each().map(|p| p.in_doubt).collect();
    let landing: Vec<_> = each()
        .map(|p| access(p.landing.map(|landing| landing.access)))
        .collect();
    let landing_until: Vec<_> = each()
        .map(|p| p.landing.map(|landing| landing.until.to_offset_date_time()))
        .collect();
    let attempts: Vec<_> = each()
        .map(|p| p.next_attempt_at.map(Timestamp::to_offset_date_time))
        .collect();
    let created: Vec<_> = each().map(|p| p.created_at.to_offset_date_time()).collect();
    let updated: Vec<_> = each().map(|p| p.updated_at.to_offset_date_time()).collect();
    let saved = sqlx::query!(
        "INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, applied, generation,
             current_change_id, next_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, landing,
             landing_until, next_attempt_at, created_at, updated_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
             $8::uuid[], $9::uuid[], $10::uuid[], $11::bigint[], $12::timestamptz[], $13::boolean[], $14::text[],
             $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[])
         ON CONFLICT (account_id, region, image_id, shared_account_id) DO UPDATE SET
             desired = excluded.desired, applied = excluded.applied, generation = excluded.generation,
             current_change_id = excluded.current_change_id, next_change_id = excluded.next_change_id,
             lease_owner = excluded.lease_owner, lease_epoch = excluded.lease_epoch,
             lease_expires_at = excluded.lease_expires_at, in_doubt = excluded.in_doubt,
             landing = excluded.landing, landing_until = excluded.landing_until,
             next_attempt_at = excluded.next_attempt_at, updated_at = excluded.updated_at",
        &accounts,
        &regions,
        &images,
        &shared,
        &desired as &[Option<String>],
        &applied as &[Option<String>],
        &generations,
        &current as &[Option<Uuid>],
        &next as &[Option<Uuid>],
        &owners as &[Option<Uuid>],
        &epochs,
        &expiries as &[Option<OffsetDateTime>],
        &doubts,
        &landing as &[Option<String>],
        &landing_until as &[Option<OffsetDateTime>],
        &attempts as &[Option<OffsetDateTime>],
        &created,
        &updated,
    )
    .execute(connection)
    .await?;
    super::expect_rows(TABLE, saved.rows_affected(), permissions.len())
}

struct Columns {
    accounts: Vec<String>,
    regions: Vec<String>,
    images: Vec<String>,
    shared: Vec<String>,
}

fn columns<'a>(keys: impl Iterator<Item = &'a PermissionKey> + Clone) -> Columns {
    Columns {
        accounts: keys.clone().map(|key| key.account.to_string()).collect(),
        regions: keys.clone().map(|key| key.region.to_string()).collect(),
        images: keys.clone().map(|key| key.image.to_string()).collect(),
        shared: keys.map(|key| key.shared_account.to_string()).collect(),
    }
}
