//! Replicas that share one account, and a history of their steps, decoded from random numbers.
//!
//! The forwarders are correct. Everything around them may fail: commits fail or lose their reply, replicas crash, and settlements
//! and calls to AWS arrive late or twice.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use sharewarden::domain::{
    Access, Action, Cause, ConfirmationBody, EntryBody, Intent, Justification, Observation, PermissionKey,
    PermissionStamp, ShareEnd, SharingEvent, Timestamp,
    transition::{AdmittedBuilds, Command, CommandReply, LONGEST_WAIT, TransitionContext, Work},
};

use crate::{
    aws::{Aws, WINDOW},
    database::Database,
    fixtures::{self, account, change, denials, ending, event, intent, key, revoke_of_unrecorded, scan, start},
    forwarder::HeldWork,
    promises::{
        Breaches,
        Promise::{DriftIsFound, NewestWins, NoFalseFinding, OneLeaseAtATime},
    },
    reply_checks::ReplyChecks,
};

pub(crate) const LEASE: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A random number, used digit by digit.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        let digit = self.0 % sides;
        self.0 /= sides;
        digit
    }

    pub(crate) fn pick(&mut self, len: usize) -> usize {
        self.roll(len as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// The leases that a batch gave, if its commit succeeded.
type Leases = Vec<(PermissionKey, u64)>;

#[derive(Default)]
pub(crate) struct Replica {
    pub(crate) number: u64,
    pub(crate) queue: Vec<Command>,
    /// A batch whose commit had no reply, with the leases that it gave if the commit succeeded. It is retried before any other
    /// batch.
    pub(crate) without_reply: Option<(Vec<Command>, Leases)>,
    /// Outcomes to submit again later.
    pub(crate) unsettled: Vec<Command>,
    pub(crate) held: Vec<HeldWork>,
}

/// The newest work handed out for a permission.
#[derive(Debug)]
pub(crate) struct LatestWork {
    pub(crate) replica: u64,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) expires_at: Timestamp,
    pub(crate) is_over: bool,
}

/// The fate of a commit.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Commit {
    Replied,
    ReplyLost,
    Failed,
}

pub(crate) struct World {
    pub(crate) breaches: Breaches,
    pub(crate) database: Database,
    pub(crate) replicas: Vec<Replica>,
    /// The grants that the policy set of each replica refuses.
    pub(crate) refused: Vec<BTreeSet<PermissionKey>>,
    pub(crate) clock: Duration,
    /// True if the database's clock may go back, and forward again.
    pub(crate) clock_may_go_back: bool,
    /// How far the database's clock is ahead of `clock`. It only becomes less, and then stays so.
    pub(crate) ahead: Duration,
    pub(crate) aws: Aws,
    /// True if somebody calls AWS past the service.
    has_outsider: bool,
    /// Permissions as they were read before AWS is asked what it holds, and when.
    asked: Vec<(PermissionKey, Option<PermissionStamp>, Timestamp)>,
    /// What CloudTrail has of the outsider.
    events: Vec<Arc<SharingEvent>>,
    pub(crate) latest_work: HashMap<PermissionKey, LatestWork>,
    pub(crate) ids: u64,
    pub(crate) steps: u64,
}

impl World {
    /// Runs a history, and then finishes all its changes.
    pub(crate) fn after(history: &[u64], clock_may_go_back: bool) -> Self {
        let mut world = Self::run(history, clock_may_go_back);
        world.drain();
        world.drain_ends();
        world
    }

    /// Runs a history in which somebody calls AWS past the service, and then compares AWS with the ledger.
    pub(crate) fn with_outsider_after(history: &[u64]) -> Self {
        let mut world = Self::new(false);
        world.has_outsider = true;
        for number in history {
            world.step(Dice(*number));
        }
        world.drain();
        for key in (0..4).map(key) {
            world.ask(key);
            world.see(0, world.asked.len() - 1);
        }
        world.commit(0, Commit::Replied, &mut Dice(0));
        for key in (0..4).map(key) {
            let differs = world.differs(&key);
            let finding = world.database.findings.get(&key);
            let is_open = finding.is_some_and(|finding| finding.resolved.is_none());
            world.breaches.check(DriftIsFound, is_open == differs, || {
                format!("AWS and the ledger differ about {key}: {differs}, and the finding is {finding:?}")
            });
        }
        world
    }

    /// Runs a history, and then finishes its changes while AWS refuses every call.
    pub(crate) fn refused_after(history: &[u64]) -> Self {
        let mut world = Self::run(history, false);
        world.drain_refused();
        world
    }

