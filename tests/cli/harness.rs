//! Runs a command line as the binary would, with its outputs caught.

use clap::Parser;
use sharewarden::cli::{self, ClientCommand, ClientOptions, Console, Failure};

use crate::service::Service;

#[derive(Parser)]
#[command(name = "sharewarden")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: ClientOptions,
    #[command(subcommand)]
    pub(crate) command: ClientCommand,
}

/// What a command printed, and how it ended.
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

/// The words of a line; `_` stands for a space inside of a word.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('_', " ")).collect()
}

pub(crate) fn parse(server: &str, line: &str) -> Cli {
    let start = ["sharewarden", "--server", server].map(str::to_owned);
    Cli::try_parse_from(start.into_iter().chain(words(line))).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn run_at(server: &str, line: &str) -> Ran {
    let Cli { options, command } = parse(server, line);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let result = cli::run(&options, command, &mut Console::new(&mut out, &mut notes)).await;
    Ran {
        out: String::from_utf8(out).unwrap(),
        notes: String::from_utf8(notes).unwrap(),
        result,
    }
}

pub(crate) async fn run(service: &Service, line: &str) -> Ran {
    run_at(&format!("http://{}", service.address), line).await
}
