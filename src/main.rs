//! The `sharewarden` program: parses the command line and runs the command.
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
#[cfg(feature = "dev")]
use sharewarden::dev::{self, DevCommand};
use sharewarden::{
    cli::{self, AuditCommand, ClientCommand, ClientOptions, KeyCommand, Output},
    clock::Clock,
    config::{Config, ConfigFile},
    domain::with_causes,
    maintenance::{ArchiveOptions, BoxError, ConfigCommand, ConfigOptions, ConfirmOptions, Maintenance, PolicyCommand},
    server::{self, Server},
    telemetry::Metrics,
    workspaces::BaseCredentials,
};

/// glibc's allocator is slow when several threads allocate and free many small strings at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.
#[derive(Debug, Parser)]
#[command(name = "sharewarden", version, max_term_width = 120, after_long_help = cli::EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    client: ClientOptions,
    #[command(subcommand)]
    command: ProgramCommand,
}

#[derive(Debug, Subcommand)]
enum ProgramCommand {
    /// Run the service, with the Postgres and the AWS accounts of the configuration
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden serve --config sharewarden.toml",
        "sharewarden serve --config sharewarden.toml --set server.listen=127.0.0.1:0",
    ]))]
    Serve(ConfigOptions),
    #[cfg(feature = "dev")]
    #[command(flatten)]
    Dev(DevCommand),
    /// Migrate the database schema to the version of this program
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden migrate --config sharewarden.toml",
        "sharewarden migrate --config sharewarden.toml --set database.url=postgres://owner@localhost/sharewarden",
    ]))]
    Migrate(ConfigOptions),
    /// End an upgrade: from now on, older versions may not use the database
    ///
    /// Run it when all replicas have the new version. Until then the replicas write only what the older version understands,
    /// and the older version can be run again. It is refused while a replica of an older version runs, and for a minute after
    /// one was killed. It needs the rights of the database's owner.
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden finalize --config sharewarden.toml",
        "sharewarden finalize --config sharewarden.toml --set database.url=postgres://owner@localhost/sharewarden",
    ]))]
    Finalize(ConfigOptions),
    /// Check and print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check, show, test, explain and replay the policies for grants and revokes, of files or of the service
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the script that makes a shell complete commands, accounts, Regions, images, recipients and contexts
    ///
    /// The shell then asks this program, and this program asks the service that an option, a variable or a context names.
    /// A completion takes at most a second. Make the folder of the script first, with `mkdir -p`. For zsh, name it in `fpath`
    /// before `compinit`.
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden completions bash > ~/.local/share/bash-completion/completions/sharewarden",
        "sharewarden completions zsh > ~/.zfunc/_sharewarden",
        "sharewarden completions fish > ~/.config/fish/completions/sharewarden.fish",
    ]))]
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands into a folder
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden man | man -l -",
        "sharewarden man --to ~/.local/share/man/man1",
    ]))]
    Man {
        /// Write one page for each command to this folder
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
    /// Explain the words of this program; `help concepts` does the same
    #[command(long_about = cli::CONCEPTS, help_template = "{about-with-newline}")]
    Concepts,
    /// Make and show the keys that sign checkpoints. Needs no service
    #[command(subcommand)]
    Key(KeyCommand),
    #[command(flatten)]
    Client(ClientCommand),
    /// Query, watch, summarise, export, verify and archive the audit history
    #[command(subcommand)]
    Audit(AuditCommands),
}

#[derive(Debug, Subcommand)]
enum AuditCommands {
    #[command(flatten)]
    Ask(AuditCommand),
    /// Move old months of the history from the database into verified files
    ///
    /// For each account and month it writes a compressed export and the checkpoint that covers it. It reads the exports back and
    /// verifies them. Only then it detaches the month's table. Proofs and checkpoints stay valid, and queries report where the
    /// entries are. The command connects to the database directly and needs the rights of its owner: give a configuration with
    /// the owner's database.url.
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden audit archive --config owner.toml --before 2026-07 --to /srv/audit",
        "sharewarden audit archive --config owner.toml --before 2026-07 --to /srv/audit --location s3://bucket/audit --drop",
    ]))]
    Archive(ArchiveOptions),
    /// Confirm a ledger that has entries and no checkpoint, so that it is signed
    ///
    /// A ledger whose checkpoints were all deleted, or whose first checkpoint was never signed, is not signed until an operator
    /// confirms its entries. Without --root-hash the command verifies the entries and prints the size and the root.
    /// Compare them with
    /// an export, a checkpoint or a log that is kept elsewhere. With --root-hash it records the confirmation in the ledger
    /// (`checkpoint.confirmed`) and signs a checkpoint. The command connects to the database directly, and needs the
    /// signing key: give
    /// the configuration of the service. Replicas that remember a checkpoint that contradicts the ledger refuse it
    /// until all replicas
    /// were stopped.
    #[command(after_long_help = cli::with_examples(&[
        "sharewarden audit confirm --config sharewarden.toml --account 111122223333",
        "sharewarden audit confirm --config sharewarden.toml --account 111122223333 --tree-size 17 --root-hash \"$ROOT\" \
         --operator alice --reason 'restored from a backup'",
    ]))]
    Confirm(ConfirmOptions),
}

