//! Jobs: many grants or revokes with one command. First a table of what will happen and a question, then the changes, then a
//! result for each share. The work is in [`crate::client::job`], which any program can use.
//!
//! Read `shares_file` for `grant --from-file` and `adopt` for `adopt`, then `row` for what is printed.

mod adopt;
mod row;
mod shares_file;

use std::{collections::BTreeSet, fmt::Display, io, path::Path, str::FromStr};

use clap::Args;
use tokio::{signal::unix::SignalKind, sync::oneshot};

use super::{
    args::{GrantRevokeArgs, RevokeArgs},
    connection::{self, Client},
    console::Console,
    ends::EndArgs,
    error_hint,
    failure::{Exit, Failure, Stop},
    held_signals::HeldSignal,
    options::{ClientOptions, Output},
    printer::{ListItem, Printer},
    progress::ProgressMeter,
    share::missing_image,
    table::{self, Fit},
};
use crate::{
    client::job::{JobAction, JobChange, Report, ShareJob, ShareSelection, Step, StepEnd, Verdict},
    domain::{AccountId, ImageId, Region},
    proto::v1::RevokeSharePermissionRequest,
};
pub use adopt::AdoptArgs;
use adopt::FoundShares;
pub(super) use adopt::adopt;
use row::JobRow;
use shares_file::FileDefaults;

/// Rows of the table above the question. `--dry-run` shows all.
const SHOWN_ROWS: usize = 30;

/// Errors below a table, and warnings.
const SHOWN_ERRORS: usize = 5;

const AGAIN: &str = "run the same command again: it does what is left, and no change takes effect twice";

const SOLVE: &str = "solve the causes before you run the command again";

const LEFT: &str = "the others stay differences between AWS and the ledger: `sharewarden drift list` shows them";

/// The options of a job.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Only show what the job would do; change nothing
    #[arg(long, requires = "job", conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask before the job begins
    #[arg(long, requires = "job")]
    yes: bool,
}

/// `grant --from-file`. The whole file is checked before the service is called.
pub(super) async fn grant(
    options: &ClientOptions,
    file: &Path,
    (one, end): (&GrantRevokeArgs, &EndArgs),
    args: &JobArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    args.check(console)?;
    let options = &options.with_context()?;
    let given = one.permission.given()?;
    let defaults = FileDefaults {
        account: id_of("--account", given.account)?.or(options.default_account()?),
        region: id_of("--region", given.region)?.or(options.default_region()?),
        end: end.end(),
    };
    let shares = shares_file::read(file, defaults)?;
    if shares.repeated > 0 {
        console.note(format_args!(
            "note: {} rows repeat another row, and count once",
            shares.repeated
        ));
    }
    let client = open(options, console).await?;
    run(options, &client, (JobKind::Changes, shares.grants), args, console).await
}

/// `revoke --all-recipients` and `revoke --all-images`. The default account and Region do not narrow the job: a share that is
/// left out by accident would stay.
pub(super) async fn revoke(options: &ClientOptions, args: &RevokeArgs, console: &mut Console<'_>) -> Result<(), Stop> {
    args.job.check(console)?;
    let options = &options.with_context()?;
    let given = args.one.permission.given()?;
    if args.all_recipients && given.image.is_none() {
        return Err(missing_image().into());
    }
    let filter = ShareSelection {
        account_id: checked::<AccountId>("--account", given.account)?,
        region: checked::<Region>("--region", given.region)?,
        image_id: checked::<ImageId>("--image", given.image)?,
        shared_account_id: checked::<AccountId>("--with", given.with)?,
    };
    let client = open(options, console).await?;
    let RevokeSharePermissionRequest { reason, ticket, .. } = (&args.one.justification).into();
    let revoke = |share| JobChange {
        action: JobAction::Revoke,
        share,
        reason: reason.clone(),
        ticket: ticket.clone(),
        end: None,
    };
    let changes = client.shares(filter).await?.into_iter().map(revoke).collect();
    run(options, &client, (JobKind::Changes, changes), &args.job, console).await
}

