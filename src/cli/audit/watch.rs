//! `audit watch`: prints entries as they are added, and reconnects after disconnects.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use tonic::{Code, Status, Streaming};

use super::watch_state::WatchState;
use crate::{
    cli::{
        connection::{AuditStub, Client},
        console::Console,
        failure::{Exit, Failure, Stop},
        options::ClientOptions,
        printer::Printer,
    },
    client::{Error, backoff},
    proto::v1::{
        AuditEntry, WatchAuditEntriesResponse, watch_audit_entries_request::Start, watch_audit_entries_response::Event,
    },
};

const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// The maximum of tries before the first watch has started. After that, the number of tries has no limit.
const MAX_INITIAL_TRIES: u32 = 3;

/// Arguments of `audit watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Only the ledger of this AWS account: 12 digits. May be given more than once [default: all, including new ones]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    /// Begin with the first entry [default: only entries that are added from now on]
    #[arg(long)]
    from_beginning: bool,
    /// Begin in this account's ledger at this index. May be given more than once
    #[arg(long, value_name = "ACCOUNT_ID:INDEX", value_parser = StartPosition::parse)]
    position: Vec<StartPosition>,
    /// Reconnect after this time without an entry or a heartbeat, with a unit. The service sends a heartbeat every 15 seconds
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = humantime::parse_duration)]
    silence: Duration,
    /// Stop after this number of entries: 1 or more [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// The index in a ledger at which to begin.
#[derive(Debug, Clone)]
pub struct StartPosition {
    account: String,
    next_index: u64,
}

impl StartPosition {
    fn parse(text: &str) -> Result<Self, String> {
        let (account, index) = text.split_once(':').ok_or("write it as in 111122223333:17")?;
        Ok(Self {
            account: account.to_owned(),
            next_index: index.parse().map_err(|_| "the index is not a number from 0")?,
        })
    }
}

pub(super) async fn watch(
    options: &ClientOptions,
    client: &Client,
    args: WatchArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let positions = positions(args.position)?;
    let start = if args.from_beginning {
        Start::Beginning
    } else {
        Start::Now
    };
    let mut session = WatchSession {
        client,
        state: WatchState::new(args.account, positions, start),
        printer: Printer::of_stream(options.output),
        limit: args.limit.unwrap_or(u64::MAX),
        silence: args.silence,
        failures: 0,
    };
    session.printer.begin(console)?;
    console.flush()?;
    tokio::select! {
        // Ctrl-C is the normal end of a watch, not a failure.
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = session.run(console) => ended,
    }
}

/// The start index of each account.
fn positions(given: Vec<StartPosition>) -> Result<BTreeMap<String, u64>, Failure> {
    let mut positions = BTreeMap::new();
    for StartPosition { account, next_index } in given {
        if let Some(other) = positions.insert(account.clone(), next_index) {
            let what = format!("--position names account {account} twice: {other} and {next_index}");
            return Err(Failure::new(Exit::Invalid, what, "name each account once"));
        }
    }
    Ok(positions)
}

struct WatchSession<'a> {
    client: &'a Client,
    state: WatchState,
    printer: Printer<AuditEntry>,
    limit: u64,
    silence: Duration,
    /// The number of failures since the last message.
    failures: u32,
}

/// Why a stream ended.
enum StreamEnd {
    /// The limit is reached.
    LimitReached,
    /// It broke, or the service ended it.
    Lost(Option<Error>),
}

impl WatchSession<'_> {
    async fn run(&mut self, console: &mut Console<'_>) -> Result<(), Stop> {
        loop {
            let end = match self.open().await {
                Ok(mut stream) => self.follow(&mut stream, console).await?,
                Err(error) => StreamEnd::Lost(Some(error)),
            };
            match end {
                StreamEnd::LimitReached => return Ok(()),
                StreamEnd::Lost(error) => self.pause(error, console).await?,
            }
        }
    }

    async fn open(&self) -> Result<Streaming<WatchAuditEntriesResponse>, Error> {
        self.client
            .stream(self.state.request(), async |mut stub: AuditStub, request| {
                stub.watch_audit_entries(request).await
            })
            .await
    }

    async fn follow(
        &mut self,
        stream: &mut Streaming<WatchAuditEntriesResponse>,
        console: &mut Console<'_>,
    ) -> Result<StreamEnd, Stop> {
        loop {
            let message = match tokio::time::timeout(self.silence, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ok(StreamEnd::Lost(None)),
                Ok(Err(status)) => return Ok(StreamEnd::Lost(Some(Error::from(&status)))),
                Err(_) => return Ok(StreamEnd::Lost(Some(Error::from(&silence_status(self.silence))))),
            };
            match message.event {
                // A start does not reset `failures`: a service that ends each watch at once must be retried with backoff.
                Some(Event::Started(started)) => self.state.started(started),
                Some(Event::Entries(new)) => {
                    self.failures = 0;
                    self.print(new.entries, console)?;
                }
                Some(Event::Heartbeat(_)) => self.failures = 0,
                None => {}
            }
            if self.printer.printed() >= self.limit {
                return Ok(StreamEnd::LimitReached);
            }
        }
    }

    fn print(&mut self, entries: Vec<AuditEntry>, console: &mut Console<'_>) -> Result<(), Stop> {
        let mut fresh = self.state.fresh(entries)?;
        let wanted = self.limit - self.printer.printed();
        fresh.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.printer.page(&fresh, console)
    }

    /// Waits before the next try. A permanent error ends the watch.
    async fn pause(&mut self, error: Option<Error>, console: &mut Console<'_>) -> Result<(), Stop> {
        self.failures += 1;
        let mut pause = backoff(self.failures).min(MAX_BACKOFF);
        let tries_are_over = !self.state.has_begun() && self.failures >= MAX_INITIAL_TRIES;
        if let Some(error) = error {
            if tries_are_over || is_permanent(error.code) {
                return Err(error.into());
            }
            pause = pause.max(error.retry_delay.unwrap_or_default());
            if self.failures == 1 {
                let failure = Failure::from(&error);
                console.note(format_args!("note: disconnected; reconnecting: {}", failure.what()));
            }
        } else if tries_are_over {
            return Err(super::show::invalid_response(
                "the service ended the watch before it began",
            ));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn silence_status(silence: Duration) -> Status {
    let silence = humantime::format_duration(silence);
    Status::unavailable(format!("no entry and no heartbeat arrived within {silence}"))
}

/// True if a retry cannot succeed.
fn is_permanent(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => false,
    }
}