/// The command line of the program.
fn command_line() -> clap::Command {
    let command = cli::arrange_help(Arguments::command());
    #[cfg(feature = "dev")]
    let command = [
        (
            "dev",
            ["sharewarden dev", "sharewarden dev --ephemeral --listen 127.0.0.1:0"],
        ),
        (
            "simulate",
            ["sharewarden simulate", "sharewarden simulate --listen 127.0.0.1:0"],
        ),
    ]
    .into_iter()
    .fold(command, |command, (name, examples)| {
        command.mut_subcommand(name, |dev| dev.after_long_help(cli::with_examples(&examples)))
    });
    command
}

fn main() -> ExitCode {
    cli::complete(command_line);
    let mut command = cli::without_empty_variables(command_line());
    if std::env::args_os().any(|arg| arg == "--help" || arg == "-h" || arg == "help") {
        command = cli::with_compact_help(command);
    }
    let matches = command.try_get_matches();
    let arguments = matches.and_then(|matches| {
        cli::refuse_client_options(&mut command_line(), &matches)?;
        Arguments::from_arg_matches(&matches)
    });
    let arguments = arguments.unwrap_or_else(|error| refuse_usage(&error));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error, arguments.client.output()),
    };
    runtime.block_on(run(arguments))
}

/// Prints help, a version or an error, and exits.
fn refuse_usage(error: &clap::Error) -> ! {
    if !error.use_stderr() || !cli::wants_json(std::env::args_os()) {
        error.exit();
    }
    let failure = cli::usage_failure(error);
    note(cli::failure_in_json(&failure));
    std::process::exit(failure.exit_code().into())
}

