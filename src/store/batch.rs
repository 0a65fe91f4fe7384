//! One batch of commands: load what they concern, apply them, save.
//!
//! Mostly nobody else writes to these accounts, and then this is two statements, one that reads and one that writes, which locks
//! the heads and does nothing when one of them has moved on. Where that happens, the batch is run again in a transaction that locks
//! the heads before it reads. So is a batch that has nothing to write: only who commits a lock knows that the server takes writes, and
//! that what was read is as durable as what is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Connection, PgConnection};

use crate::{
    domain::{
        AccountId, Action, EntryBody, EntryKind, PermissionKey, ReplicaId,
        entry::encode,
        transition::{AccountState, Command, CommandReply, Snapshot, TransitionContext, Work},
    },
    ledger::merkle::leaf_hash,
};

use super::{
    StoreError,
    load::{Loaded, load},
    rows::{entries::Line, heads, heads::Head, tiles::Growth},
    save::{self, Changed, Saved},
};

/// What a batch brought about, if it was saved and is committed.
pub(super) struct Committed {
    /// One for each command, in their order.
    pub(super) answers: Vec<CommandReply>,
    /// What there is to do now.
    pub(super) work: Vec<Work>,
    /// Changes that ended.
    pub(super) ended: Vec<Snapshot>,
    /// Ledgers that grew, and how many entries they have now.
    pub(super) grown: Vec<(AccountId, u64)>,
    /// What the new entries say, and how many say so.
    pub(super) recorded: Recorded,
}

/// How many entries say what: the name of their kind, and the action where they are about one.
type Recorded = HashMap<(&'static str, Option<Action>), u64>;

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

/// Whether a batch waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It decides without a lock.
    AtOnce,
    /// It locks the heads first.
    InTurn,
}

/// Runs a batch. `given` remembers what earlier tries of the same batch gave, in case their commits happened. None when somebody
/// else was faster, and nothing is saved.
#[expect(
    clippy::disallowed_methods,
    reason = "the transaction of a batch; `Database::within` bounds it"
)]
pub(super) async fn run(
    connection: &mut PgConnection,
    rules: &Rules,
    way: Way,
    commands: &[Command],
    given: &mut Given,
) -> Result<Option<Committed>, StoreError> {
    if way == Way::AtOnce {
        match decide_and_save(connection, rules, commands, given).await? {
            (Saved::All, committed) => return Ok(Some(committed)),
            (Saved::Overtaken, _) => return Ok(None),
            (Saved::Nothing, _) => {}
        }
    }
    let accounts: BTreeSet<_> = commands.iter().map(Command::account).collect();
    let names: Vec<_> = accounts.iter().map(AccountId::as_str).collect();
    let mut transaction = connection.begin().await?;
    if heads::lock(&mut transaction, &names).await? < names.len() as u64 {
        // Made outside of it, or the order of the locks would not be that of the accounts.
        transaction.rollback().await?;
        heads::ensure(connection, &names).await?;
        transaction = connection.begin().await?;
        heads::lock(&mut transaction, &names).await?;
    }
    let (saved, committed) = decide_and_save(&mut transaction, rules, commands, given).await?;
    if saved == Saved::Overtaken {
        transaction.rollback().await?;
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(committed))
}

async fn decide_and_save(
    connection: &mut PgConnection,
    rules: &Rules,
    commands: &[Command],
    given: &mut Given,
) -> Result<(Saved, Committed), StoreError> {
    let Loaded {
        mut accounts,
        heads,
        now,
    } = load(connection, commands).await?;
    let context = TransitionContext {
        now,
        replica: rules.replica,
        lease_for: rules.lease_for,
        landing_window: rules.landing_window,
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
    for (key, epoch) in given.iter() {
        if let Some(account) = accounts.get_mut(&key.account) {
            account.hand_out_again(key, *epoch, &context);
        }
    }
    let work = accounts.values().flat_map(|account| &account.effects().work);
    given.extend(work.map(|work| (work.change.intent.key.clone(), work.epoch)));

    let Decided {
        changed,
        ended,
        recorded,
    } = lay_out(&accounts, heads, rules)?;
    let saved = save::save(connection, &changed).await?;
    let grown = changed
        .growths
        .iter()
        .map(|growth| (growth.account, growth.to))
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

/// What is to be saved, and told when it is.
struct Decided<'a> {
    changed: Changed<'a>,
    ended: Vec<Snapshot>,
    recorded: Recorded,
}

fn lay_out<'a>(
    accounts: &'a BTreeMap<AccountId, AccountState>,
    mut heads: BTreeMap<AccountId, Head>,
    rules: &Rules,
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
            changed.lines.push(Line {
                entry,
                repeated: entry.columns(),
                text,
                leaf_hash,
            });
        }
        let to = head.frontier.size();
        if to > from {
            changed.growths.push(Growth { account: *id, from, to });
        }
        changed.heads.push(head);
    }
    Ok(Decided {
        changed,
        ended,
        recorded,
    })
}

/// What a new entry is counted as.
fn label(body: &EntryBody) -> (&'static str, Option<Action>) {
    let kind = body.kind().map_or("unknown", EntryKind::name);
    (kind, body.change().map(|change| change.intent.action))
}
