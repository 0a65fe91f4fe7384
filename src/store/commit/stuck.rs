//! The accounts of a lane whose rows another session keeps locked.
//!
//! A lane has one connection. If it waited for such a lock, all its accounts would wait. So the commands of these accounts wait
//! here. The lane tries one stuck account at a time, with [`Locking::Brief`](super::batch::Locking::Brief), and pauses after a
//! failed try. An account stays here until a try succeeds, also without commands, and for [`PROBATION`] after it: its next
//! command must not stop the lane again.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::MonotonicInstant,
    domain::{AccountId, transition::Command},
};

use super::{
    batch::GrantedLeases,
    lane::{CommitError, QueuedCommand},
};

/// The pause after a failed try. It is four times the lock timeout of a try, so stuck accounts take at most a fifth of the lane.
const PAUSE: Duration = Duration::from_millis(200);

/// How long after its last failed try an account is still tried alone. The lock may be on a row that not all its commands need.
const PROBATION: Duration = Duration::from_secs(60);

/// The stuck accounts, and their commands.
#[derive(Debug)]
pub(super) struct StuckAccounts {
    /// The first one waits for its try for the longest time.
    accounts: VecDeque<StuckAccount>,
    limits: StuckLimits,
    /// The number of commands, which the metrics read.
    waiting: Arc<AtomicUsize>,
    /// The end of the pause.
    resume_at: Option<MonotonicInstant>,
}

/// How much may wait in [`StuckAccounts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StuckLimits {
    /// Maximum commands of all lanes together.
    pub(super) commands: usize,
    /// Maximum commands of one account. One try commits all of them.
    pub(super) per_account: usize,
    /// How long a command waits.
    pub(super) wait: Duration,
}

/// An account, and its commands in their order.
#[derive(Debug)]
pub(super) struct StuckAccount {
    pub(super) id: AccountId,
    commands: VecDeque<(QueuedCommand, MonotonicInstant)>,
    /// The leases that earlier tries of these commands granted.
    pub(super) granted: GrantedLeases,
    /// True if the last try of the account alone met a lock. False before that try: another account of its batch may be locked.
    pub(super) is_locked: bool,
    /// When a try last met a lock.
    locked_at: Option<MonotonicInstant>,
}

impl StuckAccount {
    /// Removes and returns the commands.
    pub(super) fn take(&mut self) -> Vec<QueuedCommand> {
        self.commands.drain(..).map(|(command, _)| command).collect()
    }

    /// Copies of the commands.
    pub(super) fn commands(&self) -> Vec<Command> {
        self.commands.iter().map(|(queued, _)| queued.command.clone()).collect()
    }
}

impl StuckAccounts {
    pub(super) fn new(limits: StuckLimits, waiting: Arc<AtomicUsize>) -> Self {
        Self {
            accounts: VecDeque::new(),
            limits,
            waiting,
            resume_at: None,
        }
    }

    /// Takes the commands of a batch that met a lock, begun at `since`. Each of its accounts is tried alone.
    pub(super) fn set_aside(&mut self, batch: Vec<QueuedCommand>, granted: &GrantedLeases, since: MonotonicInstant) {
        let mut accounts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for queued in batch {
            accounts.entry(queued.command.account()).or_default().push(queued);
        }
        for (id, commands) in accounts {
            self.accounts.push_back(StuckAccount {
                id,
                commands: VecDeque::new(),
                granted: granted.iter().filter(|(key, _)| key.account == id).cloned().collect(),
                is_locked: false,
                locked_at: None,
            });
            for queued in commands {
                // An earlier try may have been committed, so its caller must not be told that nothing happened.
                if let Some(queued) = self.push(self.accounts.len() - 1, queued, since) {
                    let _ = queued.answer.send(Err(CommitError::Unavailable));
                }
            }
        }
    }

    /// Takes the commands of stuck accounts out of a batch. Returns the others.
    pub(super) fn divert(&mut self, batch: Vec<QueuedCommand>, now: MonotonicInstant) -> Vec<QueuedCommand> {
        if self.accounts.is_empty() {
            return batch;
        }
        let mut others = Vec::new();
        for queued in batch {
            let account = queued.command.account();
            match self.accounts.iter().position(|stuck| stuck.id == account) {
                Some(index) => {
                    if let Some(queued) = self.push(index, queued, now) {
                        queued.refuse_for_lack_of_room();
                    }
                }
                None => others.push(queued),
            }
        }
        others
    }