    /// Runs a history in which the database's clock is set back again and again, and then finishes all its changes.
    pub(crate) fn set_back_after(history: &[u64]) -> Self {
        let mut world = Self::new(false);
        world.ahead = DAY * 1000;
        for (index, number) in history.iter().enumerate() {
            if index % 16 == 15 {
                let by = [Duration::from_millis(1), LEASE, LEASE * 6, LONGEST_WAIT, DAY * 40];
                world.ahead = world.ahead.saturating_sub(by[index / 16 % by.len()]);
            }
            world.step(Dice(*number));
        }
        // The first claim corrects a lease, and a later one finds it expired.
        world.drain_in_rounds(&[LONGEST_WAIT + LEASE; 4]);
        world
    }

    /// Runs a history, and then finishes its changes while every policy set refuses every grant.
    pub(crate) fn denied_after(history: &[u64]) -> Self {
        let mut world = Self::run(history, false);
        world.drain_denied();
        world
    }

    fn run(history: &[u64], clock_may_go_back: bool) -> Self {
        let mut world = Self::new(clock_may_go_back);
        for number in history {
            world.step(Dice(*number));
        }
        world
    }

    fn new(clock_may_go_back: bool) -> Self {
        Self {
            breaches: Breaches::default(),
            database: Database::new(account(), start()),
            replicas: (0..3)
                .map(|number| Replica {
                    number,
                    ..Replica::default()
                })
                .collect(),
            refused: vec![BTreeSet::new(); 3],
            clock: Duration::ZERO,
            clock_may_go_back,
            ahead: Duration::ZERO,
            aws: Aws::default(),
            has_outsider: false,
            asked: Vec::new(),
            events: Vec::new(),
            latest_work: HashMap::new(),
            ids: 3,
            steps: 0,
        }
    }

