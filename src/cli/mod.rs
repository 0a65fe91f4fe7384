//! The client commands of `sharewarden`: grant, revoke, get, why, list, change, images, audit, checkpoint and health. They use
//! only gRPC, and verify the answers of the audit history with `ledger`.
//!
//! Read `options`, `share` and `args` for the command line, then one command (`grant_revoke` has the most). `connection` opens a
//! client of the package `sharewarden-client`, which makes the calls. `console`, `table`, `cell`, `render` and `format` print
//! answers, for the `view` that the output has; `pages`, `printer` and `pager` print lists. `help` arranges the help.
//! `error_hint` says what to do about an error of a call, `failure` makes the line and the exit code, and `failure_json` the form
//! for programs. `diagnosis` finds out why the service cannot be talked to, and `live_line` shows what a pending change waits
//! for. `policy_service` is what the commands about policies ask. `jobs` makes many grants or revokes with one command. `audit`
//! has the commands of the audit history.

mod access;
mod args;
pub mod audit;
mod cell;
mod changes;
mod cloud_trail;
mod command_line;
mod completions;
mod connection;
mod console;
mod context;
mod diagnosis;
mod drift;
mod ends;
mod environment;
mod error_hint;
mod failure;
mod failure_json;
mod findings;
mod format;
mod given;
mod grant_revoke;
mod health;
mod held_signals;
mod help;
mod images;
mod jobs;
mod json;
mod justification;
mod list;
mod list_args;
mod live_line;
mod manual;
mod options;
mod pager;
mod pages;
mod policy_service;
mod printer;
mod progress;
mod read;
mod render;
mod share;
mod spreadsheet;
mod table;
mod text;
mod view;
mod wait;

use args::refuse_csv;
pub use args::{
    ChangeArgs, ChangeCommand, ClientCommand, GrantArgs, GrantRevokeArgs, ListArgs, RevokeArgs, ShareFilterArgs,
    StateFilter, no_csv_form,
};
pub use audit::{AuditCommand, KeyCommand, LineReader, WhyArgs, key};
pub use cell::{Cell, TableRow};
pub use changes::{ChangeStateFilter, ChangesArgs};
pub use completions::{complete, completions};
pub use console::{Console, colors_stdout, locale_is_utf8, terminal_width};
pub use context::{ContextCommand, SetContextArgs};
pub use drift::{
    BaselineAccount, BaselineArgs, BaselineCommand, DriftAdoptArgs, DriftCommand, DriftListArgs, DriftScanArgs,
};
pub use ends::EndArgs;
pub use environment::Environment;
use failure::Stop;
pub use failure::{EXIT_CODES, Exit, Failure};
pub use failure_json::{failure_in_json, usage_failure, wants_json};
pub use health::HealthArgs;
pub use help::{CONCEPTS, arrange_help, refuse_client_options, with_compact_help, with_examples};
pub use images::ImagesArgs;
pub use jobs::{AdoptArgs, JobArgs};
pub use list_args::TableArgs;
pub use manual::manual;
pub use options::{ClientOptions, Output, without_empty_variables};
pub use pager::pager;
pub use pages::PageArgs;
pub use policy_service::{NearMiss, PolicyRequest, PolicyService, ToldDecision, ToldPolicy};
pub use progress::ProgressMeter;
pub use share::{ImageName, PermissionName};
pub use text::{lines as escaped_lines, one_line as escaped_line};
pub use view::DisplayArgs;

/// Runs one client command: calls the service, and prints the answer.
///
/// A reader that closes the output early (`| head`) is not a failure.
pub async fn run(options: &ClientOptions, command: ClientCommand, console: &mut Console<'_>) -> Result<(), Failure> {
    match perform(options, command, console).await {
        Ok(()) | Err(Stop::OutputClosed) => Ok(()),
        Err(Stop::Failed(failure)) => {
            console.end_waiting();
            let options = options.with_context().unwrap_or_else(|_| options.clone());
            Err(diagnosis::explain(&options, failure).await)
        }
    }
}

async fn perform(options: &ClientOptions, command: ClientCommand, console: &mut Console<'_>) -> Result<(), Stop> {
    console.set_display(&options.display);
    if options.output == Output::Csv {
        refuse_csv(&command)?;
    }
    match command {
        ClientCommand::Health(args) => health::health(&options.with_context()?, args, console).await?,
        ClientCommand::Context(command) => context::run(options, command, console)?,
        ClientCommand::Audit(AuditCommand::Verify(args)) if args.is_offline() => {
            audit::verify_export(options, args, console)?;
        }
        ClientCommand::Grant(GrantArgs {
            from_file: Some(file),
            job,
            one,
            end,
        }) => jobs::grant(options, &file, (&one, &end), &job, console).await?,
        ClientCommand::Revoke(args) if args.all_recipients || args.all_images => {
            jobs::revoke(options, &args, console).await?;
        }
        ClientCommand::Adopt(args) => jobs::adopt(options, args, console).await?,
        command => ask(options, command, console).await?,
    }
    console.flush()
}

async fn ask(options: &ClientOptions, command: ClientCommand, console: &mut Console<'_>) -> Result<(), Stop> {
    let options = &options.with_context()?;
    console.wait_for(options.waiting_text());
    let client = connection::open(options).await?;
    console.watch_silence(client.silence());
    match command {
        ClientCommand::Grant(args) => {
            grant_revoke::grant(
                options,
                &client,
                grant_revoke::GrantVerb::Grant,
                args.one,
                args.end,
                console,
            )
            .await
        }
        ClientCommand::Revoke(args) => grant_revoke::revoke(options, &client, args.one, console).await,
        ClientCommand::Get(args) => read::get(options, &client, args, console).await,
        ClientCommand::Why(args) => audit::why(options, &client, args, console).await,
        ClientCommand::List(args) => list::list(options, &client, args, console).await,
        ClientCommand::Change(ChangeCommand::List(args)) => changes::changes(options, &client, args, console).await,
        ClientCommand::Change(ChangeCommand::Show(args)) => read::change(options, &client, args, console).await,
        ClientCommand::Images(args) => images::images(options, &client, args, console).await,
        ClientCommand::Drift(command) => drift::run(options, &client, command, console).await,
        ClientCommand::Whoami => access::whoami(options, &client, console).await,
        ClientCommand::Accounts(args) => access::accounts(options, &client, &args, console).await,
        ClientCommand::Audit(command) => audit::run(options, &client, command, console).await,
        ClientCommand::Checkpoint(args) => audit::checkpoint(options, &client, args, console).await,
        ClientCommand::Adopt(args) => jobs::adopt(options, args, console).await,
        // `perform` has handled them, without credentials.
        ClientCommand::Health(args) => health::health(options, args, console).await,
        ClientCommand::Context(command) => context::run(options, command, console),
    }
}
