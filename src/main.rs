//! The `sharewarden` program: parses the command line and hands over to the rooms.
#![allow(
    clippy::print_stderr,
    reason = "a program tells a person what went wrong on standard error"
)]

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
#[cfg(feature = "dev")]
use sharewarden::dev::{self, DevCommand};
use sharewarden::{
    archive,
    cli::{self, AuditCommand, ClientCommand, ClientOptions, KeyCommand},
    clock::Clock,
    config::Config,
    domain::with_causes,
    server::{self, Server},
    store::archive::Detached,
    telemetry::Metrics,
    workspaces::BaseCredentials,
};

/// Many small texts are made and dropped on several threads at once, which glibc's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.
#[derive(Debug, Parser)]
#[command(name = "sharewarden", version, max_term_width = 120)]
struct Arguments {
    #[command(flatten)]
    client: ClientOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service against a real Postgres and real AWS.
    Serve(ConfigOptions),
    #[cfg(feature = "dev")]
    #[command(flatten)]
    Dev(DevCommand),
    /// Bring the database's schema up to this version.
    Migrate(ConfigOptions),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Make and show the keys that sign checkpoints. Needs no service.
    #[command(subcommand)]
    Key(KeyCommand),
    #[command(flatten)]
    Client(ClientCommand),
    /// Ask the audit history: query, follow, summarise, export, prove; and archive it
    #[command(subcommand)]
    Audit(AuditCommands),
}

#[derive(Debug, Subcommand)]
enum AuditCommands {
    #[command(flatten)]
    Ask(AuditCommand),
    /// Move old months of the history into verified files, and out of the database
    ///
    /// Writes a compressed export and the checkpoint that covers it for each account and month, reads the exports back and
    /// verifies them, and only then detaches the month's table. Proofs and checkpoints still hold afterwards, and queries tell
    /// where the entries are. Connects to the database itself, with the rights of the owner: give a configuration with the
    /// owner's database.url.
    Archive(ArchiveOptions),
}

#[derive(Debug, clap::Args)]
struct ArchiveOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Archive the months before this one, such as 2026-07 (UTC); the current month at the latest
    #[arg(long, value_name = "MONTH")]
    before: archive::Month,
    /// The folder to write to; each month gets a folder in it
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// What queries are to name in place of the folder, if the files move on to another place, such as s3://bucket/audit
    #[arg(long, value_name = "URL")]
    location: Option<String>,
    /// Drop the tables of the archived months, in place of keeping them detached
    #[arg(long)]
    drop: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration and print what is in force, with secrets hidden.
    Check(ConfigOptions),
}

#[derive(Debug, clap::Args)]
struct ConfigOptions {
    /// The configuration, a TOML file. The environment overrides it: SHAREWARDEN__DATABASE__URL is database.url.
    #[arg(long, value_name = "FILE", env = "SHAREWARDEN_CONFIG")]
    config: Option<PathBuf>,
    /// Override one key of the configuration, such as server.listen=127.0.0.1:0. May be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(run(arguments))
}

async fn run(Arguments { client, command }: Arguments) -> ExitCode {
    let result = match command {
        Command::Serve(options) => serve(options).await,
        #[cfg(feature = "dev")]
        Command::Dev(command) => develop(command).await,
        Command::Migrate(options) => migrate(options).await,
        Command::Config(ConfigCommand::Check(options)) => check(options),
        Command::Completions { shell } => {
            cli::completions(shell, &mut Arguments::command(), &mut io::stdout()).map_err(Into::into)
        }
        Command::Key(command) => return run_key(&client, command),
        Command::Client(command) => return run_client(client, command).await,
        Command::Audit(AuditCommands::Ask(command)) => return run_client(client, ClientCommand::Audit(command)).await,
        Command::Audit(AuditCommands::Archive(options)) => archive_months(options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&*error),
    }
}

type Failed = Box<dyn std::error::Error>;

