//! `grant` and `revoke`: one change, that can be repeated safely and followed if it takes long.

use uuid::Uuid;

use super::advice::{self, Next};
use super::args::GrantRevokeArgs;
use super::connection::{Client, Connection};
use super::console::Console;
use super::failure::{Failure, Stop};
use super::fault::Fault;
use super::options::{ClientOptions, Output};
use super::{command_line, render};
use crate::proto::v1::{Change, GrantSharePermissionRequest, RevokeSharePermissionRequest, SharePermission};

const REPLAYED: &str = "note: this request id was answered before; nothing was done again";
const JOINED: &str =
    "note: another request had asked for the same, and its change was under way; this request joined it";
const VALID: &str = "note: the request is valid and permitted; nothing was changed (--validate-only)";

pub(super) async fn grant(
    options: &ClientOptions,
    connection: &Connection,
    args: GrantRevokeArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request_id = request_id(&args);
    let name = args.permission.clone();
    let request = GrantSharePermissionRequest {
        account_id: name.account,
        region: name.region,
        image_id: name.image,
        shared_account_id: name.with,
        request_id: request_id.clone(),
        validate_only: args.validate_only,
        ..(&args.justification).into()
    };
    let answer = connection
        .call(connection.deadline(), request, async |mut client: Client, request| {
            client.grant_share_permission(request).await
        })
        .await
        .map_err(|fault| explain(&fault, "grant", options, &args, &request_id))?;
    if options.output == Output::Json {
        return console.print_json(&answer);
    }
    print(console, answer.permission.as_ref(), answer.change.as_ref())?;
    notes(console, &args, answer.replayed, answer.joined);
    Ok(())
}

pub(super) async fn revoke(
    options: &ClientOptions,
    connection: &Connection,
    args: GrantRevokeArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request_id = request_id(&args);
    let name = args.permission.clone();
    let request = RevokeSharePermissionRequest {
        account_id: name.account,
        region: name.region,
        image_id: name.image,
        shared_account_id: name.with,
        request_id: request_id.clone(),
        validate_only: args.validate_only,
        ..(&args.justification).into()
    };
    let answer = connection
        .call(connection.deadline(), request, async |mut client: Client, request| {
            client.revoke_share_permission(request).await
        })
        .await
        .map_err(|fault| explain(&fault, "revoke", options, &args, &request_id))?;
    if options.output == Output::Json {
        return console.print_json(&answer);
    }
    print(console, answer.permission.as_ref(), answer.change.as_ref())?;
    notes(console, &args, answer.replayed, answer.joined);
    if !answer.warning.is_empty() {
        console.note(format_args!("warning: {}", super::text::one_line(&answer.warning)));
    }
    Ok(())
}

/// A request always has an id, so that repeating it is safe: for this client, and for the person who reads its error.
fn request_id(args: &GrantRevokeArgs) -> String {
    let given = args.request_id.clone();
    given.unwrap_or_else(|| Uuid::new_v4().to_string())
}

fn print(console: &mut Console<'_>, permission: Option<&SharePermission>, change: Option<&Change>) -> Result<(), Stop> {
    match (permission, change) {
        (permission, Some(change)) => console.print(render::changed(permission, change, console.width())),
        (Some(permission), None) => console.print(render::permission(permission, console.width())),
        (None, None) => Ok(()),
    }
}

fn notes(console: &mut Console<'_>, args: &GrantRevokeArgs, replayed: bool, joined: bool) {
    if args.validate_only {
        console.note(VALID);
    }
    if replayed {
        console.note(REPLAYED);
    }
    if joined {
        console.note(JOINED);
    }
}

fn explain(fault: &Fault, verb: &str, options: &ClientOptions, args: &GrantRevokeArgs, request_id: &str) -> Failure {
    let failure = Failure::from(fault);
    match (advice::of(fault).next, &fault.change_id) {
        (Next::Nothing, _) => failure,
        (Next::Follow, Some(change_id)) => {
            let command = command_line::follow(options, &args.permission.account, change_id);
            failure.then("follow it with", &command)
        }
        (Next::Follow | Next::Replay, _) if args.validate_only => failure,
        (Next::Follow | Next::Replay, _) => {
            let command = command_line::replay(verb, options, args, request_id);
            failure.then("repeating it is safe with the same request id", &command)
        }
    }
}