/// Connects, and says what the job waits for.
async fn open(options: &ClientOptions, console: &mut Console<'_>) -> Result<Client, Failure> {
    console.wait_for(options.waiting_text());
    let client = connection::open(options).await?;
    console.watch_silence(client.silence());
    Ok(client)
}

/// An id that selects shares. `--with "$PARTNER"` is empty if the variable is not set.
fn checked<T: FromStr<Err: Display> + Display>(option: &str, id: Option<String>) -> Result<Option<String>, Failure> {
    Ok(id_of::<T>(option, id)?.map(|id| id.to_string()))
}

/// The id that an option gives.
fn id_of<T: FromStr<Err: Display>>(option: &str, id: Option<String>) -> Result<Option<T>, Failure> {
    let parsed = id.map(|id| id.parse().map_err(|rule| format!("{option}: {rule}")));
    let wrong = |what| Failure::new(Exit::Invalid, what, "correct it; nothing was sent");
    parsed.transpose().map_err(wrong)
}

impl JobArgs {
    /// Fails if the job must be confirmed and nobody can do it.
    fn check(&self, console: &Console<'_>) -> Result<(), Failure> {
        if self.dry_run || self.yes || console.can_ask() {
            return Ok(());
        }
        let what = "a job asks before it begins, and there is no terminal to ask on; nothing was sent";
        Err(Failure::new(
            Exit::Invalid,
            what,
            "see what it would do with --dry-run, then give --yes",
        ))
    }
}

/// What a job is for.
enum JobKind {
    /// Grants or revokes that somebody asks for.
    Changes,
    /// Adoptions. What is left then is a difference between AWS and the ledger.
    Adoption(FoundShares),
}

impl JobKind {
    /// The rows, with what is told of jobs of this kind only.
    fn rows(&self, mut rows: Vec<(JobRow, Option<Exit>)>, job: &ShareJob) -> Vec<(JobRow, Option<Exit>)> {
        if let Self::Adoption(found) = self {
            for ((row, _), step) in rows.iter_mut().zip(job.steps()) {
                let found = found.get(&step.change.share);
                row.first_seen_time = found.and_then(|found| found.first_seen_time);
                row.event = found.and_then(|found| found.event.clone());
            }
        }
        rows
    }

    /// The exit code and the hint of a job in which something is left to do or to solve.
    fn left(&self, worst: Exit, may_end_otherwise: bool) -> (Exit, &'static str) {
        let exit = match (self, worst) {
            (Self::Changes, _) | (Self::Adoption(_), Exit::TryLater | Exit::Pending) => worst,
            (Self::Adoption(_), _) => Exit::Drift,
        };
        let hint = match self {
            _ if may_end_otherwise => AGAIN,
            Self::Changes => SOLVE,
            Self::Adoption(_) => LEFT,
        };
        (exit, hint)
    }
}

/// Plans the job, asks, makes the changes and prints the results.
async fn run(
    options: &ClientOptions,
    client: &Client,
    (kind, changes): (JobKind, Vec<JobChange>),
    args: &JobArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let job = plan(client, changes, console).await?;
    let to_send = job
        .steps()
        .iter()
        .filter(|step| matches!(step.verdict, Verdict::Send))
        .count();
    if args.dry_run {
        let rows = kind.rows(JobRow::planned(&job), &job);
        let exit = row::worst(rows.iter().filter_map(|(_, exit)| *exit));
        print(options, rows, console)?;
        console.note(format_args!("note: {} (--dry-run: nothing was sent)", summary(&job)));
        return exit.map_or(Ok(()), |exit| Err(refused(kind.left(exit, false).0).into()));
    }
    if to_send > 0 && !args.yes {
        confirm(&kind, &job, console)?;
    }
    let report = perform(client, &job, to_send, console).await?;
    conclude(options, &kind, (&job, &report), console)
}

