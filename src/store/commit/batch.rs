//! One batch of commands: load what they touch, apply them, save.
//!
//! With optimistic locking a batch is two statements. The first reads. The second locks the heads, and writes
//! only if no head has changed since the read. After such a conflict the batch runs again with pessimistic locking, in a
//! transaction that locks the heads before it reads. A batch with nothing to write also runs with pessimistic
//! locking: its commit proves that the server is writable, and that the rows that it read are durable.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use crate::{
    domain::{
        AccountId, Action, EntryBody, EntryKind, PermissionKey, ReplicaId,
        entry::encode,
        transition::{AccountState, Command, CommandReply, Snapshot, TransitionContext, Work},
    },
    ledger::merkle::leaf_hash,
    store::{
        error::StoreError,
        notifications::Beginnings,
        rows::{
            entries::EncodedEntry,
            heads::{self, Head},
            tiles::Appended,
        },
    },
};

use super::{
    load::{Loaded, load},
    save::{self, Changed, Saved},
};

/// The result of a batch, valid once it is committed.
pub(super) struct Committed {
    /// One answer per command, in the order of the commands.
    pub(super) answers: Vec<CommandReply>,
    /// New work.
    pub(super) work: Vec<Work>,
    /// Changes that ended.
    pub(super) ended: Vec<Snapshot>,
    /// Ledgers that grew, and their new sizes.
    pub(super) grown: Vec<(AccountId, u64)>,
    /// Counts of the new entries.
    pub(super) recorded: Recorded,
}

/// Counts of entries by the name of their kind and by their action, if any.
type Recorded = HashMap<(&'static str, Option<Action>), u64>;

/// The settings of this replica for a batch.
#[derive(Debug, Clone)]
pub(super) struct BatchSettings {
    pub(super) beginnings: Beginnings,
    pub(super) replica: ReplicaId,
    pub(super) lease_for: std::time::Duration,
    pub(super) late_effect_window: std::time::Duration,
    pub(super) server_version: &'static str,
}

/// The leases that the tries of a batch granted, by permission and epoch. They are in the
/// database only if one of the tries was committed.
pub(super) type GrantedLeases = Vec<(PermissionKey, u64)>;

/// When a batch locks the heads of its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// When it saves.
    Optimistic,
    /// Before it reads.
    Pessimistic,
    /// Before it reads, and no lock is waited for longer than [`BRIEF_LOCK_TIMEOUT`].
    Brief,
}

/// The lock timeout of [`Locking::Brief`].
const BRIEF_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

/// Runs a batch. `granted` holds the leases that earlier tries of the same batch granted: they may have been committed.
/// Returns `None` after a conflict; then nothing was saved.
pub(super) async fn run(
    connection: &mut PgConnection,
    rules: &BatchSettings,
    locking: Locking,
    commands: &[Command],
    granted: &mut GrantedLeases,
) -> Result<Option<Committed>, StoreError> {
    if locking == Locking::Optimistic {
        match decide_and_save(connection, rules, commands, granted).await? {
            (Saved::All, committed) => return Ok(Some(committed)),
            (Saved::Conflict, _) => return Ok(None),
            (Saved::Nothing, _) => {}
        }
    }
    let accounts: BTreeSet<_> = commands.iter().map(Command::account).collect();
    let names: Vec<_> = accounts.iter().map(AccountId::as_str).collect();
    let mut transaction = begin(connection, locking).await?;
    if heads::lock(&mut transaction, &names).await? < names.len() as u64 {
        // Missing heads are inserted in a transaction of their own. The next one then locks all heads in account order.
        transaction.rollback().await?;
        transaction = begin(connection, locking).await?;
        heads::ensure(&mut transaction, &names).await?;
        transaction.commit().await?;
        transaction = begin(connection, locking).await?;
        heads::lock(&mut transaction, &names).await?;
    }
    let (saved, committed) = decide_and_save(&mut transaction, rules, commands, granted).await?;
    if saved == Saved::Conflict {
        transaction.rollback().await?;
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(committed))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the transaction of a batch; `Database::within` bounds it"
)]
async fn begin(connection: &mut PgConnection, locking: Locking) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if locking == Locking::Brief {
        sqlx::query(BRIEF_LOCK_TIMEOUT).execute(&mut *transaction).await?;
    }
    Ok(transaction)
}

