//! The worker that reads the configuration file and the files of `policy.directory` again at an interval. A set that cannot be
//! used never replaces one that can, and the text of a set is stored before the set decides. Role bindings, which decide about
//! reads, are part of the set, so all that is read takes effect at one moment.

use std::{collections::BTreeSet, time::Duration};

use sha2::{Digest, Sha256};

use crate::{
    config::{Config, ConfigError, ConfigFile},
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
const NOTE: &str = "the configuration file or the files of policy.directory cannot be used, and the earlier policy set stays \
                    in force; see the log";

/// The worker.
pub(super) struct PolicyReload {
    /// The configuration of the start.
    config: Config,
    /// Where it came from. None: not from a file.
    file: Option<ConfigFile>,
    policy: Policy,
    database: Database,
    readiness: Readiness,
    instruments: Instruments,
    /// What was read last.
    seen: Option<ReadFiles>,
    /// What was read and compiled last, and why it cannot be used.
    tried: Option<(ReadFiles, Result<(), UnusableFiles>)>,
    /// The keys that need a restart, as they were logged last.
    waiting: BTreeSet<String>,
}

/// What the files said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReadFiles {
    /// The hash of the configuration file: it has secrets.
    config: Option<[u8; 32]>,
    policies: Vec<PolicyFile>,
}

/// Why files cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum UnusableFiles {
    /// The configuration file.
    #[error("the configuration file {0}")]
    Config(String),
    /// The policy set that they make.
    #[error(transparent)]
    Set(#[from] PolicyProblems),
}

/// Why the files were not put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyReloadProblem {
    /// They cannot be used.
    #[error(transparent)]
    Unusable(#[from] UnusableFiles),
    /// Their text cannot be stored.
    #[error("the text of the new policy set cannot be stored")]
    Store(#[from] StoreError),
    /// The task that reads the files was stopped.
    #[error("the files were not read")]
    Stopped(#[from] tokio::task::JoinError),
}

impl Worker for PolicyReload {
    const NAME: &'static str = "policies";
    const FAILURE: &'static str =
        "the configuration file or the files of policy.directory cannot be put in force: the earlier policy set stays";
    const AT_ONCE: bool = false;
    type Error = PolicyReloadProblem;

    fn every(&self) -> Duration {
        self.config.policy.reload_every
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, PolicyReloadProblem> {
        let result = self.reload().await;
        match &result {
            Err(PolicyReloadProblem::Unusable(_)) => self.readiness.set_policy_note(Some(NOTE)),
            Ok(NextRound::Interval) => self.readiness.set_policy_note(None),
            Ok(NextRound::After(_)) | Err(_) => {}
        }
        result
    }
}

impl PolicyReload {
    /// The worker. None if there is no file to read again.
    pub(super) fn new(
        config: Config,
        file: Option<ConfigFile>,
        policy: Policy,
        database: Database,
        readiness: Readiness,
        instruments: Instruments,
    ) -> Option<Self> {
        let has_files = file.is_some() || config.policy.directory.is_some();
        has_files.then_some(Self {
            config,
            file,
            policy,
            database,
            readiness,
            instruments,
            seen: None,
            tried: None,
            waiting: BTreeSet::new(),
        })
    }

    async fn reload(&mut self) -> Result<NextRound, PolicyReloadProblem> {
        let (config, file) = (self.config.clone(), self.file.clone());
        let (text, policies) = tokio::task::spawn_blocking(move || read(&config, file.as_ref())).await??;
        let files = ReadFiles {
            config: text.as_ref().map(|text| Sha256::digest(text).into()),
            policies,
        };
        if let Some((tried, result)) = &self.tried
            && *tried == files
        {
            result.clone()?;
            return Ok(NextRound::Interval);
        }
        if self.seen.replace(files.clone()).is_none_or(|seen| seen != files) {
            return Ok(NextRound::After(SETTLING.min(self.every())));
        }
        match self.set_of(text, files.policies.clone()).await? {
            Ok(set) => {
                self.put_in_force(set).await?;
                self.tried = Some((files, Ok(())));
                Ok(NextRound::Interval)
            }
            Err(unusable) => {
                self.tried = Some((files, Err(unusable.clone())));
                Err(unusable.into())
            }
        }
    }

    /// The set of the files. The error outside is that of the task.
    async fn set_of(
        &mut self,
        text: Option<String>,
        policies: Vec<PolicyFile>,
    ) -> Result<Result<PolicySet, UnusableFiles>, tokio::task::JoinError> {
        let config = match (&self.file, text) {
            (Some(file), Some(text)) => match newer(&self.config, file, &text) {
                Ok((config, waiting)) => {
                    self.tell_waiting(file.clone(), waiting);
                    config
                }
                Err(unusable) => return Ok(Err(unusable)),
            },
            _ => self.config.clone(),
        };
        let source = PolicySource::with_files(&config, policies);
        let set = tokio::task::spawn_blocking(move || compiled(source)).await?;
        Ok(set.map_err(UnusableFiles::Set))
    }

    /// Logs, once, the keys that changed and need a restart. Never their values.
    fn tell_waiting(&mut self, file: ConfigFile, waiting: BTreeSet<String>) {
        if waiting != self.waiting && !waiting.is_empty() {
            let keys = waiting.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::warn!(keys, file = %file.path().display(), "keys of the configuration file changed that need a restart: they keep their values");
        }
        self.waiting = waiting;
    }

    async fn put_in_force(&self, set: PolicySet) -> Result<(), StoreError> {
        let (digest, in_force) = (set.digest(), self.policy.in_force());
        if digest == in_force.digest() && set.roles() == in_force.roles() {
            return Ok(());
        }
        store::policy_sets::keep(&self.database, digest, set.text()).await?;
        self.policy.replace(set);
        self.instruments.set_policy_set(digest);
        tracing::info!(policy_set = %digest, "a new policy set is in force");
        Ok(())
    }
}

/// The text of the configuration file, if there is one, and the files of policies.
fn read(config: &Config, file: Option<&ConfigFile>) -> Result<(Option<String>, Vec<PolicyFile>), UnusableFiles> {
    let text = file.map(ConfigFile::read).transpose();
    let text = text.map_err(|error| UnusableFiles::Config(error.to_string()))?;
    Ok((text, PolicySource::files_of(config)?))
}

/// The configuration in force with what the file says about policies now, and the keys that need a restart.
fn newer(config: &Config, file: &ConfigFile, text: &str) -> Result<(Config, BTreeSet<String>), UnusableFiles> {
    let unusable = |error: ConfigError| UnusableFiles::Config(format!("{}: {error}", file.path().display()));
    let (newer, waiting) = file.parse(text).map_err(unusable)?;
    Ok((config.with_policy_of(&newer).map_err(unusable)?, waiting))
}
