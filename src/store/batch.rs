//! One batch of commands, in one transaction: lock the heads, load what the commands concern, apply them, save, commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::{Connection, PgConnection};

use crate::{
    domain::{
        AccountId, Action, PermissionKey, ReplicaId, Stage, Timestamp,
        transition::{Account, Answer, Command, Context, Snapshot, Work},
    },
    ledger::{self, Frontier, merkle::leaf_hash},
};

use super::{
    StoreError,
    rows::{
        changes,
        entries::Line,
        heads,
        heads::{Head, Locked},
        permissions,
        tiles::Growth,
    },
    save::{self, Changed},
};

/// What a committed batch brought about.
pub(super) struct Committed {
    /// One for each command, in their order.
    pub(super) answers: Vec<Answer>,
    /// What there is to do now.
    pub(super) work: Vec<Work>,
    /// Changes that ended.
    pub(super) ended: Vec<Snapshot>,
    /// Ledgers that grew, and how many entries they have now.
    pub(super) grown: Vec<(AccountId, u64)>,
    /// What the new entries say, and how many say so.
    pub(super) recorded: Recorded,
}

/// How many entries say what.
type Recorded = HashMap<(Stage, Action), u64>;

/// Who commits, and how.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) replica: ReplicaId,
    pub(super) lease_for: std::time::Duration,
    pub(super) landing_window: std::time::Duration,
    pub(super) server_version: &'static str,
}

/// The leases that a batch gave, by their permissions and epochs, if its commit happened.
pub(super) type Given = Vec<(PermissionKey, u64)>;

/// Runs a batch. `known` remembers the accounts that are sure to have a head, `given` what earlier tries of the same batch gave, in
/// case their commits happened.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one transaction; `Database::within` bounds it"
)]
pub(super) async fn run(
    connection: &mut PgConnection,
    rules: &Rules,
    known: &mut HashSet<AccountId>,
    commands: &[Command],
    given: &mut Given,
) -> Result<Committed, StoreError> {
    let mut transaction = connection.begin().await?;
    let Loaded {
        mut accounts,
        frontiers,
        now,
    } = load(&mut transaction, known, commands).await?;

    let context = Context {
        now,
        replica: rules.replica,
        lease_for: rules.lease_for,
        landing_window: rules.landing_window,
    };
    let answers = commands
        .iter()
        .map(|command| {
            let account = accounts
                .get_mut(&command.key().account)
                .expect("every account of the batch was loaded");
            account.apply(command.clone(), &context)
        })
        .collect();
    for (key, epoch) in given.iter() {
        if let Some(account) = accounts.get_mut(&key.account) {
            account.hand_out_again(key, *epoch, &context);
        }
    }
    let work = accounts.values().flat_map(|account| &account.effects().work);
    *given = work.map(|work| (work.change.intent.key.clone(), work.epoch)).collect();

    let Saved { ended, grown, recorded } = record(&mut transaction, &accounts, frontiers, rules).await?;
    transaction.commit().await?;
    known.extend(accounts.keys());
    let work = accounts.values_mut().flat_map(Account::take_work).collect();
    Ok(Committed {
        answers,
        work,
        ended,
        grown,
        recorded,
    })
}

struct Saved {
    ended: Vec<Snapshot>,
    grown: Vec<(AccountId, u64)>,
    recorded: Recorded,
}

struct Loaded {
    accounts: BTreeMap<AccountId, Account>,
    frontiers: BTreeMap<AccountId, Frontier>,
    now: Timestamp,
}

