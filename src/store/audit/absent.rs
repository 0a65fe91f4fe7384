//! Finds entries that the heads of the ledgers promise, and that are neither in the table nor in a file.

use crate::{
    domain::{AccountId, Timestamp},
    store::{
        connection::Database,
        error::StoreError,
        rows::{bigint, count, parse},
    },
};

use super::EntryPosition;

/// An end of a part of the order of entries. The order compares times, then accounts, then indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    time: Timestamp,
    account: Option<AccountId>,
    log_index: u64,
}

/// A part of the order. Neither edge belongs to it. An absent edge is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The part begins after this edge.
    pub after: Option<Edge>,
    /// The part ends before this edge.
    pub before: Option<Edge>,
}

impl From<EntryPosition> for Edge {
    fn from(position: EntryPosition) -> Self {
        Self {
            time: position.recorded_at,
            account: Some(position.account),
            log_index: position.log_index,
        }
    }
}

/// The edge before all entries of this time.
impl From<Timestamp> for Edge {
    fn from(time: Timestamp) -> Self {
        Self {
            time,
            account: None,
            log_index: 0,
        }
    }
}

/// A list of all entries of some ledgers in a stretch of the order.
#[derive(Debug)]
pub struct CompleteList<'a> {
    /// The ledgers. Empty: all.
    pub accounts: &'a [AccountId],
    /// The stretch that the list covers.
    pub stretch: Stretch,
    /// The ledgers that have an entry in the list.
    pub listed: &'a [AccountId],
    /// Entries beside those of the list, by account and index. Each must exist if the ledger is longer.
    pub beside: &'a [(AccountId, u64)],
}

/// The first entry that is missing beside the entries of a list, or from a ledger that has none in it. Nothing but the head is
/// known about a ledger that `accounts` does not name: its last entry must not be in the stretch. In a named ledger the
/// entry that
/// follows the last one before the stretch must exist.
///
/// # Errors
/// When Postgres does not answer.
pub async fn first_absent(
    database: &Database,
    list: &CompleteList<'_>,
) -> Result<Option<(AccountId, u64)>, StoreError> {
    let texts = |accounts: &[AccountId]| accounts.iter().map(AccountId::to_string).collect::<Vec<_>>();
    let (beside, indexes): (Vec<_>, Vec<_>) = list
        .beside
        .iter()
        .map(|(account, index)| (account.to_string(), bigint(*index)))
        .unzip();
    let edge = |edge: Option<Edge>| {
        let account = edge.map(|edge| edge.account.map_or_else(String::new, |account| account.to_string()));
        let index = edge.map(|edge| bigint(edge.log_index));
        (edge.map(|edge| edge.time.to_offset_date_time()), account, index)
    };
    let (after, before) = (edge(list.stretch.after), edge(list.stretch.before));
    // OFFSET 0 forces a lookup by key for each entry, and never a scan.
    let query = sqlx::query!(
        r#"WITH expected AS (
               SELECT account_id, log_index FROM unnest($1::text[], $2::bigint[]) AS beside (account_id, log_index)
               UNION ALL
               SELECT named.account_id, greatest(0,
                   (SELECT log_index + 1 FROM audit_entry entry
                    WHERE entry.account_id = named.account_id AND recorded_at <= $5
                        AND (recorded_at, entry.account_id, log_index) <= ($5, $6::text, $7::bigint)
                    ORDER BY recorded_at DESC, log_index DESC LIMIT 1),
                   (SELECT max(end_index) FROM audit_archive archive WHERE archive.account_id = named.account_id))
               FROM unnest($3::text[]) AS named (account_id) WHERE named.account_id <> ALL($4)
               UNION ALL
               SELECT account_id, size - 1 FROM ledger
               WHERE cardinality($3) = 0 AND account_id <> ALL($4::text[])
                   AND ($5::timestamptz IS NULL OR (last_recorded_at, account_id, size - 1) > ($5, $6, $7))
                   AND ($8::timestamptz IS NULL OR (last_recorded_at, account_id, size - 1) < ($8, $9::text, $10::bigint))
           )
           SELECT ledger.account_id, greatest(0,
               (SELECT max(log_index) + 1 FROM audit_entry entry
                WHERE entry.account_id = ledger.account_id AND entry.log_index < expected.log_index),
               (SELECT max(end_index) FROM audit_archive archive
                WHERE archive.account_id = ledger.account_id AND archive.start_index <= expected.log_index)) AS "log_index!"
           FROM expected JOIN ledger ON ledger.account_id = expected.account_id
               AND expected.log_index >= 0 AND expected.log_index < ledger.size
           WHERE NOT EXISTS (
               SELECT FROM audit_entry entry
               WHERE entry.account_id = ledger.account_id AND entry.log_index = expected.log_index OFFSET 0
           ) AND NOT EXISTS (
               SELECT FROM audit_archive archive
               WHERE archive.account_id = ledger.account_id AND archive.start_index <= expected.log_index
                   AND archive.end_index > expected.log_index OFFSET 0
           )
           LIMIT 1"#,
        &beside,
        &indexes,
        &texts(list.accounts),
        &texts(list.listed),
        after.0,
        after.1,
        after.2,
        before.0,
        before.1,
        before.2,
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(|row| Ok((parse("ledger", &row.account_id)?, count("audit_entry", row.log_index)?)))
        .transpose()
}
