//! The worker that reads the files of `policy.directory` again at an interval. A set that cannot be used never replaces one that
//! can, and the text of a set is stored before the set decides.

use std::time::Duration;

use crate::{
    config::Config,
    policy::{Policy, PolicyFile, PolicyProblems, PolicySet, PolicySource},
    probe::Readiness,
    store::{self, Database, StoreError},
    telemetry::Instruments,
    worker::{NextRound, Trigger, Worker},
};

use super::compiled;

/// How long after a change the files are read again. Some may be written while others are read.
const SETTLING: Duration = Duration::from_secs(1);

/// What `/readyz` says while the files cannot be used. The log has the problems, which are for operators.
const NOTE: &str =
    "the files of policy.directory cannot be used, and the earlier policy set stays in force; see the log";

/// The worker.
pub(super) struct PolicyReload {
    pub(super) config: Config,
    pub(super) policy: Policy,
    pub(super) database: Database,
    pub(super) readiness: Readiness,
    pub(super) instruments: Instruments,
    /// What was read last.
    pub(super) seen: Option<Vec<PolicyFile>>,
    /// What was read and compiled last, and its problems.
    pub(super) tried: Option<(Vec<PolicyFile>, Result<(), PolicyProblems>)>,
}

/// Why the files were not put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyReloadProblem {
    /// They cannot be used.
    #[error(transparent)]
    Set(#[from] PolicyProblems),
    /// Their text cannot be stored.
    #[error("the text of the new policy set cannot be stored")]
    Store(#[from] StoreError),
    /// The task that reads the files was stopped.
    #[error("the files were not read")]
    Stopped(#[from] tokio::task::JoinError),
}

impl Worker for PolicyReload {
    const NAME: &'static str = "policies";
    const FAILURE: &'static str = "the files of policy.directory cannot be put in force: the earlier policy set stays";
    const AT_ONCE: bool = false;
    type Error = PolicyReloadProblem;

    fn every(&self) -> Duration {
        self.config.policy.reload_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, PolicyReloadProblem> {
        let result = self.reload().await;
        match &result {
            Err(PolicyReloadProblem::Set(_)) => self.readiness.set_policy_note(Some(NOTE)),
            Ok(NextRound::Interval) => self.readiness.set_policy_note(None),
            Ok(NextRound::After(_)) | Err(_) => {}
        }
        result
    }
}

impl PolicyReload {
    async fn reload(&mut self) -> Result<NextRound, PolicyReloadProblem> {
        let config = self.config.clone();
        let source = tokio::task::spawn_blocking(move || PolicySource::of(&config)).await??;
        let files = source.files.clone();
        if let Some((tried, result)) = &self.tried
            && *tried == files
        {
            result.clone()?;
            return Ok(NextRound::Interval);
        }
        if self.seen.replace(files.clone()).is_none_or(|seen| seen != files) {
            return Ok(NextRound::After(SETTLING.min(self.every())));
        }
        match tokio::task::spawn_blocking(move || compiled(source)).await? {
            Ok(set) => {
                self.put_in_force(set).await?;
                self.tried = Some((files, Ok(())));
                Ok(NextRound::Interval)
            }
            Err(problems) => {
                self.tried = Some((files, Err(problems.clone())));
                Err(problems.into())
            }
        }
    }

    async fn put_in_force(&self, set: PolicySet) -> Result<(), StoreError> {
        let digest = set.digest();
        if digest == self.policy.in_force().digest() {
            return Ok(());
        }
        store::policy_sets::keep(&self.database, digest, set.text()).await?;
        self.policy.replace(set);
        self.instruments.set_policy_set(digest);
        tracing::info!(policy_set = %digest, "a new policy set is in force");
        Ok(())
    }
}