async fn decide_and_save(
    connection: &mut PgConnection,
    rules: &BatchSettings,
    commands: &[Command],
    granted: &mut GrantedLeases,
) -> Result<(Saved, Committed), StoreError> {
    let Loaded {
        mut accounts,
        heads,
        now,
        admitted,
    } = load(connection, commands).await?;
    let context = TransitionContext {
        now,
        admitted,
        replica: rules.replica,
        lease_for: rules.lease_for,
        late_effect_window: rules.late_effect_window,
    };
    let answers = commands
        .iter()
        .map(|command| {
            let account = accounts
                .get_mut(&command.account())
                .expect("every account of the batch was loaded");
            account.apply(command.clone(), &context)
        })
        .collect();
    for (key, epoch) in granted.iter() {
        if let Some(account) = accounts.get_mut(&key.account) {
            account.hand_out_again(key, *epoch, &context);
        }
    }
    let work = accounts.values().flat_map(|account| &account.effects().work);
    granted.extend(work.map(|work| (work.change.intent.key.clone(), work.epoch)));

    let Decided {
        changed,
        ended,
        recorded,
    } = collect_changes(&accounts, heads, rules)?;
    let saved = save::save(connection, &changed).await?;
    let grown = changed
        .appended
        .iter()
        .map(|appended| (appended.account, appended.to))
        .collect();
    let work = accounts.values_mut().flat_map(AccountState::take_work).collect();
    let committed = Committed {
        answers,
        work,
        ended,
        grown,
        recorded,
    };
    Ok((saved, committed))
}

/// What to save, and what to signal after the commit.
struct Decided<'a> {
    changed: Changed<'a>,
    ended: Vec<Snapshot>,
    recorded: Recorded,
}

fn collect_changes<'a>(
    accounts: &'a BTreeMap<AccountId, AccountState>,
    mut heads: BTreeMap<AccountId, Head>,
    rules: &BatchSettings,
) -> Result<Decided<'a>, StoreError> {
    let (mut changed, mut ended, mut recorded) = (Changed::default(), Vec::new(), Recorded::new());
    for (id, account) in accounts {
        let effects = account.effects();
        if effects.is_nothing() {
            continue;
        }
        effects
            .requests
            .iter()
            .for_each(|request| changed.requests.push((id, request)));
        let new = effects.opened.iter().filter_map(|id| account.change(*id));
        new.for_each(|change| changed.opened.push(change));
        let further = effects.updated.difference(&effects.opened);
        let further = further.filter_map(|id| account.change(*id));
        further.for_each(|change| changed.updated.push(change));
        let touched = effects.permissions.iter().filter_map(|key| account.permission(key));
        for permission in touched {
            match effects.new_permissions.contains(&permission.key) {
                true => changed.new_permissions.push(permission),
                false => changed.kept_permissions.push(permission),
            }
        }
        let findings = effects.findings.iter().filter_map(|key| account.finding(key));
        findings.for_each(|finding| changed.findings.push(finding));
        effects.events.iter().for_each(|event| changed.events.push(event));
        ended.extend(effects.ended.iter().filter_map(|id| account.snapshot(*id)));
        let mut head = heads
            .remove(id)
            .expect("the heads of all accounts of the batch were loaded");
        let from = head.frontier.size();
        for entry in &effects.entries {
            let text = encode(entry, rules.server_version)?;
            let leaf_hash = leaf_hash(text.as_bytes());
            head.frontier.append(leaf_hash);
            head.last_recorded_at = entry.recorded_at;
            *recorded.entry(label(&entry.body)).or_default() += 1;
            changed.entries.push(EncodedEntry {
                entry,
                columns: entry.columns(),
                text,
                leaf_hash,
            });
        }
        let to = head.frontier.size();
        if from == 0 && to > 0 {
            rules.beginnings.keep(*id, to, head.frontier.root());
        }
        if to > from {
            changed.appended.push(Appended { account: *id, from, to });
        }
        changed.heads.push(head);
    }
    Ok(Decided {
        changed,
        ended,
        recorded,
    })
}

/// The labels of an entry in the metrics.
fn label(body: &EntryBody) -> (&'static str, Option<Action>) {
    let kind = body.kind().map_or("unknown", EntryKind::name);
    (kind, body.change().map(|change| change.intent.action))
}
