//! Where the value of an option comes from: the command line, or its environment variable.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

/// The client options that a context can have, and the option that names the context, by the names of their fields.
const OPTIONS: [&str; 7] = [
    "context",
    "server",
    "principal",
    "tls_ca",
    "tls_certificate",
    "tls_key",
    "token_file",
];

/// A place that gives a value. A later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Variable,
    CommandLine,
}

/// The options that the command line or the environment gives. It adds no option itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Given(BTreeMap<&'static str, Place>);

impl Given {
    /// The place that gives an option; `None` if it has its default or the value of a context.
    pub(super) fn place(&self, option: &str) -> Option<Place> {
        self.0.get(option).copied()
    }

    /// Counts an option as not given.
    pub(super) fn remove(&mut self, option: &str) {
        self.0.remove(option);
    }

    /// The name of the place, for people.
    pub(super) fn origin(&self, option: &str) -> Option<String> {
        Some(match self.place(option)? {
            Place::Variable => format!("SHAREWARDEN_{}", option.to_ascii_uppercase()),
            Place::CommandLine => format!("--{}", option.replace('_', "-")),
        })
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let place = |option| match matches.value_source(option)? {
            ValueSource::CommandLine => Some(Place::CommandLine),
            ValueSource::EnvVariable => Some(Place::Variable),
            _ => None,
        };
        Ok(Self(
            OPTIONS
                .into_iter()
                .filter_map(|option| Some((option, place(option)?)))
                .collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
