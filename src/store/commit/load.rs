//! Reads everything that a batch needs, in one statement.
//!
//! One statement has one snapshot: the heads, the permissions and the changes are consistent, also without a lock. So a batch can
//! decide first, and lock when it saves; see [`super::save`].

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
};

use sqlx::{PgConnection, Row};

use crate::{
    domain::{
        AccountId, Change, DriftFinding, EventId, Permission, PermissionKey, Region, Request, Timestamp,
        transition::{AccountState, AdmittedBuilds, Command},
    },
    store::{
        connection,
        error::StoreError,
        rows::{
            changes::ChangeRow,
            findings::FindingRow,
            heads::{self, Head, HeadRow},
            permissions::PermissionRow,
            requests::RequestRow,
            table::ReadRow,
        },
    },
};

/// The accounts of a batch, with what its commands touch.
pub(super) struct Loaded {
    pub(super) accounts: BTreeMap<AccountId, AccountState>,
    pub(super) heads: BTreeMap<AccountId, Head>,
    /// The time of the read on the database's clock. Everything read was committed before it.
    pub(super) now: Timestamp,
    /// What every build knows that the schema admits.
    pub(super) admitted: AdmittedBuilds,
}

/// The first build that knows ends of shares.
const BUILD_WITH_ENDS: i64 = 9;

/// The first build that knows drift.
const BUILD_WITH_DRIFT: i64 = 10;

/// The first build that knows that unrecorded shares can be revoked without a caller.
const BUILD_WITH_DRIFT_REVOKES: i64 = 13;
/// The first build that knows events of CloudTrail.
const BUILD_WITH_TRAIL: i64 = 12;
/// The first build that knows adoptions.
const BUILD_WITH_ADOPTIONS: i64 = 11;

/// The rows that were found.
#[derive(Default)]
struct Found {
    heads: Vec<Head>,
    permissions: BTreeMap<AccountId, Vec<Permission>>,
    requests: BTreeMap<AccountId, Vec<Request>>,
    changes: BTreeMap<AccountId, Vec<Change>>,
    findings: BTreeMap<AccountId, Vec<DriftFinding>>,
    recorded_shares: BTreeMap<AccountId, Vec<PermissionKey>>,
    events: BTreeMap<AccountId, Vec<(Region, EventId)>>,
    now: Option<Timestamp>,
    admitted: AdmittedBuilds,
}

/// Loads the accounts, if the schema still admits this build. Inserts missing ledgers: an account may be new, and after a
/// failover the new primary may lack commits.
pub(super) async fn load(connection: &mut PgConnection, commands: &[Command]) -> Result<Loaded, StoreError> {
    let accounts: HashSet<_> = commands.iter().map(Command::account).collect();
    let mut found = read(connection, commands).await?;
    if found.heads.len() != accounts.len() {
        heads::ensure(connection, &accounts.iter().map(AccountId::as_str).collect::<Vec<_>>()).await?;
        found = read(connection, commands).await?;
    }
    let now = found.now.filter(|_| found.heads.len() == accounts.len());
    let now = now.ok_or_else(|| StoreError::corrupt("ledger", "a head is missing"))?;
    let accounts = found.heads.iter().map(|head| {
        let id = head.account;
        let permissions = found.permissions.remove(&id).unwrap_or_default();
        let requests = found.requests.remove(&id).unwrap_or_default();
        let changes = found.changes.remove(&id).unwrap_or_default();
        let size = head.frontier.size();
        let findings = found.findings.remove(&id).unwrap_or_default();
        let recorded_shares = found.recorded_shares.remove(&id).unwrap_or_default();
        let account = AccountState::new(id, size, head.last_recorded_at, permissions, requests, changes)
            .with_drift(findings, recorded_shares)
            .with_events(found.events.remove(&id).unwrap_or_default());
        (id, account)
    });
    Ok(Loaded {
        accounts: accounts.collect(),
        heads: found.heads.into_iter().map(|head| (head.account, head)).collect(),
        now,
        admitted: found.admitted,
    })
}

