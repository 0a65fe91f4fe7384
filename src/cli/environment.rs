//! The environment variables that are defaults of more than one command. The variables of single options are read by clap.

use std::path::PathBuf;

use super::failure::{Exit, Failure};
use crate::domain::{AccountId, Region};

/// The variables of the default account, in the order of precedence.
const ACCOUNT: &[&str] = &["SHAREWARDEN_ACCOUNT"];
/// The variables of the default Region, in the order of precedence: those of the AWS CLI and SDKs come last.
const REGION: &[&str] = &["SHAREWARDEN_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The defaults that the environment has. The default value has none.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    account: Option<Variable>,
    region: Option<Variable>,
    context_file: Option<ContextPath>,
}

/// The place of the file of contexts.
#[derive(Debug, Clone)]
struct ContextPath {
    path: PathBuf,
    /// SHAREWARDEN_CONFIG_FILE names it, so it must exist.
    is_named: bool,
}

#[derive(Debug, Clone)]
struct Variable {
    name: &'static str,
    value: String,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::read(process_variable)
    }

    /// An environment in which `variable` gives the value of a name. An empty value counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            let found = names
                .iter()
                .find_map(|name| Some((*name, variable(name)?)).filter(|(_, value)| !value.is_empty()));
            found.map(|(name, value)| Variable { name, value })
        };
        let path = |name| Some(PathBuf::from(first(&[name])?.value));
        let named = path("SHAREWARDEN_CONFIG_FILE").map(|path| ContextPath { path, is_named: true });
        Self {
            account: first(ACCOUNT),
            region: first(REGION),
            context_file: named.or_else(|| {
                // The XDG Base Directory Specification: a relative path is to be ignored.
                let folder = path("XDG_CONFIG_HOME").filter(|folder| folder.is_absolute());
                let folder = folder.or_else(|| Some(path("HOME")?.join(".config")))?;
                Some(ContextPath {
                    path: folder.join("sharewarden/config.toml"),
                    is_named: false,
                })
            }),
        }
    }

    /// The file of contexts.
    pub(super) fn context_file(&self) -> Option<&PathBuf> {
        self.context_file.as_ref().map(|file| &file.path)
    }

    /// True if a variable names the file of contexts itself.
    pub(super) fn names_context_file(&self) -> bool {
        self.context_file.as_ref().is_some_and(|file| file.is_named)
    }

    /// The variable of the default account.
    pub(super) fn account_variable(&self) -> Option<&'static str> {
        self.account.as_ref().map(|variable| variable.name)
    }

    /// The variable of the default Region.
    pub(super) fn region_variable(&self) -> Option<&'static str> {
        self.region.as_ref().map(|variable| variable.name)
    }

    /// The default account.
    pub(super) fn account(&self) -> Result<Option<AccountId>, Failure> {
        self.account.as_ref().map(Variable::parse).transpose()
    }

    /// The default Region.
    pub(super) fn region(&self) -> Result<Option<Region>, Failure> {
        self.region.as_ref().map(Variable::parse).transpose()
    }
}

impl Variable {
    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, Failure> {
        self.value.parse().map_err(|error| {
            let what = format!("the environment variable {} {error}", self.name);
            Failure::new(Exit::Invalid, what, "correct it, or name the value on the command line")
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the variables are options of the command line, as those that clap reads"
)]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
