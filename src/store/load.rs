//! Everything that a batch has to know, read in one statement.
//!
//! One statement sees one moment: the heads, the permissions and the changes belong together, whether or not the heads are
//! locked. So a batch may decide first, and lock only when it saves; see [`super::save`].

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    AccountId, Change, Permission, Request, Timestamp,
    transition::{Account, Command},
};

use super::{
    StoreError,
    rows::{
        changes::ChangeRow, heads, heads::Head, permissions::Keys, permissions::PermissionRow, requests::RequestRow,
    },
};

/// The accounts of a batch, as far as its commands concern them.
pub(super) struct Loaded {
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) heads: BTreeMap<AccountId, Head>,
    /// When this was read, on the database's clock: after everything that is in it was committed.
    pub(super) now: Timestamp,
}

/// What was found for the commands.
#[derive(Default)]
struct Found {
    heads: Vec<Head>,
    permissions: BTreeMap<AccountId, Vec<Permission>>,
    requests: BTreeMap<AccountId, Vec<Request>>,
    changes: BTreeMap<AccountId, Vec<Change>>,
    now: Option<Timestamp>,
}

/// Reads it. Makes the ledgers that are missing: an account may be new, and a primary that took over may not have what the one
/// before it had committed.
pub(super) async fn load(connection: &mut PgConnection, commands: &[Command]) -> Result<Loaded, StoreError> {
    let accounts: HashSet<_> = commands.iter().map(|command| command.key().account).collect();
    let mut found = read(connection, commands).await?;
    if found.heads.len() != accounts.len() {
        heads::ensure(connection, &accounts.iter().map(AccountId::as_str).collect::<Vec<_>>()).await?;
        found = read(connection, commands).await?;
    }
    let now = found.now.filter(|_| found.heads.len() == accounts.len());
    let now = now.ok_or_else(|| StoreError::corrupt("ledger", "a head is gone"))?;
    let accounts = found.heads.iter().map(|head| {
        let id = head.account;
        let permissions = found.permissions.remove(&id).unwrap_or_default();
        let requests = found.requests.remove(&id).unwrap_or_default();
        let changes = found.changes.remove(&id).unwrap_or_default();
        let size = head.frontier.size();
        let account = Account::new(id, size, head.last_recorded_at, permissions, requests, changes);
        (id, account)
    });
    Ok(Loaded {
        accounts: accounts.collect(),
        heads: found.heads.into_iter().map(|head| (head.account, head)).collect(),
        now,
    })
}

