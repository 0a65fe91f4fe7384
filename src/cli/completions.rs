//! Completion for shells. A shell calls the program again for each completion, so that accounts, Regions, images and recipients
//! come from the service, and the names of contexts from their file.
//!
//! The user waits for it at a prompt. So it answers within a second with what it knows by then, says nothing about a failure, and
//! calls only a service that an option, a variable or a context names.

use std::{
    ffi::{OsStr, OsString},
    io,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use clap::{Arg, Command, FromArgMatches};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};

use super::{
    ClientOptions, Environment,
    connection::{self, AccessStub, Client, ShareStub},
    share,
};
use crate::{
    domain::{AccountId, ImageId, Region},
    proto::v1::{Account, ListAccountsRequest, ListImagesRequest},
};

/// The variable by which a shell asks for a completion.
const VARIABLE: &str = "SHAREWARDEN_COMPLETE";

/// How long a completion may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the script that makes `shell` complete the program.
pub fn completions(shell: Shell, command: &Command, out: &mut impl io::Write) -> io::Result<()> {
    let (name, shell) = (command.get_name(), shell.to_string());
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| io::Error::other("this shell has no completion"))?;
    completer.write_registration(VARIABLE, name, name, name, out)
}

/// Answers a shell that asks for a completion, and exits. Does nothing if none asks.
pub fn complete(command: fn() -> Command) {
    CompleteEnv::with_factory(move || with_completers(command(), command))
        .var(VARIABLE)
        .complete();
}

/// Finds candidates for the word that is being completed.
type Source = fn(&Line, &str) -> Vec<CompletionCandidate>;

/// Gives each argument that names something of the service its completer.
fn with_completers(command: Command, whole: fn() -> Command) -> Command {
    let command = command.mut_args(|arg: Arg| {
        let sources: &'static [Source] = match arg.get_id().as_str() {
            "account" => &[|line, _| line.accounts("")],
            "region" => &[|line, _| line.regions()],
            "image" => &[|line, _| line.images("")],
            "with" => &[|line, _| line.recipients()],
            "share" => &[Line::shares, Line::images_of_the_defaults],
            "context" | "context_name" => &[|line, _| line.contexts()],
            _ => return arg,
        };
        arg.add(ArgValueCompleter::new(move |current: &OsStr| {
            let current = current.to_str().map(str::to_owned);
            current.map_or_else(Vec::new, |current| found_in_time(whole, sources, current))
        }))
    });
    command.mut_subcommands(|command| with_completers(command, whole))
}

/// The candidates that the sources find in time. A thread asks them, because a file of the command line can block it for ever:
/// a pipe that nobody writes to. The thread ends with the process.
fn found_in_time(whole: fn() -> Command, sources: &'static [Source], current: String) -> Vec<CompletionCandidate> {
    let until = now() + TIMEOUT;
    let (sender, found) = mpsc::channel();
    thread::spawn(move || {
        let Some(line) = Line::read(whole(), until) else { return };
        for source in sources {
            let mut candidates = source(&line, &current);
            candidates.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&current));
            if sender.send(candidates).is_err() {
                return;
            }
        }
    });
    let mut candidates = Vec::new();
    while let Ok(more) = found.recv_timeout(until.saturating_duration_since(now())) {
        candidates.extend(more);
    }
    candidates
}

#[expect(
    clippy::disallowed_methods,
    reason = "a completion only measures how long its user waits"
)]
fn now() -> Instant {
    Instant::now()
}

/// The command line that is being completed, as far as it was typed.
struct Line {
    options: ClientOptions,
    account: Option<String>,
    region: Option<String>,
    /// When the user has waited long enough.
    until: Instant,
}

impl Line {
    fn read(command: Command, until: Instant) -> Option<Self> {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
        Self::parse(command, words, until)
    }

    fn parse(command: Command, words: impl Iterator<Item = OsString>, until: Instant) -> Option<Self> {
        // The line is not complete, so it may be wrong.
        let matches = command.ignore_errors(true).try_get_matches_from(words).ok()?;
        let options = ClientOptions::from_arg_matches(&matches).ok()?;
        let options = options.in_environment(Environment::of_process());
        let mut leaf = &matches;
        while let Some((_, next)) = leaf.subcommand() {
            leaf = next;
        }
        let text = |id: &str| leaf.try_get_one::<String>(id).ok().flatten().cloned();
        let (account, region) = share::place_in(leaf).unzip();
        Some(Self {
            account: text("account").or(account),
            region: text("region").or(region),
            options,
            until,
        })
    }

    fn contexts(&self) -> Vec<CompletionCandidate> {
        let file = self.options.context_file().unwrap_or_default();
        let names = file.contexts.into_iter();
        names.map(|context| CompletionCandidate::new(context.name)).collect()
    }