async fn run(Arguments { client, command }: Arguments) -> ExitCode {
    let client = client.in_environment(cli::Environment::of_process());
    let output = client.output();
    if let (Output::Csv, false) = (
        output,
        matches!(
            command,
            ProgramCommand::Client(_) | ProgramCommand::Audit(AuditCommands::Ask(_))
        ),
    ) {
        return exit_code(Err(cli::no_csv_form()), output);
    }
    let result = match command {
        ProgramCommand::Serve(options) => serve(options).await,
        #[cfg(feature = "dev")]
        ProgramCommand::Dev(command) => develop(command).await,
        ProgramCommand::Migrate(options) => maintain(Maintenance::Migrate(options), output).await,
        ProgramCommand::Finalize(options) => maintain(Maintenance::Finalize(options), output).await,
        ProgramCommand::Config(command) => maintain(Maintenance::Config(command), output).await,
        ProgramCommand::Policy(command) => return run_policy(command, client, output).await,
        ProgramCommand::Completions { shell } => {
            cli::completions(shell, &command_line(), &mut io::stdout()).map_err(Into::into)
        }
        ProgramCommand::Man { to } => cli::manual(command_line(), to.as_deref(), &mut io::stdout()).map_err(Into::into),
        ProgramCommand::Concepts => print_concepts(),
        ProgramCommand::Key(command) => return run_key(&client, command),
        ProgramCommand::Client(command) => return run_client(client, command).await,
        ProgramCommand::Audit(AuditCommands::Ask(command)) => {
            return run_client(client, ClientCommand::Audit(command)).await;
        }
        ProgramCommand::Audit(AuditCommands::Archive(options)) => maintain(Maintenance::Archive(options), output).await,
        ProgramCommand::Audit(AuditCommands::Confirm(options)) => maintain(Maintenance::Confirm(options), output).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed its output, such as `| head`.
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => print_error(&*error, output),
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error with its causes.
fn print_error(error: &(dyn std::error::Error + 'static), output: Output) -> ExitCode {
    match output {
        Output::Json => note(cli::failure_in_json(&cli::Failure::local(&with_causes(error)))),
        Output::Table | Output::Csv => note(format_args!("error: {}", with_causes(error))),
    }
    ExitCode::FAILURE
}

/// Prints a line on standard error. A closed standard error changes nothing: `eprintln!` would panic.
fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

async fn run_client(options: ClientOptions, command: ClientCommand) -> ExitCode {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut console = console(&mut out, &mut notes);
    exit_code(cli::run(&options, command, &mut console).await, options.output())
}

fn run_key(options: &ClientOptions, command: KeyCommand) -> ExitCode {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut console = console(&mut out, &mut notes);
    exit_code(cli::key(options, command, &mut console), options.output())
}

fn console<'a>(out: &'a mut io::Stdout, notes: &'a mut io::Stderr) -> cli::Console<'a> {
    let progress = notes.is_terminal();
    let stdin = io::stdin();
    let answers: Option<Box<dyn io::BufRead + Send>> = match progress && stdin.is_terminal() {
        true => Some(Box::new(io::BufReader::new(stdin))),
        false => None,
    };
    cli::Console::new(out, notes)
        .with_width(cli::terminal_width())
        .with_unicode(cli::locale_is_utf8())
        .with_color(cli::colors_stdout())
        .with_pager(cli::terminal_width().and_then(|_| cli::pager()))
        .with_progress(progress)
        .with_answers(answers)
}

fn exit_code(result: Result<(), cli::Failure>, output: Output) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match output {
                Output::Json => note(cli::failure_in_json(&failure)),
                Output::Table | Output::Csv => note(format_args!("error: {failure}")),
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn maintain(command: Maintenance, output: Output) -> Result<(), BoxError> {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    command.run(output, &console(&mut out, &mut notes)).await
}

async fn run_policy(command: PolicyCommand, client: ClientOptions, output: Output) -> ExitCode {
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let console = console(&mut out, &mut notes).with_display(&client);
    let ran = Maintenance::Policy(command, Box::new(client))
        .run(output, &console)
        .await;
    match ran.map_err(|error| error.downcast::<cli::Failure>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ok(failure)) => exit_code(Err(*failure), output),
        Err(Err(error)) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(Err(error)) => print_error(&*error, output),
    }
}

async fn serve(options: ConfigOptions) -> Result<(), BoxError> {
    let shutdown = server::shutdown_signal()?;
    let (config, file) = options.load_for_service()?;
    let telemetry = server::init_telemetry(&config)?;
    let result = serve_until(shutdown, &config, file, telemetry.metrics()).await;
    telemetry.end().await;
    result
}

async fn serve_until(
    shutdown: impl Future<Output = ()>,
    config: &Config,
    file: Option<ConfigFile>,
    metrics: &Metrics,
) -> Result<(), BoxError> {
    tokio::pin!(shutdown);
    let build = async {
        let clock = Clock::system();
        loop {
            server::wait_for_store(config, &clock, metrics).await?;
            let (listener, credentials) = (
                server::listen(config.server.listen).await?,
                BaseCredentials::Environment,
            );
            match Server::build_measured(config, credentials, clock.clone(), listener, metrics).await {
                Err(error) if error.is_store_away() => {}
                built => return built,
            }
        }
    };
    let server = tokio::select! {
        server = build => server?.with_config_file(file),
        () = &mut shutdown => return Ok(()),
    };
    server.warn_about_privileges().await;
    let admin = server.admin_address().map(tracing::field::display);
    tracing::info!(address = %server.address(), admin, version = env!("CARGO_PKG_VERSION"), "serving");
    server.run(shutdown).await?;
    Ok(())
}

/// Prints what `help concepts` prints.
fn print_concepts() -> Result<(), BoxError> {
    let mut command = command_line();
    let concepts = command
        .find_subcommand_mut("concepts")
        .map(clap::Command::render_long_help);
    Ok(write!(io::stdout(), "{}", concepts.unwrap_or_default())?)
}

#[cfg(feature = "dev")]
async fn develop(command: DevCommand) -> Result<(), BoxError> {
    let shutdown = server::shutdown_signal()?;
    dev::execute(command, &mut io::stdout(), &mut io::stderr(), shutdown).await?;
    Ok(())
}