async fn plan(client: &Client, changes: Vec<JobChange>, console: &Console<'_>) -> Result<ShareJob, Stop> {
    let meter = ProgressMeter::of(console, "checking", "shares");
    meter.total(changes.len() as u64);
    Ok(ShareJob::plan(client, changes, |checked| meter.done(checked as u64)).await?)
}

/// Shows the beginning of the plan, and asks.
fn confirm(kind: &JobKind, job: &ShareJob, console: &mut Console<'_>) -> Result<(), Stop> {
    let rows = kind.rows(JobRow::planned(job), job);
    let shown: Vec<_> = rows.iter().take(SHOWN_ROWS).map(|(row, _)| row.row()).collect();
    let fit = Fit::Columns(JobRow::DISPENSABLE);
    let text = table::list(&shown, fit, console.view()).text;
    console.note(text.trim_end());
    let warned = rows.iter().map(|(row, _)| row).filter(|row| row.error().is_none());
    tell_in_full(warned, console);
    if let Some(more) = rows.len().checked_sub(SHOWN_ROWS).filter(|more| *more > 0) {
        console.note(format_args!("… and {more} more; --dry-run shows all"));
    }
    if console.ask(format_args!("{}. Go on? [y/N] ", summary(job)))? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::General,
        "not confirmed; nothing was sent",
        "answer y to begin the job",
    )
    .into())
}

/// Makes the changes. The first interrupt stops the job after the calls that are out, the second one at once.
async fn perform(client: &Client, job: &ShareJob, to_send: usize, console: &mut Console<'_>) -> Result<Report, Stop> {
    let hold = |kind| HeldSignal::new(kind).map_err(|error| deaf(&error));
    let (mut interrupt, mut terminate) = (hold(SignalKind::interrupt())?, hold(SignalKind::terminate())?);
    let meter = ProgressMeter::of(console, "working", "shares");
    meter.total(to_send as u64);
    let mut ended = 0;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let asked = async {
        // The sender is kept until the job has ended, so this is ready only when it was used.
        let _ = stopped.await;
    };
    let mut running = std::pin::pin!(job.run(client, asked, |_| {
        ended += 1;
        meter.done(ended);
    }));
    loop {
        let interrupted = async {
            tokio::select! {
                () = interrupt.next() => (),
                () = terminate.next() => (),
            }
        };
        tokio::select! {
            report = &mut running => return Ok(report),
            () = interrupted => match stop.take() {
                Some(stop) => {
                    // The job has ended if nobody receives this.
                    let _ = stop.send(());
                    meter.note(console, "note: stopping: no further change is sent; interrupt again to leave the open calls, too");
                }
                None => {
                    let what = "left before the open calls had an answer; changes that the service accepted go on";
                    return Err(Failure::new(Exit::TryLater, what, AGAIN).into());
                }
            },
        }
    }
}

fn deaf(error: &io::Error) -> Failure {
    let what = format!("cannot listen for Ctrl-C: {error}");
    Failure::new(Exit::General, what, "nothing was sent; run the command again")
}

