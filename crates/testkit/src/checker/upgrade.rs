//! Replaces the replicas of one build by those of another, phase by phase, as an operator does.

use std::{path::PathBuf, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    fleet::{Fleet, ReplicaPlace, Shield},
    history::{Build, OwnersRun, UpgradeHistory},
    replica::{OwnersCommand, Program},
};
use crate::credentials::now;

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
    /// Finalizes while an old replica is ready.
    FinalizeTooEarly,
    /// Finalizes, with retries while it is refused.
    Finalize,
    /// Starts an old replica.
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
        ("old replicas leave", Act::Leave(Build::Old)),
        ("finalize is retried", Act::Finalize),
        ("finalized, an old replica is started", Act::Straggle),
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
        self.leave(Build::Old, Duration::ZERO).await;
        self
    }

    async fn act(&mut self, act: Act, each: Duration) {
        match act {
            Act::Wait => {}
            Act::Migrate => self.until_accepted(OwnersCommand::Migrate).await,
            Act::Join(build) => self.join(build, each).await,
            Act::Leave(build) => self.leave(build, each).await,
            Act::FinalizeTooEarly => {
                let shield = self.shielded(Build::Old).await;
                self.run_as_owner(OwnersCommand::Finalize, shield.is_some()).await;
            }
            Act::Finalize => self.until_accepted(OwnersCommand::Finalize).await,
            Act::Straggle => {
                let place = self.of(Build::Old).next();
                let _ = place.map(|place| place.wanted.send_replace(true));
            }
        }
    }

    fn of(&self, build: Build) -> impl Iterator<Item = &ReplicaPlace> {
        self.fleet.iter().filter(move |place| place.build == build)
    }

    async fn join(&mut self, build: Build, each: Duration) {
        let mut late = 0;
        for place in self.of(build) {
            place.wanted.send_replace(true);
            let is_ready = timeout(REPLICA_TIMEOUT, place.until_ready()).await.is_ok();
            late += u64::from(!is_ready);
            sleep(each / 4).await;
        }
        if late > 0 {
            self.complaints.push(format!(
                "{late} replicas of the {build:?} build were not ready within {REPLICA_TIMEOUT:?}"
            ));
        }
    }

    async fn leave(&mut self, build: Build, each: Duration) {
        let mut late = 0;
        for place in self.of(build) {
            place.wanted.send_replace(false);
            let is_gone = timeout(REPLICA_TIMEOUT, place.until_gone()).await.is_ok();
            late += u64::from(!is_gone);
            sleep(each / 4).await;
        }
        if late > 0 {
            self.complaints.push(format!(
                "{late} replicas of the {build:?} build were not gone within {REPLICA_TIMEOUT:?}"
            ));
        }
    }

    /// The shield of a ready replica. None if there is none.
    async fn shielded(&self, build: Build) -> Option<Shield> {
        for place in self.of(build) {
            if let Some(shield) = place.shielded().await {
                return Some(shield);
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
