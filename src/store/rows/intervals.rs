//! `share_interval`: when which share was in effect, kept in the commit that adds the entries that say so.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::{Action, Stage},
    store::StoreError,
};

use super::{bigint, entries::Line};

/// Opens an interval for each grant that succeeded, unless one is open, and ends the open one for each revoke.
///
/// One round does it: a batch has at most one SUCCEEDED for a permission, since the next call for it is only made under a lease
/// that this batch's commit gives. Should there be more some day, they follow each other.
pub(in crate::store) async fn record(connection: &mut PgConnection, lines: &[Line<'_>]) -> Result<(), StoreError> {
    let mut rounds: Vec<Vec<&Line<'_>>> = Vec::new();
    let mut seen: HashMap<_, usize> = HashMap::new();
    for line in lines.iter().filter(|line| line.entry.stage == Stage::Succeeded) {
        let round = seen.entry(&line.entry.intent.key).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(line);
        *round += 1;
    }
    for round in rounds {
        let of = |action| {
            let chosen = round.iter().filter(|line| line.entry.intent.action == action);
            Columns::of(chosen.copied())
        };
        let (grants, revokes) = (of(Action::Grant), of(Action::Revoke));
        if !revokes.accounts.is_empty() {
            end(connection, revokes).await?;
        }
        if !grants.accounts.is_empty() {
            open(connection, grants).await?;
        }
    }
    Ok(())
}

async fn open(connection: &mut PgConnection, grants: Columns) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO share_interval (account_id, region, image_id, shared_account_id, start_index, start_time)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
         ON CONFLICT (account_id, region, image_id, shared_account_id) WHERE end_index IS NULL DO NOTHING",
        &grants.accounts,
        &grants.regions,
        &grants.images,
        &grants.shared,
        &grants.indexes,
        &grants.times,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn end(connection: &mut PgConnection, revokes: Columns) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE share_interval SET end_index = revoke.log_index, end_time = revoke.recorded_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
             AS revoke (account_id, region, image_id, shared_account_id, log_index, recorded_at)
         WHERE (share_interval.account_id, share_interval.region, share_interval.image_id, share_interval.shared_account_id)
             = (revoke.account_id, revoke.region, revoke.image_id, revoke.shared_account_id)
             AND share_interval.end_index IS NULL",
        &revokes.accounts,
        &revokes.regions,
        &revokes.images,
        &revokes.shared,
        &revokes.indexes,
        &revokes.times,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Columns {
    accounts: Vec<String>,
    regions: Vec<String>,
    images: Vec<String>,
    shared: Vec<String>,
    indexes: Vec<i64>,
    times: Vec<OffsetDateTime>,
}

impl Columns {
    fn of<'a>(lines: impl Iterator<Item = &'a Line<'a>>) -> Self {
        let mut columns = Self::default();
        for Line { entry, .. } in lines {
            let key = &entry.intent.key;
            columns.accounts.push(key.account.to_string());
            columns.regions.push(key.region.to_string());
            columns.images.push(key.image.to_string());
            columns.shared.push(key.shared_account.to_string());
            columns.indexes.push(bigint(entry.log_index));
            columns.times.push(entry.recorded_at.to_offset_date_time());
        }
        columns
    }
}