fn conclude(
    options: &ClientOptions,
    kind: &JobKind,
    (job, report): (&ShareJob, &Report),
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let rows = kind.rows(JobRow::ended(job, &report.endings), job);
    let exit = row::worst(rows.iter().filter_map(|(_, exit)| *exit));
    let printed = print(options, rows, console);
    let count = |is: fn(&StepEnd) -> bool| report.endings.iter().filter(|ending| is(ending)).count();
    let is_refused = |step: &&Step| matches!(step.verdict, Verdict::Refused(_));
    let refused = job.steps().iter().filter(is_refused).count();
    let counts = [
        (count(|it| matches!(it, StepEnd::Succeeded(_))), "succeeded"),
        (count(|it| matches!(it, StepEnd::Unchanged)), "unchanged"),
        (refused, "refused"),
        (count(|it| matches!(it, StepEnd::Failed(_))) - refused, "failed"),
        (
            count(|it| matches!(it, StepEnd::Unresolved(_))),
            "without a known outcome",
        ),
        (count(|it| matches!(it, StepEnd::NotSent)), "not sent"),
    ];
    // A refusal comes again.
    let again = report.is_stopped || rows_that_may_end_otherwise(&report.endings);
    let told = tell(report.endings.len(), &counts);
    let Some(exit) = exit else {
        console.note(format_args!("note: {told}"));
        return printed;
    };
    let what = if report.is_stopped {
        format!("the job stopped early: {told}")
    } else {
        told
    };
    let (exit, hint) = kind.left(exit, again);
    Err(Failure::new(exit, what, hint).into())
}

/// True if the same command may end otherwise, without anything else done before.
fn rows_that_may_end_otherwise(endings: &[StepEnd]) -> bool {
    endings.iter().any(|ending| match ending {
        StepEnd::Unresolved(_) | StepEnd::NotSent => true,
        StepEnd::Failed(error) => error_hint::of(error).exit == Exit::TryLater,
        StepEnd::Succeeded(_) | StepEnd::Unchanged => false,
    })
}

/// What the job will do, in one line.
fn summary(job: &ShareJob) -> String {
    let count = |is: fn(&Verdict) -> bool| job.steps().iter().filter(|step| is(&step.verdict)).count();
    let counts = [
        (count(|it| matches!(it, Verdict::Send)), "to change"),
        (count(|it| matches!(it, Verdict::Unchanged)), "unchanged"),
        (count(|it| matches!(it, Verdict::Refused(_))), "refused"),
    ];
    tell(job.steps().len(), &counts)
}

/// `5 shares: 3 succeeded, 2 failed`.
fn tell(all: usize, counts: &[(usize, &str)]) -> String {
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    match all {
        0 => "there are no such shares".to_owned(),
        1 => format!("1 share: {}", parts.join(", ")),
        all => format!("{all} shares: {}", parts.join(", ")),
    }
}

/// Tells the errors and the findings in full, each once: the table cuts them.
fn tell_in_full<'a>(rows: impl Iterator<Item = &'a JobRow> + Clone, console: &mut Console<'_>) {
    let errors = rows
        .clone()
        .filter_map(JobRow::error)
        .map(|error| format!("note: {error}"));
    tell_each_once(errors.collect(), "errors", console);
    let findings = rows
        .flat_map(JobRow::findings)
        .map(|finding| format!("warning: {finding}"));
    tell_each_once(findings.collect(), "warnings", console);
}

fn tell_each_once(texts: BTreeSet<String>, what: &str, console: &mut Console<'_>) {
    let count = texts.len();
    for text in texts.into_iter().take(SHOWN_ERRORS) {
        console.note(text);
    }
    if count > SHOWN_ERRORS {
        let more = count - SHOWN_ERRORS;
        console.note(format_args!("note: … and {more} more {what}; -o json has all"));
    }
}

fn refused(exit: Exit) -> Failure {
    let what = "the service would refuse some of these changes";
    Failure::new(exit, what, "the job would make the others")
}

/// Prints the rows on standard output.
fn print(options: &ClientOptions, rows: Vec<(JobRow, Option<Exit>)>, console: &mut Console<'_>) -> Result<(), Stop> {
    let rows: Vec<_> = rows.into_iter().map(|(row, _)| row).collect();
    let mut printer = Printer::of_list(options.output);
    if options.output == Output::Table && console.view().width.is_some() {
        printer.whole(&rows, console)?;
        tell_in_full(rows.iter(), console);
        return Ok(());
    }
    printer.begin(console)?;
    printer.page(&rows, console)?;
    printer.end(None, console)?;
    Ok(())
}
