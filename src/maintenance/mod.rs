//! The commands that work on the database or the configuration without a server: `config check`, `migrate`, `finalize`,
//! `audit archive` and `audit confirm`. `policy` works on files, or on what it asks the service for through `cli`.
//!
//! With `-o json` a command prints its results as JSON lines on standard output, and no notes. Indexes and counts of
//! entries are texts there, as in proto3 JSON.

mod archive;
mod config_check;
mod confirm;
mod migrate;
mod policy;

use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
};

use serde_json::Value;

use crate::{
    cli::{ClientOptions, Console, Output},
    config::{Config, ConfigError, ConfigFile},
    server,
    telemetry::{Telemetry, TelemetryError},
};

pub use archive::ArchiveOptions;
pub use config_check::ConfigCommand;
pub use confirm::ConfirmOptions;
pub use policy::PolicyCommand;

/// A command of this room.
#[derive(Debug)]
pub enum Maintenance {
    /// `config check`.
    Config(ConfigCommand),
    /// `policy`.
    Policy(PolicyCommand, Box<ClientOptions>),
    /// `migrate`.
    Migrate(ConfigOptions),
    /// `finalize`.
    Finalize(ConfigOptions),
    /// `audit archive`.
    Archive(ArchiveOptions),
    /// `audit confirm`.
    Confirm(ConfirmOptions),
}

/// The options by which a command finds its configuration.
#[derive(Debug, clap::Args)]
pub struct ConfigOptions {
    /// The configuration, a TOML file. Environment variables override it: SHAREWARDEN__DATABASE__URL sets database.url
    #[arg(long, value_name = "FILE", env = "SHAREWARDEN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Override one key of the configuration, such as server.listen=127.0.0.1:0. May be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Why a command failed.
pub type BoxError = Box<dyn std::error::Error>;

impl Maintenance {
    /// Runs the command. The console shows its progress.
    ///
    /// # Errors
    /// If the configuration, the database, a file or the output cannot be used.
    pub async fn run(self, output: Output, console: &Console<'_>) -> Result<(), BoxError> {
        let results = ResultPrinter(output);
        match self {
            Self::Config(ConfigCommand::Check(options)) => config_check::check(&options, results).await,
            Self::Policy(command, client) => command.run(&client, results, console).await,
            Self::Migrate(options) => migrate::migrate(&options, results).await,
            Self::Finalize(options) => migrate::finalize(&options, results).await,
            Self::Archive(options) => archive::archive(options, results, console).await,
            Self::Confirm(options) => confirm::confirm(options, results).await,
        }
    }
}

impl ConfigOptions {
    /// The configuration.
    ///
    /// # Errors
    /// If a value is missing or wrong.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), &self.set)
    }

    /// The configuration, and its file if there is one, which a service reads again.
    ///
    /// # Errors
    /// If a value is missing or wrong.
    pub fn load_for_service(&self) -> Result<(Config, Option<ConfigFile>), ConfigError> {
        match &self.config {
            Some(path) => ConfigFile::load(path, &self.set).map(|(config, file)| (config, Some(file))),
            None => Ok((self.load()?, None)),
        }
    }

    /// The configuration, and the log of a short command: it exports no telemetry and opens no admin port.
    fn begin(&self) -> Result<(Config, Telemetry), BoxError> {
        let config = self.load()?;
        let telemetry = init_log(config.clone())?;
        Ok((config, telemetry))
    }
}

fn init_log(mut config: Config) -> Result<Telemetry, TelemetryError> {
    config.telemetry.otlp_endpoint = None;
    config.admin.listen = None;
    server::init_telemetry(&config)
}

/// Where a command tells what it did.
#[derive(Clone, Copy)]
struct ResultPrinter(Output);

impl ResultPrinter {
    fn is_json(self) -> bool {
        self.0 == Output::Json
    }

    /// A result, as a JSON line.
    fn json(self, result: &Value) -> io::Result<()> {
        if self.is_json() {
            writeln!(io::stdout(), "{result}")?;
        }
        Ok(())
    }

    /// A result, as text on standard output.
    fn text(self, text: impl Display) -> io::Result<()> {
        if self.is_json() {
            return Ok(());
        }
        write!(io::stdout(), "{text}")?;
        io::stdout().flush()
    }

    /// A note for people. A closed standard error changes nothing.
    fn note(self, line: impl Display) {
        if !self.is_json() {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}