    /// The accounts, each followed by `end`.
    fn accounts(&self, end: &str) -> Vec<CompletionCandidate> {
        let accounts = self.ask(accounts).unwrap_or_default();
        let candidate = |account: Account| {
            let id: AccountId = account.account_id.parse().ok()?;
            Some(CompletionCandidate::new(format!("{id}{end}")).help(Some(account.regions.join(" ").into())))
        };
        accounts.into_iter().filter_map(candidate).collect()
    }

    /// The Regions of the account, or else of all accounts.
    fn regions(&self) -> Vec<CompletionCandidate> {
        let account = self.account();
        let accounts = self.ask(accounts).unwrap_or_default().into_iter();
        let accounts = accounts.filter(|found| account.as_ref().is_none_or(|id| *id == found.account_id));
        let mut regions: Vec<Region> = accounts
            .flat_map(|account| account.regions)
            .filter_map(|id| id.parse().ok())
            .collect();
        regions.sort();
        regions.dedup();
        regions
            .into_iter()
            .map(|id| CompletionCandidate::new(id.to_string()))
            .collect()
    }

    /// The accounts that the images of the account may be shared with.
    fn recipients(&self) -> Vec<CompletionCandidate> {
        let account = self.account();
        let accounts = self.ask(accounts).unwrap_or_default().into_iter();
        let accounts = accounts.filter(|found| account.as_ref().is_none_or(|id| *id == found.account_id));
        let recipients = accounts.flat_map(|account| account.recipients.unwrap_or_default().account_ids);
        let mut recipients: Vec<AccountId> = recipients.filter_map(|id| id.parse().ok()).collect();
        recipients.sort();
        recipients.dedup();
        recipients
            .into_iter()
            .map(|id| CompletionCandidate::new(id.to_string()))
            .collect()
    }

    /// The images of the account in the Region, each after `start`.
    fn images(&self, start: &str) -> Vec<CompletionCandidate> {
        let (Some(account_id), Some(region)) = (self.account(), self.region()) else {
            return Vec::new();
        };
        let request = ListImagesRequest {
            account_id,
            region,
            ..ListImagesRequest::default()
        };
        let images = self.ask(async |client| {
            let answer = client
                .call(client.deadline(), request, async |mut stub: ShareStub, request| {
                    stub.list_images(request).await
                })
                .await;
            Some(answer.ok()?.images)
        });
        let images = images.unwrap_or_default().into_iter();
        let candidate = |image: crate::proto::v1::Image| {
            let id: ImageId = image.image_id.parse().ok()?;
            let name = super::text::one_line(&image.name);
            Some(CompletionCandidate::new(format!("{start}{id}")).help(Some(name.into())))
        };
        images.filter_map(candidate).collect()
    }

    /// The next part of ACCOUNT/REGION/IMAGE.
    fn shares(&self, current: &str) -> Vec<CompletionCandidate> {
        let within = |account: &str, region: Option<&str>| Self {
            options: self.options.clone(),
            account: Some(account.to_owned()),
            region: region.map(str::to_owned),
            until: self.until,
        };
        match current.split('/').collect::<Vec<_>>()[..] {
            [account, _] => {
                let regions = within(account, None).regions().into_iter();
                let whole = |region: CompletionCandidate| {
                    CompletionCandidate::new(format!("{account}/{}/", region.get_value().to_string_lossy()))
                };
                regions.map(whole).collect()
            }
            [account, region, _] => within(account, Some(region)).images(&format!("{account}/{region}/")),
            [_] => self.accounts("/"),
            _ => Vec::new(),
        }
    }

    /// The images of the default account and Region, which need no slash.
    fn images_of_the_defaults(&self, current: &str) -> Vec<CompletionCandidate> {
        match current.contains('/') {
            true => Vec::new(),
            false => self.images(""),
        }
    }

    fn account(&self) -> Option<String> {
        self.in_context()?.account(self.account.clone()).ok()
    }

    fn region(&self) -> Option<String> {
        self.in_context()?.region(self.region.clone()).ok()
    }

    fn in_context(&self) -> Option<ClientOptions> {
        self.options.with_context().ok()
    }

    /// Asks the service, if it is named and there is time left. `None` after any failure.
    fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> Option<T>) -> Option<T> {
        let mut options = self.in_context().filter(ClientOptions::names_server)?;
        options.timeout = self
            .until
            .checked_duration_since(now())
            .filter(|left| !left.is_zero())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        runtime.block_on(async {
            let client = connection::open(&options).await.ok()?;
            question(client).await
        })
    }
}

/// The first page of accounts.
async fn accounts(client: Client) -> Option<Vec<Account>> {
    let request = ListAccountsRequest {
        page_size: 500,
        ..ListAccountsRequest::default()
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: AccessStub, request| {
            stub.list_accounts(request).await
        })
        .await;
    Some(answer.ok()?.accounts)
}