    fn step(&mut self, mut dice: Dice) {
        self.steps += 1;
        let at = dice.pick(self.replicas.len());
        match dice.roll(64) {
            0..14 => self.open(at, &mut dice),
            14 => self.ask(key(dice.roll(4))),
            15 if self.asked.is_empty() || (self.has_outsider && dice.coin()) => self.meddle(&mut dice),
            15 => self.see(at, dice.pick(self.asked.len())),
            46 | 62 if self.has_outsider => self.revoke_unrecorded(at, &mut dice),
            16 | 62 => self.change_policy(at, &mut dice),
            17..20 => self.end(at, &mut dice),
            20..34 => self.settle(at, &mut dice),
            34..37 => self.call(at, &mut dice),
            37..40 => self.renew(at, &mut dice),
            40..46 => self.replicas[at].queue.push(Command::Claim(key(dice.roll(4)))),
            46 => self.deny(at, &mut dice),
            47 if !self.events.is_empty() && dice.coin() => self.look_up(at, &mut dice),
            47 => self.confirm(at),
            48..52 => self.wait(Duration::from_millis(1 + dice.roll(12_000))),
            52..62 => {
                let commit = match dice.roll(8) {
                    0 => Commit::ReplyLost,
                    1 => Commit::Failed,
                    _ => Commit::Replied,
                };
                self.commit(at, commit, &mut dice);
            }
            _ => self.crash(at),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// An intent with one of a few request ids, mostly with the same content per id. So replays, races and reuse happen often.
    fn intent(&mut self, dice: &mut Dice) -> Arc<Intent> {
        let request = self.steps / 8 + dice.roll(4);
        let content = if dice.roll(4) == 0 { dice.roll(64) } else { request * 7 };
        let action = if content.is_multiple_of(2) {
            Action::Grant
        } else {
            Action::Revoke
        };
        let asked = intent(self.fresh(), request, key(content % 3), action, content % 5 / 3);
        let end = match content / 2 % 4 {
            _ if action == Action::Revoke => None,
            0 => Some(ShareEnd::After(Duration::from_secs(1 + content % 30))),
            1 => Some(ShareEnd::At(start() + Duration::from_secs(content))),
            _ => None,
        };
        let cause = match content % 3 {
            0 if action == Action::Grant => Cause::Adoption,
            _ => Cause::Caller,
        };
        Arc::new(Intent {
            cause,
            end,
            ..Arc::unwrap_or_clone(asked)
        })
    }

    /// Asks for the end of a share: mostly of the grant that a worker would find, sometimes of an older or a newer one.
    fn end(&mut self, at: usize, dice: &mut Dice) {
        let key = key(dice.roll(3));
        let found = self.database.permissions.get(&key).and_then(|permission| {
            let basis = permission.basis.map(|basis| basis.change_id);
            permission.next.or(permission.current).or(basis)
        });
        let of_key = self.database.changes.values().filter(|change| change.intent.key == key);
        let mut ids: Vec<_> = of_key.map(|change| change.id()).collect();
        ids.sort();
        let any = (!ids.is_empty()).then(|| ids[dice.pick(ids.len())]);
        let basis = if dice.roll(4) == 0 { any } else { found };
        if let Some(basis) = basis {
            let number = self.fresh();
            self.replicas[at].queue.push(ending(number, key, basis));
        }
    }

    /// Asks for the revoke of an unrecorded share: mostly by the finding that a worker would read, sometimes by another one.
    fn revoke_unrecorded(&mut self, at: usize, dice: &mut Dice) {
        let mut findings: Vec<_> = self.database.findings.values().collect();
        findings.sort_by_key(|finding| (finding.resolved.is_some(), finding.found_index));
        if findings.is_empty() {
            return;
        }
        let finding = findings[dice.pick(findings.len())];
        let (key, found) = (finding.key.clone(), finding.found_index);
        let found_index = if dice.roll(4) == 0 {
            found.saturating_sub(1)
        } else {
            found
        };
        let command = revoke_of_unrecorded(self.fresh(), key, found_index);
        self.replicas[at].queue.push(command);
    }

    /// Reads a permission before AWS is asked about it.
    fn ask(&mut self, key: PermissionKey) {
        let stamp = self.database.permissions.get(&key).map(PermissionStamp::of);
        self.asked.push((key, stamp, self.now() + self.ahead));
    }

    /// Gets an answer of AWS, and submits it.
    fn see(&mut self, at: usize, asked: usize) {
        let (key, permission, seen_at) = self.asked.swap_remove(asked);
        self.replicas[at].queue.push(Command::Observe(Observation {
            shown: self.aws.holds(&key),
            first_seen_at: seen_at,
            seen_at,
            scan_id: scan(1),
            permission,
            key,
        }));
    }

    /// Lets somebody call AWS past the service.
    fn meddle(&mut self, dice: &mut Dice) {
        if self.has_outsider {
            let access = if dice.coin() { Access::Shared } else { Access::NotShared };
            let key = key(dice.roll(4));
            self.aws.set(&key, access, change(0));
            let number = self.fresh();
            self.events.push(event(number, key, access));
        }
    }

    /// Finds an event of CloudTrail, perhaps once more or on another replica.
    fn look_up(&mut self, at: usize, dice: &mut Dice) {
        let event = self.events[dice.pick(self.events.len())].clone();
        self.replicas[at].queue.push(Command::RecordEvent(event));
    }

    fn differs(&self, key: &PermissionKey) -> bool {
        (self.aws.holds(key) == Access::Shared) != self.database.is_recorded_as_shared(key)
    }

    /// Checks that the findings of a batch are true, and that no change is in progress that they could contradict.
    fn check_findings(&mut self, entries: &[sharewarden::domain::Entry]) {
        for entry in entries {
            let (key, is_found) = match &entry.body {
                EntryBody::DriftFound(found) => (&found.key, true),
                EntryBody::DriftResolved(resolved) if resolved.seen.is_some() => (&resolved.key, false),
                _ => continue,
            };
            let permission = self.database.permissions.get(key);
            let is_at_rest = permission.is_none_or(|permission| permission.current.is_none());
            let is_true = self.has_outsider || self.differs(key) == is_found;
            self.breaches.check(NoFalseFinding, is_at_rest && is_true, || {
                format!(
                    "{entry:?}, but AWS holds {:?} and the permission is {permission:?}",
                    self.aws.holds(key)
                )
            });
        }
    }

    fn open(&mut self, at: usize, dice: &mut Dice) {
        let intent = self.intent(dice);
        let command = match self.is_refused(at, &intent) {
            _ if dice.roll(8) == 0 => Command::Replay(intent),
            true => Command::Deny(intent, "no".into()),
            false => Command::Open(intent),
        };
        self.replicas[at].queue.push(command);
    }

    /// True if the policy set of this replica refuses the change.
    pub(crate) fn is_refused(&self, at: usize, intent: &Intent) -> bool {
        intent.action == Action::Grant && self.refused[at].contains(&intent.key)
    }

    /// Replaces the policy set of one replica, or of all.
    fn change_policy(&mut self, at: usize, dice: &mut Dice) {
        let (is_refused, key, all) = (dice.coin(), key(dice.roll(3)), dice.roll(3) == 0);
        for (number, refused) in self.refused.iter_mut().enumerate() {
            if all || number == at {
                match is_refused {
                    true => refused.insert(key.clone()),
                    false => refused.remove(&key),
                };
            }
        }
    }

    fn confirm(&mut self, at: usize) {
        let body = ConfirmationBody {
            operator: "ann".parse().expect("an example follows its rule"),
            justification: Justification::example(),
            root: [7; 32],
            tree_size: 1,
        };
        let account = key(0).account;
        self.replicas[at].queue.push(Command::Confirm(account, body));
    }

    fn deny(&mut self, at: usize, dice: &mut Dice) {
        let command = match dice.roll(4) {
            0 => Command::RecordDenials(account(), denials()),
            1 => Command::Replay(self.intent(dice)),
            _ => Command::Deny(self.intent(dice), "no".into()),
        };
        self.replicas[at].queue.push(command);
    }

    /// Loses everything in the replica's memory. Its late calls at AWS remain.
    pub(crate) fn crash(&mut self, at: usize) {
        let number = self.fresh();
        self.replicas[at] = Replica {
            number,
            ..Replica::default()
        };
    }

    pub(crate) fn commit(&mut self, at: usize, commit: Commit, dice: &mut Dice) {
        let replica = &mut self.replicas[at];
        let (batch, mut given) = replica.without_reply.take().unwrap_or_else(|| {
            if dice.coin() {
                replica.queue.append(&mut replica.unsettled);
            }
            (std::mem::take(&mut replica.queue), Vec::new())
        });
        let back = Duration::from_secs(if self.clock_may_go_back { dice.roll(20) } else { 0 });
        let context = TransitionContext {
            now: start() + (self.clock + self.ahead).saturating_sub(back),
            admitted: AdmittedBuilds::NEWEST,
            replica: fixtures::replica(replica.number),
            lease_for: LEASE,
            late_effect_window: WINDOW,
        };
        let mut account = self.database.load(&batch);
        let mut checks = ReplyChecks::new(&self.database, &self.latest_work);
        let mut renewed = Vec::new();
        for command in &batch {
            if let CommandReply::Renewed(work) = checks.apply(&mut account, command, &context, &mut self.breaches) {
                renewed.push(*work);
            }
        }
        for (key, epoch) in given {
            account.hand_out_again(&key, epoch, &context);
        }
        let work = account.effects().work.iter();
        given = work.map(|work| (work.change.intent.key.clone(), work.epoch)).collect();
        if commit != Commit::Failed {
            let opened = checks.into_opened();
            self.database.save(&account, &mut self.breaches);
            self.database.note_asked(opened);
            self.check_findings(&account.effects().entries);
            self.check_rest(&account);
            self.check_failures(&account);
            for key in &account.effects().permissions {
                self.aws.note_recorded(key, self.database.permissions[key].applied);
            }
        }
        match commit {
            Commit::Replied => {
                for work in account.take_work().into_iter().chain(renewed) {
                    self.hand_out(at, work);
                }
            }
            Commit::ReplyLost | Commit::Failed if dice.coin() => {
                self.replicas[at].without_reply = Some((batch, given));
            }
            // The callers learn that the outcome is unknown. Settlements are kept.
            Commit::ReplyLost | Commit::Failed => {
                let outcomes = batch
                    .into_iter()
                    .filter(|command| matches!(command, Command::Settle(_)));
                self.replicas[at].unsettled.extend(outcomes);
            }
        }
    }

    /// Gives a replica the work of a commit.
    fn hand_out(&mut self, at: usize, work: Work) {
        let (number, now) = (self.replicas[at].number, self.now());
        let key = work.change.intent.key.clone();
        let expires_at = now + work.lease_for;
        if !self.clock_may_go_back {
            let now = now + self.ahead;
            let stored = &self.database.permissions[&key];
            let is_held = stored.lease.is_some_and(|lease| {
                lease.owner == fixtures::replica(number)
                    && lease.epoch == work.epoch
                    && lease.expires_at > now
                    && now + work.lease_for <= lease.expires_at
            });
            self.breaches.check(OneLeaseAtATime, is_held, || {
                format!("{work:?} under {stored:?} at {now}")
            });
            self.breaches
                .check(NewestWins, stored.current == Some(work.change.id()), || {
                    format!("{work:?} is not for the current change of {stored:?}")
                });
        }
        if let Some(before) = self.latest_work.get(&key) {
            let is_exclusive = before.epoch < work.epoch && (before.is_over || before.expires_at <= now);
            self.breaches
                .check(OneLeaseAtATime, is_exclusive || self.clock_may_go_back, || {
                    format!("at {now} replica {number} got {work:?} beside {before:?}")
                });
            self.breaches
                .check(NewestWins, before.generation <= work.change.generation, || {
                    format!("{work:?} after {before:?}")
                });
        }
        let latest = LatestWork {
            replica: number,
            epoch: work.epoch,
            generation: work.change.generation,
            expires_at,
            is_over: false,
        };
        self.latest_work.insert(key, latest);
        self.replicas[at].held.push(HeldWork::new(work, now, expires_at));
    }

    /// Advances the clock, and lets due late calls take effect.
    pub(crate) fn wait(&mut self, duration: Duration) {
        self.clock += duration;
        for key in self.aws.apply_due(self.now()) {
            self.check_holds(&key);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        start() + self.clock
    }
}
