//! The environment variables that are defaults of more than one command. The variables of single options are read by clap.

use crate::domain::{AccountId, Region};

use super::failure::{Exit, Failure};

/// The variables of the default account, in the order of precedence.
const ACCOUNT: &[&str] = &["SHAREWARDEN_ACCOUNT"];
/// The variables of the default Region, in the order of precedence: those of the AWS CLI and SDKs come last.
const REGION: &[&str] = &["SHAREWARDEN_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The defaults that the environment has. The default value has none.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    account: Option<Variable>,
    region: Option<Variable>,
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
        Self {
            account: first(ACCOUNT),
            region: first(REGION),
        }
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