/// The answer has one row per command and change: the change of its request, and the current and next change of its permission;
/// without any of these, one row without a change. The head is in the rows of the first command of its account.
async fn read(connection: &mut PgConnection, commands: &[Command]) -> Result<Found, StoreError> {
    let (mut accounts, mut requests, mut are_first) = (Vec::new(), Vec::new(), Vec::new());
    let (mut regions, mut images, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    let (mut findings, mut recorded_shares, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let ids: Vec<_> = commands.iter().map(Command::account).collect();
    let mut seen = HashSet::new();
    for (command, id) in commands.iter().zip(&ids) {
        let touched = command.required_rows();
        accounts.push(id.as_str());
        are_first.push(seen.insert(id));
        requests.push(touched.request.map(|id| id.0));
        let region = touched.permission.map(|key| &key.region);
        let region = region.or(touched.event.map(|(region, _)| region));
        regions.push(region.map(Region::as_str));
        images.push(touched.permission.map(|key| key.image.as_str()));
        shared.push(touched.permission.map(|key| key.shared_account.as_str()));
        findings.push(touched.finding);
        recorded_shares.push(touched.recorded_share);
        events.push(touched.event.map(|(_, id)| id.0));
    }
    let query = sqlx::query(STATEMENT.as_str());
    let query = query.bind(&accounts).bind(&regions).bind(&images).bind(&shared);
    let query = query
        .bind(&requests)
        .bind(&are_first)
        .bind(&findings)
        .bind(&recorded_shares)
        .bind(&events);
    let rows = query.fetch_all(connection).await?;

    let mut found = Found::default();
    let mut are_seen = vec![false; commands.len()];
    let oldest_build = rows.first().map(|row| row.try_get(2)).transpose()?.flatten();
    let oldest_build = connection::admitted(oldest_build)?;
    found.admitted = AdmittedBuilds {
        know_ends: oldest_build >= BUILD_WITH_ENDS,
        know_drift: oldest_build >= BUILD_WITH_DRIFT,
        know_adoptions: oldest_build >= BUILD_WITH_ADOPTIONS,
        know_trail: oldest_build >= BUILD_WITH_TRAIL,
        know_drift_revokes: oldest_build >= BUILD_WITH_DRIFT_REVOKES,
    };
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        let index = usize::try_from(number - 1).ok().filter(|index| *index < ids.len());
        let index = index.ok_or_else(|| StoreError::corrupt("ledger", "a row for no command"))?;
        let account = ids[index];
        found.now = found.now.max(Some(Timestamp::new(row.try_get(1)?)));
        // All rows of a command repeat these columns.
        if !std::mem::replace(&mut are_seen[index], true) {
            if let Some(head) = HeadRow::read_joined(row, HEAD)? {
                found.heads.push(head.try_into()?);
            }
            if let Some(permission) = PermissionRow::read_joined(row, PERMISSION)? {
                let permissions = found.permissions.entry(account).or_default();
                permissions.push(permission.try_into()?);
            }
            if let Some(request) = RequestRow::read_joined(row, REQUEST)? {
                let requests = found.requests.entry(account).or_default();
                requests.push(request.try_into()?);
            }
            if let Some(finding) = FindingRow::read_joined(row, FINDING)? {
                found.findings.entry(account).or_default().push(finding.try_into()?);
            }
            if row.try_get(RECORDED_SHARE)? {
                let key = commands[index].required_rows().permission.cloned();
                found.recorded_shares.entry(account).or_default().extend(key);
            }
            if row.try_get(EVENT)? {
                let event = commands[index].required_rows().event;
                let event = event.map(|(region, id)| (region.clone(), id));
                found.events.entry(account).or_default().extend(event);
            }
        }
        if let Some(change) = ChangeRow::read_joined(row, CHANGE)? {
            found.changes.entry(account).or_default().push(change.try_into()?);
        }
    }
    Ok(found)
}

/// The index of the first column of each table.
const RECORDED_SHARE: usize = 3;
const EVENT: usize = 4;
const HEAD: usize = 5;
const PERMISSION: usize = HEAD + HeadRow::COLUMNS.0.len();
const REQUEST: usize = PERMISSION + PermissionRow::COLUMNS.0.len();
const CHANGE: usize = REQUEST + RequestRow::COLUMNS.0.len();
const FINDING: usize = CHANGE + ChangeRow::COLUMNS.0.len();

static STATEMENT: LazyLock<String> = LazyLock::new(|| {
    format!(
        r#"SELECT touched.number, clock_timestamp(), (SELECT oldest_build FROM build_admission),
               touched.recorded_share AND EXISTS (
                   SELECT FROM share_interval AS share
                   WHERE (share.account_id, share.region, share.image_id, share.shared_account_id)
                           = (touched.account_id, touched.region, touched.image_id, touched.shared_account_id)
                       AND share.end_index IS NULL
               ), touched.event_id IS NOT NULL AND EXISTS (
                   SELECT FROM drift_event AS event
                   WHERE (event.account_id, event.region, event.event_id) = (touched.account_id, touched.region, touched.event_id)
               ), {head}, {permission}, {request}, {change}, {finding}
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::boolean[], $7::boolean[], $8::boolean[],
                   $9::uuid[]) WITH ORDINALITY
               AS touched (account_id, region, image_id, shared_account_id, request_id, is_first, finding, recorded_share, event_id,
                   number)
           LEFT JOIN ledger ON touched.is_first AND ledger.account_id = touched.account_id
           LEFT JOIN share_permission AS permission
               ON (permission.account_id, permission.region, permission.image_id, permission.shared_account_id)
                   = (touched.account_id, touched.region, touched.image_id, touched.shared_account_id)
           LEFT JOIN request ON (request.account_id, request.request_id) = (touched.account_id, touched.request_id)
           LEFT JOIN drift_finding AS finding
               ON touched.finding AND (finding.account_id, finding.region, finding.image_id, finding.shared_account_id)
                   = (touched.account_id, touched.region, touched.image_id, touched.shared_account_id)
                   AND finding.resolution IS NULL
           LEFT JOIN LATERAL (
               SELECT * FROM change WHERE account_id = request.account_id AND change_id = request.change_id
               UNION ALL
               SELECT * FROM change WHERE account_id = permission.account_id AND change_id = permission.current_change_id
               UNION ALL
               SELECT * FROM change WHERE account_id = permission.account_id AND change_id = permission.next_change_id
           ) AS change ON true"#,
        head = HeadRow::COLUMNS.of("ledger"),
        permission = PermissionRow::COLUMNS.of("permission"),
        request = RequestRow::COLUMNS.of("request"),
        change = ChangeRow::COLUMNS.of("change"),
        finding = FindingRow::COLUMNS.of("finding"),
    )
});
