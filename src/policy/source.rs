//! What a policy set is made of, and where each policy comes from.

use std::{collections::BTreeMap, fmt, time::Duration};

use cedar_policy::{Effect, Policy as CedarPolicy, PolicyId as CedarId};

use crate::{
    config::{Config, GroupConfig, RoleConfig, ShareWith},
    domain::{AccountId, PolicyId},
};

use super::{
    contents,
    files::PolicyFile,
    problem::{PolicyProblem, PolicyProblems},
};

/// How old facts may be at most, whatever a policy says.
pub(super) const MAX_FACT_AGE: Duration = Duration::from_secs(60);

/// What a policy set is made of.
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// The configured accounts, each with the recipients that it allows.
    pub accounts: BTreeMap<AccountId, ShareWith>,
    /// The role bindings.
    pub roles: Vec<RoleConfig>,
    /// The groups of principals and of accounts.
    pub groups: Vec<GroupConfig>,
    /// The IANA name of the time zone.
    pub zone: String,
    /// The files of policies.
    pub files: Vec<PolicyFile>,
}

impl PolicySource {
    /// What the configuration says. Reads the files of `policy.directory`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of(config: &Config) -> Result<Self, PolicyProblems> {
        Ok(Self::with_files(config, Self::files_of(config)?))
    }

    /// The files of `policy.directory`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn files_of(config: &Config) -> Result<Vec<PolicyFile>, PolicyProblems> {
        match &config.policy.directory {
            Some(directory) => PolicyFile::in_directory(directory).map_err(PolicyProblems),
            None => Ok(Vec::new()),
        }
    }

    /// What the configuration says, with these files.
    pub fn with_files(config: &Config, files: Vec<PolicyFile>) -> Self {
        let accounts = config.accounts.iter();
        Self {
            accounts: accounts
                .map(|account| (account.id, config.recipients(account)))
                .collect(),
            roles: config.roles.clone(),
            groups: config.groups.clone(),
            zone: config.policy.zone.clone(),
            files,
        }
    }
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// A role binding of the configuration.
    Role,
    /// The recipients of an account of the configuration.
    Recipients(AccountId),
    /// A file. For a set that was made of its text, the text.
    File {
        /// Its path.
        name: String,
        /// The line at which the policy begins.
        line: usize,
    },
}

impl fmt::Display for PolicyOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role => write!(out, "roles"),
            Self::Recipients(account) => write!(out, "accounts.share_with of {account}"),
            // A text does not have the names of files.
            Self::File { name, .. } if name == contents::TEXT => write!(out, "a file"),
            Self::File { name, line } => write!(out, "{name}:{line}"),
        }
    }
}

impl PolicyOrigin {
    pub(super) fn problem(&self, line: Option<usize>, rule: String) -> PolicyProblem {
        let (place, first) = match self {
            Self::Role => ("roles".into(), None),
            Self::Recipients(account) => (format!("accounts.share_with of {account}"), None),
            Self::File { name, line } => (name.clone(), Some(*line)),
        };
        PolicyProblem {
            place,
            line: line.or(first),
            rule,
        }
    }
}

/// A policy of a set.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its id, which no other policy of the set has.
    pub id: PolicyId,
    /// The text, in Cedar.
    pub text: String,
    /// What it says to people (`@says`).
    pub says: Option<String>,
    /// How old the facts may be that it speaks of (`@max_fact_age`).
    pub max_fact_age: Option<Duration>,
    /// Where it comes from.
    pub origin: PolicyOrigin,
    pub(super) policy: CedarPolicy,
}

impl NamedPolicy {
    /// Parses the text. A link can make a text that Cedar does not read again.
    pub(super) fn parse(id: String, text: String, origin: PolicyOrigin) -> Result<Self, PolicyProblem> {
        let parsed = CedarPolicy::parse(Some(CedarId::new(&id)), &text);
        let policy =
            parsed.map_err(|error| origin.problem(None, format!("the policy {id:?} cannot be read: {error}")))?;
        let max_fact_age = policy.annotation("max_fact_age").map(fact_age).transpose();
        Ok(Self {
            says: policy.annotation("says").map(str::to_owned),
            max_fact_age: max_fact_age.map_err(|rule| origin.problem(None, rule))?,
            id: id.into(),
            text,
            origin,
            policy,
        })
    }

    /// True if it forbids, false if it permits.
    pub fn forbids(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }
}

fn fact_age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(age) if age <= MAX_FACT_AGE => Ok(age),
        _ => Err(format!(
            "@max_fact_age must be a duration such as 10s, from 0s to 60s; it is {text:?}"
        )),
    }
}