/// For each command a row for each change that concerns it: the one that answers its request id, and those that its permission works
/// on; or one row without a change. The head is in the rows of the first command of its account.
async fn read(connection: &mut PgConnection, commands: &[Command]) -> Result<Found, StoreError> {
    let (mut keys, mut requests, mut are_first) = (Keys::default(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for command in commands {
        keys.push(command.key());
        requests.push(match command {
            Command::Open(intent) | Command::Deny(intent, _) => Some(intent.request_id.0),
            Command::Claim(_) | Command::Renew { .. } | Command::Settle(_) => None,
        });
        are_first.push(seen.insert(command.key().account));
    }
    let rows = sqlx::query!(
        r#"SELECT command.number AS "number!", clock_timestamp() AS "now!",
               ledger.size AS "size?", ledger.frontier AS "frontier?", ledger.last_recorded_at AS "last_recorded_at?",
               ledger.version AS "version?",
               permission.desired, permission.applied, permission.generation AS "permission_generation?",
               permission.current_change_id, permission.next_change_id, permission.lease_owner,
               permission.lease_epoch AS "lease_epoch?", permission.lease_expires_at, permission.in_doubt AS "in_doubt?",
               permission.landing, permission.landing_until, permission.next_attempt_at,
               permission.created_at AS "permission_created_at?", permission.updated_at AS "permission_updated_at?",
               request.request_id AS "known_request_id?", request.change_id AS "answer?",
               request.principal AS "known_principal?", request.content AS "content?",
               change.change_id, change.request_id, change.region, change.image_id, change.shared_account_id, change.action,
               change.cause, change.principal, change.reason, change.ticket, change.trace_id, change.generation,
               change.previous, change.state, change.attempts, change.failure_reason, change.failure_code,
               change.failure_message, change.created_at, change.ended_at
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::boolean[])
               WITH ORDINALITY AS command (account_id, region, image_id, shared_account_id, request_id, is_first, number)
           LEFT JOIN ledger ON command.is_first AND ledger.account_id = command.account_id
           LEFT JOIN share_permission AS permission
               ON (permission.account_id, permission.region, permission.image_id, permission.shared_account_id)
                   = (command.account_id, command.region, command.image_id, command.shared_account_id)
           LEFT JOIN request ON (request.account_id, request.request_id) = (command.account_id, command.request_id)
           LEFT JOIN LATERAL (
               SELECT * FROM change WHERE account_id = request.account_id AND change_id = request.change_id
               UNION ALL
               SELECT * FROM change WHERE account_id = permission.account_id AND change_id = permission.current_change_id
               UNION ALL
               SELECT * FROM change WHERE account_id = permission.account_id AND change_id = permission.next_change_id
           ) AS change ON true"#,
        &keys.accounts as &[&str],
        &keys.regions as &[&str],
        &keys.images as &[&str],
        &keys.shared as &[&str],
        &requests as &[Option<Uuid>],
        &are_first,
    )
    .fetch_all(connection)
    .await?;

    let mut found = Found::default();
    let mut are_seen = vec![false; commands.len()];
    for row in rows {
        let place = usize::try_from(row.number - 1).ok();
        let (place, command) = place
            .and_then(|place| Some((place, commands.get(place)?)))
            .ok_or_else(|| StoreError::corrupt("ledger", "an answer to no command"))?;
        let key = command.key();
        found.now = found.now.max(Some(Timestamp::new(row.now)));
        // What is the same in all rows of a command is taken from one of them.
        if !std::mem::replace(&mut are_seen[place], true) {
            let head = (row.size.zip(row.frontier)).zip(row.last_recorded_at.zip(row.version));
            if let Some(((size, frontier), (last_recorded_at, version))) = head {
                let head = Head::new(key.account, (size, &frontier), last_recorded_at, version)?;
                found.heads.push(head);
            }
            let request = || {
                Some(RequestRow {
                    request_id: row.known_request_id?,
                    change_id: row.answer?,
                    principal: row.known_principal?,
                    content: row.content?,
                })
            };
            if let Some(request) = request() {
                let requests = found.requests.entry(key.account).or_default();
                requests.push(request.try_into()?);
            }
            let permission = || {
                Some(PermissionRow {
                    account_id: key.account.to_string(),
                    region: key.region.to_string(),
                    image_id: key.image.to_string(),
                    shared_account_id: key.shared_account.to_string(),
                    desired: row.desired,
                    applied: row.applied,
                    generation: row.permission_generation?,
                    current_change_id: row.current_change_id,
                    next_change_id: row.next_change_id,
                    lease_owner: row.lease_owner,
                    lease_epoch: row.lease_epoch?,
                    lease_expires_at: row.lease_expires_at,
                    in_doubt: row.in_doubt?,
                    landing: row.landing,
                    landing_until: row.landing_until,
                    next_attempt_at: row.next_attempt_at,
                    created_at: row.permission_created_at?,
                    updated_at: row.permission_updated_at?,
                })
            };
            if let Some(permission) = permission() {
                let permissions = found.permissions.entry(key.account).or_default();
                permissions.push(permission.try_into()?);
            }
        }
        let change = || {
            Some(ChangeRow {
                account_id: key.account.to_string(),
                change_id: row.change_id?,
                request_id: row.request_id?,
                region: row.region?,
                image_id: row.image_id?,
                shared_account_id: row.shared_account_id?,
                action: row.action?,
                cause: row.cause?,
                principal: row.principal?,
                reason: row.reason?,
                ticket: row.ticket,
                trace_id: row.trace_id,
                generation: row.generation?,
                previous: row.previous,
                state: row.state?,
                attempts: row.attempts?,
                failure_reason: row.failure_reason,
                failure_code: row.failure_code,
                failure_message: row.failure_message,
                created_at: row.created_at?,
                ended_at: row.ended_at,
            })
        };
        if let Some(change) = change() {
            found.changes.entry(key.account).or_default().push(change.try_into()?);
        }
    }
    Ok(found)
}