async fn load(
    connection: &mut PgConnection,
    known: &HashSet<AccountId>,
    commands: &[Command],
) -> Result<Loaded, StoreError> {
    let ids: BTreeSet<AccountId> = commands.iter().map(|command| command.key().account).collect();
    let new: Vec<_> = ids
        .iter()
        .filter(|id| !known.contains(id))
        .map(AccountId::to_string)
        .collect();
    if !new.is_empty() {
        heads::ensure(connection, &new).await?;
    }
    let names: Vec<_> = ids.iter().map(AccountId::to_string).collect();
    let mut locked = heads::lock(connection, &names).await?;
    if locked.heads.len() != ids.len() {
        // A primary that took over may not have what the one before it had committed.
        heads::ensure(connection, &names).await?;
        locked = heads::lock(connection, &names).await?;
    }
    let Locked { heads, at: Some(now) } = locked else {
        return Err(StoreError::corrupt("ledger", "all heads are gone"));
    };
    if heads.len() != ids.len() {
        return Err(StoreError::corrupt("ledger", "a head is gone"));
    }

    let keys: BTreeSet<_> = commands.iter().map(Command::key).collect();
    let permissions = permissions::load(connection, &keys.into_iter().collect::<Vec<_>>()).await?;
    let requests: Vec<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Open(intent) | Command::Deny(intent, _) => Some((intent.key.account, intent.request_id)),
            _ => None,
        })
        .collect();
    let changes = changes::load(connection, &requests, &permissions).await?;

    let mut permissions = by_account(permissions, |permission| permission.key.account);
    let mut changes = by_account(changes, |change| change.intent.key.account);
    let mut accounts = BTreeMap::new();
    let mut frontiers = BTreeMap::new();
    for Head {
        account,
        frontier,
        last_recorded_at,
    } in heads
    {
        let permissions = permissions.remove(&account).unwrap_or_default();
        let changes = changes.remove(&account).unwrap_or_default();
        accounts.insert(
            account,
            Account::new(account, frontier.size(), last_recorded_at, permissions, changes),
        );
        frontiers.insert(account, frontier);
    }
    Ok(Loaded {
        accounts,
        frontiers,
        now,
    })
}

fn by_account<T>(rows: Vec<T>, account: impl Fn(&T) -> AccountId) -> BTreeMap<AccountId, Vec<T>> {
    let mut accounts = BTreeMap::<_, Vec<T>>::new();
    for row in rows {
        accounts.entry(account(&row)).or_default().push(row);
    }
    accounts
}

async fn record(
    connection: &mut PgConnection,
    accounts: &BTreeMap<AccountId, Account>,
    mut frontiers: BTreeMap<AccountId, Frontier>,
    rules: &Rules,
) -> Result<Saved, StoreError> {
    let (mut changed, mut ended, mut recorded) = (Changed::default(), Vec::new(), Recorded::new());
    for (id, account) in accounts {
        let effects = account.effects();
        let new = effects.opened.iter().filter_map(|id| account.change(*id));
        new.for_each(|change| changed.opened.push(change));
        let further = effects.updated.difference(&effects.opened);
        let further = further.filter_map(|id| account.change(*id));
        further.for_each(|change| changed.updated.push(change));
        let touched = effects.permissions.iter().filter_map(|key| account.permission(key));
        touched.for_each(|permission| {
            let is_new = effects.new_permissions.contains(&permission.key);
            changed.permissions.push(permission, is_new);
        });
        ended.extend(effects.ended.iter().filter_map(|id| account.snapshot(*id)));
        let Some(last) = effects.entries.last() else { continue };
        let mut frontier = frontiers.remove(id).unwrap_or_default();
        let from = frontier.size();
        for entry in &effects.entries {
            let text = ledger::encode(entry, rules.server_version)?;
            let leaf_hash = leaf_hash(text.as_bytes());
            frontier.append(leaf_hash);
            *recorded.entry((entry.stage, entry.intent.action)).or_default() += 1;
            changed.lines.push(Line { entry, text, leaf_hash });
        }
        changed.growths.push(Growth {
            account: *id,
            from,
            to: frontier.size(),
        });
        changed.heads.push(Head {
            account: *id,
            frontier,
            last_recorded_at: last.recorded_at,
        });
    }
    save::save(connection, &changed).await?;
    let heads = changed.heads.iter();
    let grown = heads.map(|head| (head.account, head.frontier.size())).collect();
    Ok(Saved { ended, grown, recorded })
}