/// Says what went wrong and why, on one line where that is possible.
fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("error: {}", with_causes(error));
    ExitCode::FAILURE
}

async fn run_client(options: ClientOptions, command: ClientCommand) -> ExitCode {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut console = console(&mut out, &mut notes);
    done(cli::run(&options, command, &mut console).await)
}

fn run_key(options: &ClientOptions, command: KeyCommand) -> ExitCode {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut console = console(&mut out, &mut notes);
    done(cli::key(options, command, &mut console))
}

fn console<'a>(out: &'a mut io::Stdout, notes: &'a mut io::Stderr) -> cli::Console<'a> {
    let progress = notes.is_terminal();
    cli::Console::new(out, notes)
        .with_width(cli::terminal_width())
        .with_unicode(cli::locale_is_utf8())
        .with_progress(progress)
}

fn done(result: Result<(), cli::Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn serve(options: ConfigOptions) -> Result<(), Failed> {
    let shutdown = server::shutdown_signal()?;
    let config = Config::load(options.config.as_deref(), &options.set)?;
    let telemetry = server::init_telemetry(&config)?;
    let result = serve_until(shutdown, &config, telemetry.metrics()).await;
    telemetry.end().await;
    result
}

async fn serve_until(shutdown: impl Future<Output = ()>, config: &Config, metrics: &Metrics) -> Result<(), Failed> {
    tokio::pin!(shutdown);
    let build = async {
        let listener = server::listen(config.server.listen).await?;
        let (credentials, clock) = (BaseCredentials::Environment, Clock::system());
        Server::build_measured(config, credentials, clock, listener, metrics).await
    };
    let server = tokio::select! {
        server = build => server?,
        () = &mut shutdown => return Ok(()),
    };
    server.warn_about_privileges().await?;
    let admin = server.admin_address().map(tracing::field::display);
    tracing::info!(address = %server.address(), admin, version = env!("CARGO_PKG_VERSION"), "serving");
    server.run(shutdown).await?;
    Ok(())
}

#[cfg(feature = "dev")]
async fn develop(command: DevCommand) -> Result<(), Failed> {
    let shutdown = server::shutdown_signal()?;
    dev::execute(command, &mut io::stdout(), &mut io::stderr(), shutdown).await?;
    Ok(())
}

async fn migrate(options: ConfigOptions) -> Result<(), Failed> {
    let config = Config::load(options.config.as_deref(), &options.set)?;
    let telemetry = server::init_telemetry(&without_readers(config.clone()))?;
    let migrated = server::migrate(&config).await;
    if migrated.is_ok() {
        tracing::info!("the schema is that of this version");
    }
    telemetry.end().await;
    Ok(migrated?)
}

async fn archive_months(options: ArchiveOptions) -> Result<(), Failed> {
    let config = Config::load(options.config.config.as_deref(), &options.config.set)?;
    let telemetry = server::init_telemetry(&without_readers(config.clone()))?;
    let archived = archive::Options {
        before: options.before,
        to: options.to,
        location: options.location,
        then: if options.drop {
            Detached::Dropped
        } else {
            Detached::Kept
        },
    };
    let mut months = 0;
    let done = server::archive(&config, &archived, |event| {
        months += u32::from(matches!(event, archive::Event::Archived { .. }));
        eprintln!("{event}");
    })
    .await;
    telemetry.end().await;
    done?;
    if months == 0 {
        eprintln!("there is no month before {} to archive", archived.before);
    }
    Ok(())
}

/// For a command that ends soon: it logs, and sends nothing to a collector.
fn without_readers(mut config: Config) -> Config {
    config.telemetry.otlp_endpoint = None;
    config.admin.listen = None;
    config
}

fn check(options: ConfigOptions) -> Result<(), Failed> {
    use io::Write;
    let config = Config::load(options.config.as_deref(), &options.set)?;
    io::stdout().write_all(config.to_toml()?.as_bytes())?;
    Ok(())
}