    /// Adds a command to an account. Returns it if there is no room.
    fn push(&mut self, index: usize, queued: QueuedCommand, since: MonotonicInstant) -> Option<QueuedCommand> {
        let account = &mut self.accounts[index].commands;
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting >= self.limits.commands || account.len() >= self.limits.per_account {
            return Some(queued);
        }
        account.push_back((queued, since.plus(self.limits.wait)));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The time until the next try. None if no command waits.
    pub(super) fn next_try(&self, now: MonotonicInstant) -> Option<Duration> {
        let pause = self.resume_at.map_or(Duration::ZERO, |resume_at| resume_at.since(now));
        let next = &self.accounts[self.next()?];
        Some(if next.is_locked { pause } else { Duration::ZERO })
    }

    /// Removes the account to try next. Put it back if it is still stuck.
    pub(super) fn take_next(&mut self) -> Option<StuckAccount> {
        let account = self.accounts.remove(self.next()?)?;
        self.waiting.fetch_sub(account.commands.len(), Ordering::Relaxed);
        Some(account)
    }

    fn next(&self) -> Option<usize> {
        let is_next = |account: &StuckAccount| !account.commands.is_empty() && !account.is_locked;
        let first = self.accounts.iter().position(is_next);
        first.or_else(|| self.accounts.iter().position(|account| !account.commands.is_empty()))
    }

    /// Puts an account back after a try that met a lock.
    pub(super) fn put_back(&mut self, mut account: StuckAccount, now: MonotonicInstant) {
        (account.is_locked, account.locked_at) = (true, Some(now));
        self.waiting.fetch_add(account.commands.len(), Ordering::Relaxed);
        self.accounts.push_back(account);
        self.resume_at = Some(now.plus(PAUSE));
    }

    /// Ends a try that met no lock, or that failed for another reason. The commands of the account were taken.
    pub(super) fn release(&mut self, mut account: StuckAccount, now: MonotonicInstant) {
        account.is_locked = false;
        if account
            .locked_at
            .is_some_and(|locked_at| now.since(locked_at) < PROBATION)
        {
            self.accounts.push_back(account);
        }
    }

    /// Answers the commands that have waited for too long.
    pub(super) fn expire(&mut self, now: MonotonicInstant) {
        self.refuse(|_, until| until <= now);
    }

    /// Answers the commands that would claim work. No lease that they may have taken is worked on.
    pub(super) fn refuse_claims(&mut self) {
        self.accounts.iter_mut().for_each(|account| account.granted.clear());
        self.refuse(|command, _| command.begins_work());
    }

    /// Answers all commands: Postgres is unavailable.
    pub(super) fn refuse_all(&mut self) {
        self.refuse(|_, _| true);
    }

    /// Answers some commands. An earlier try of them may have been committed.
    fn refuse(&mut self, is_refused: impl Fn(&Command, MonotonicInstant) -> bool) {
        for StuckAccount { id, commands, .. } in &mut self.accounts {
            let (refused, kept): (Vec<_>, _) = mem::take(commands)
                .into_iter()
                .partition(|(queued, until)| is_refused(&queued.command, *until));
            *commands = VecDeque::from_iter::<Vec<_>>(kept);
            if refused.is_empty() {
                continue;
            }
            tracing::error!(
                account_id = %id,
                commands = refused.len(),
                "the result of commands of an account that waited for a lock is unknown; their callers get an error, \
                 and repeat the request id"
            );
            self.waiting.fetch_sub(refused.len(), Ordering::Relaxed);
            for (queued, _) in refused {
                let _ = queued.answer.send(Err(CommitError::Unavailable));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        clock::Clock,
        domain::{Timestamp, example},
        store::commit::lane::Answered,
    };

    const LIMITS: StuckLimits = StuckLimits {
        commands: 5,
        per_account: 3,
        wait: Duration::from_secs(10),
    };
    const LOCKED: &str = "000011112222";
    const OTHER: &str = "000011113333";

    fn clock() -> Clock {
        Clock::manual(Timestamp::parse("2026-11-28T00:00:00Z").unwrap())
    }

    fn open(account: &str) -> (QueuedCommand, oneshot::Receiver<Answered>) {
        let mut intent = example::intent();
        intent.key.account = account.parse().unwrap();
        QueuedCommand::new(Command::Open(Arc::new(intent)))
    }

    fn commands(account: &str, count: usize) -> (Vec<QueuedCommand>, Vec<oneshot::Receiver<Answered>>) {
        (0..count).map(|_| open(account)).unzip()
    }

    fn answers(receivers: Vec<oneshot::Receiver<Answered>>) -> Vec<Option<CommitError>> {
        let answers = receivers.into_iter().map(FutureExt::now_or_never);
        answers
            .map(|answer| answer.map(|answer| answer.unwrap().unwrap_err()))
            .collect()
    }

    #[test]
    fn each_account_of_a_batch_is_tried_at_once_and_a_locked_one_after_a_pause() {
        let (clock, mut stuck) = (clock(), StuckAccounts::new(LIMITS, Arc::default()));
        let (mut batch, _kept) = commands(LOCKED, 1);
        let (more, _more_kept) = commands(OTHER, 1);
        batch.extend(more);
        stuck.set_aside(batch, &Vec::new(), clock.monotonic_now());
        let locked = stuck.take_next().unwrap();
        assert_eq!(locked.id.as_str(), LOCKED);
        stuck.put_back(locked, clock.monotonic_now());
        assert_eq!(stuck.next_try(clock.monotonic_now()), Some(Duration::ZERO));
        let mut other = stuck.take_next().unwrap();
        assert_eq!(other.id.as_str(), OTHER);
        other.take();
        stuck.release(other, clock.monotonic_now());
        assert_eq!(stuck.next_try(clock.monotonic_now()), Some(PAUSE));
        assert!(
            stuck.divert(commands(OTHER, 1).0, clock.monotonic_now()).len() == 1,
            "it was never locked"
        );
    }

    #[test]
    fn an_account_that_was_locked_is_tried_alone_for_a_minute_more() {
        let (clock, mut stuck) = (clock(), StuckAccounts::new(LIMITS, Arc::default()));
        stuck.set_aside(commands(LOCKED, 1).0, &Vec::new(), clock.monotonic_now());
        let account = stuck.take_next().unwrap();
        stuck.put_back(account, clock.monotonic_now());
        for (wait, is_alone) in [(PAUSE, true), (PROBATION, false)] {
            clock.advance(wait);
            let mut account = stuck.take_next().unwrap();
            account.take();
            stuck.release(account, clock.monotonic_now());
            let others = stuck.divert(commands(LOCKED, 1).0, clock.monotonic_now());
            assert_eq!(others.is_empty(), is_alone);
            let at_once = is_alone.then_some(Duration::ZERO);
            assert_eq!(stuck.next_try(clock.monotonic_now()), at_once);
        }
    }

    #[test]
    fn one_stuck_account_fills_only_its_share_and_its_commands_wait_for_a_bounded_time() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (clock, mut stuck) = (clock(), StuckAccounts::new(LIMITS, waiting.clone()));
        let (batch, mut receivers) = commands(LOCKED, 4);
        stuck.set_aside(batch, &Vec::new(), clock.monotonic_now());
        // An earlier try of these commands may have been committed.
        assert_eq!(answers(receivers.split_off(3)), [Some(CommitError::Unavailable)]);
        let (batch, later) = commands(LOCKED, 1);
        assert!(stuck.divert(batch, clock.monotonic_now()).is_empty());
        assert_eq!(answers(later), [Some(CommitError::Overloaded)]);
        let (batch, mut others) = commands(OTHER, 3);
        clock.advance(Duration::from_secs(1));
        stuck.set_aside(batch, &Vec::new(), clock.monotonic_now());
        assert_eq!(answers(others.split_off(2)), [Some(CommitError::Unavailable)]);
        assert_eq!(waiting.load(Ordering::Relaxed), LIMITS.commands);
        clock.advance(LIMITS.wait.checked_sub(Duration::from_secs(1)).unwrap());
        stuck.expire(clock.monotonic_now());
        assert_eq!(answers(receivers), [Some(CommitError::Unavailable); 3]);
        assert_eq!(answers(others), [None; 2]);
        assert_eq!(waiting.load(Ordering::Relaxed), 2);
        assert!(
            stuck.divert(commands(LOCKED, 1).0, clock.monotonic_now()).is_empty(),
            "it is still stuck"
        );
    }
}
