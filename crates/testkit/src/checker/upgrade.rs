//! Replaces the replicas of one build by those of another, phase by phase, as an operator does.

use std::{path::PathBuf, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    fleet::{Fleet, Shield},
    history::{Build, OwnersRun, UpgradeHistory},
    replica::{OwnersCommand, Program},
};
use crate::{credentials::now, proxy::Rule};

/// A trial of an upgrade.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The program of the replicas at the start.
    pub old: Program,
    /// Whether all replicas go back to the old program, and forward again, before `finalize`.
    pub rollback: bool,
}

/// Maximum time until a replica is ready, or is gone.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(90);

/// Maximum time until a command of the owner is accepted. A killed replica counts as running for a minute.
const OWNER_TIMEOUT: Duration = Duration::from_secs(180);

/// Time between two runs of a command that was refused.
const OWNER_RETRY: Duration = Duration::from_secs(1);

/// How long an old replica runs after `finalize` before faults may end it: a few of its checks of Postgres.
const STRAGGLES: Duration = Duration::from_secs(8);

/// Maximum time until a repetition resolves a request.
pub const LONGEST_UNRESOLVED: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Act {
    Wait,
    Migrate,
    /// Starts the replicas of this build, one after another.
    Join(Build),
    /// Stops the replicas of this build, one after another.
    Leave(Build),
    /// Cuts an old replica off from Postgres, and stops the other old ones.
    LeaveButOne,
    /// Finalizes while an old replica is ready.
    FinalizeTooEarly,
    /// Finalizes, with retries while it is refused.
    Finalize,
    /// Gives the old replica its way to Postgres back. Faults end it, and then it is started again.
    Straggle,
}

fn plan(rollback: bool) -> Vec<(&'static str, Act)> {
    let mut plan = vec![
        ("old replicas only", Act::Wait),
        ("migrated, old replicas only", Act::Migrate),
        ("new replicas join", Act::Join(Build::New)),
        ("side by side", Act::Wait),
    ];
    if rollback {
        plan.extend([
            ("old replicas leave", Act::Leave(Build::Old)),
            ("new replicas only, not finalized", Act::Wait),
            ("rollback: old replicas join", Act::Join(Build::Old)),
            ("rollback: new replicas leave", Act::Leave(Build::New)),
            ("rolled back: old replicas only", Act::Wait),
            ("new replicas join again", Act::Join(Build::New)),
        ]);
    }
    plan.extend([
        ("finalize is tried too early", Act::FinalizeTooEarly),
        ("old replicas leave, one is cut off from Postgres", Act::LeaveButOne),
        ("finalize is retried", Act::Finalize),
        ("finalized, the old replica reaches Postgres again", Act::Straggle),
    ]);
    plan
}

/// The operator of an upgrade.
pub struct Operator {
    pub fleet: Fleet,
    pub new: Program,
    /// A configuration that the new program accepts.
    pub config: PathBuf,
    pub database: String,
    pub history: UpgradeHistory,
    /// The old replica that runs without Postgres, and that no fault hits.
    pub cut_off: Option<(usize, Shield)>,
    /// What must not happen in any upgrade, such as a replica that is never ready.
    pub complaints: Vec<String>,
}

impl Operator {
    /// Goes through all phases. Each takes the same part of `lasts`, or longer if it has to.
    pub async fn run(mut self, rollback: bool, lasts: Duration) -> Self {
        let plan = plan(rollback);
        let each = lasts / u32::try_from(plan.len()).unwrap();
        for (name, act) in plan {
            self.history.phases.push((name, now()));
            tokio::join!(self.act(act, each), sleep(each));
        }
        // Only the new build may answer after the end of the faults.
        self.leave(self.of(Build::Old), Duration::ZERO).await;
        self
    }

    async fn act(&mut self, act: Act, each: Duration) {
        match act {
            Act::Wait => {}
            Act::Migrate => self.until_accepted(OwnersCommand::Migrate).await,
            Act::Join(build) => self.join(build, each).await,
            Act::Leave(build) => self.leave(self.of(build), each).await,
            Act::LeaveButOne => {
                let mut leaving = self.of(Build::Old);
                if let Some((number, shield)) = self.shielded().await {
                    let proxy = &self.fleet[number].proxy;
                    proxy.set(Rule::Refuse);
                    proxy.cut();
                    leaving.retain(|old| *old != number);
                    self.cut_off = Some((number, shield));
                }
                self.leave(leaving, each).await;
            }
            Act::FinalizeTooEarly => {
                let shield = self.shielded().await;
                self.run_as_owner(OwnersCommand::Finalize, shield.is_some()).await;
            }
            Act::Finalize => self.until_accepted(OwnersCommand::Finalize).await,
            Act::Straggle => match self.cut_off.take() {
                Some((number, _shield)) => {
                    self.fleet[number].proxy.set(Rule::Pass);
                    sleep(STRAGGLES).await;
                }
                None => self.complaints.push("no old replica outlived finalize".into()),
            },
        }
    }

    /// The numbers of the replicas of a build.
    fn of(&self, build: Build) -> Vec<usize> {
        let all = 0..self.fleet.len();
        all.filter(|number| self.fleet[*number].build == build).collect()
    }

    async fn join(&mut self, build: Build, each: Duration) {
        for number in self.of(build) {
            let place = &self.fleet[number];
            place.wanted.send_replace(true);
            if timeout(REPLICA_TIMEOUT, place.until_ready()).await.is_err() {
                self.complaints
                    .push(format!("the replica {number} was not ready within {REPLICA_TIMEOUT:?}"));
            }
            sleep(each / 4).await;
        }
    }

    async fn leave(&mut self, numbers: Vec<usize>, each: Duration) {
        for number in numbers {
            let place = &self.fleet[number];
            place.wanted.send_replace(false);
            if timeout(REPLICA_TIMEOUT, place.until_gone()).await.is_err() {
                self.complaints
                    .push(format!("the replica {number} was not gone within {REPLICA_TIMEOUT:?}"));
            }
            sleep(each / 4).await;
        }
    }

    /// The number and the shield of a ready old replica. None if there is none.
    async fn shielded(&self) -> Option<(usize, Shield)> {
        for number in self.of(Build::Old) {
            if let Some(shield) = self.fleet[number].shielded().await {
                return Some((number, shield));
            }
        }
        None
    }

    async fn until_accepted(&mut self, what: OwnersCommand) {
        let accepted = async {
            while !self.run_as_owner(what, false).await {
                sleep(OWNER_RETRY).await;
            }
        };
        if timeout(OWNER_TIMEOUT, accepted).await.is_err() {
            let what = what.name();
            self.complaints
                .push(format!("{what} was not accepted within {OWNER_TIMEOUT:?}"));
        }
    }

    /// True if it was accepted.
    async fn run_as_owner(&mut self, what: OwnersCommand, old_was_ready: bool) -> bool {
        let error = self.new.run(what, &self.config, &self.database).await.err();
        let is_accepted = error.is_none();
        self.history.owner.push(OwnersRun {
            what: what.name(),
            ended_at: now(),
            old_was_ready,
            error,
        });
        is_accepted
    }
}
