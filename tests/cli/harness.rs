//! Runs a command line in the same way as the binary, and captures its outputs.

use std::collections::BTreeMap;

use clap::{Parser, Subcommand};
use serde_json::Value;
use sharewarden::cli::{self, AuditCommand, ClientCommand, ClientOptions, Console, Environment, Failure};

use crate::service::Service;

#[derive(Parser)]
#[command(name = "sharewarden")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: ClientOptions,
    #[command(subcommand)]
    command: Command,
}

/// The commands, nested in the same way as in the program.
#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Client(ClientCommand),
    #[command(subcommand)]
    Audit(AuditCommand),
}

impl Cli {
    pub(crate) fn into_command(self) -> ClientCommand {
        match self.command {
            Command::Client(command) => command,
            Command::Audit(command) => ClientCommand::Audit(command),
        }
    }
}

/// The outputs and the result of a command.
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) notes: String,
    pub(crate) result: Result<(), Failure>,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        if let Err(failure) = &self.result {
            panic!("{failure}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn failure(&self) -> (u8, String) {
        let failure = self.result.as_ref().unwrap_err();
        (failure.exit_code(), failure.to_string())
    }
}

pub(crate) const WHICH: &str =
    "--account 012345678901 --region eu-central-1 --image wsi-0123456789 --with 999999999999";

/// Splits a line into arguments. `_` stands for a space inside an argument.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('_', " ")).collect()
}

/// Parses a line. The default principal is `tester`, because the OS user may have no name.
pub(crate) fn parse(server: &str, line: &str) -> Cli {
    let principal = if line.contains("--principal") {
        ""
    } else {
        "--principal tester"
    };
    parse_all(&format!("--server {server} {principal} {line}"))
}

fn parse_all(line: &str) -> Cli {
    let words = ["sharewarden".to_owned()].into_iter().chain(words(line));
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a line on a terminal with this number of columns, without a pager.
pub(crate) async fn run_on_terminal(service: &Service, width: u16, line: &str) -> Ran {
    let cli = parse(&service.url(), line);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut notes)
        .with_width(Some(width))
        .with_unicode(true);
    let result = cli::run(&cli.options.clone(), cli.into_command(), &mut console).await;
    Ran {
        out: String::from_utf8(out).unwrap(),
        notes: String::from_utf8(notes).unwrap(),
        result,
    }
}

async fn run_parsed(cli: Cli) -> Ran {
    run_answering(cli, None).await
}

/// Runs a command on a terminal where somebody types this answer; `None` is no terminal.
pub(crate) async fn run_answering(cli: Cli, answer: Option<&'static str>) -> Ran {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let answers = answer.map(|answer| Box::new(answer.as_bytes()) as Box<dyn std::io::BufRead + Send>);
    let result = cli::run(
        &cli.options.clone(),
        cli.into_command(),
        &mut Console::new(&mut out, &mut notes).with_answers(answers),
    )
    .await;
    Ran {
        out: String::from_utf8(out).unwrap(),
        notes: String::from_utf8(notes).unwrap(),
        result,
    }
}

/// Runs arguments without splitting, because file names may have any characters.
pub(crate) async fn run_words(server: &str, words: &[&str]) -> Ran {
    let start = ["sharewarden", "--server", server, "--principal", "tester"];
    let cli = Cli::try_parse_from(start.iter().chain(words)).unwrap_or_else(|error| panic!("{error}"));
    run_parsed(cli).await
}

pub(crate) async fn run_at(server: &str, line: &str) -> Ran {
    run_parsed(parse(server, line)).await
}

/// The records of a CSV, each as an object without its empty values.
pub(crate) fn records(csv: &str) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records = reader
        .deserialize()
        .map(|record: Result<BTreeMap<String, String>, _>| record.unwrap());
    records
        .map(|record| record.into_iter().filter(|(_, value)| !value.is_empty()).collect())
        .collect()
}

pub(crate) async fn run(service: &Service, line: &str) -> Ran {
    run_at(&format!("http://{}", service.address), line).await
}

/// Runs a line in an environment with these variables.
pub(crate) async fn run_in(service: &Service, variables: &[(&str, &str)], line: &str) -> Ran {
    run_parsed(in_environment(parse(&service.url(), line), variables)).await
}

/// Runs a line in an environment with these variables, without a default server and a default principal.
pub(crate) async fn run_bare(variables: &[(&str, &str)], line: &str) -> Ran {
    run_parsed(in_environment(parse_all(line), variables)).await
}

fn in_environment(mut cli: Cli, variables: &[(&str, &str)]) -> Cli {
    let last = |name: &str| variables.iter().rfind(|(variable, _)| *variable == name);
    let environment = Environment::read(|name| last(name).map(|(_, value)| (*value).to_owned()));
    cli.options = cli.options.in_environment(environment);
    cli
}

/// Runs a line without a default principal.
pub(crate) async fn run_unnamed(service: &Service, line: &str) -> Ran {
    run_parsed(parse_all(&format!("--server http://{} {line}", service.address))).await
}
