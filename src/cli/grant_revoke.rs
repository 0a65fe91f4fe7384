//! `grant` and `revoke`: one change, which can be retried safely, and followed if it takes long.

use super::{
    args::GrantRevokeArgs,
    command_line::{self, RepeatedChange},
    connection::Client,
    console::Console,
    ends::{self, EndArgs},
    error_hint::{self, FollowUp},
    failure::{Failure, Stop},
    findings,
    live_line::LiveLine,
    options::{ClientOptions, Output},
    render,
};
use crate::{
    client::{Error, Outcome},
    proto::v1::{Change, GrantSharePermissionRequest, RevokeSharePermissionRequest, SharePermission},
};

const REPLAYED: &str =
    "note: this is the answer of an earlier request with the same request id; nothing was done again";
const JOINED: &str = "note: another request had already started the same change; this request joined it";
const VALID: &str = "note: the request is valid and permitted; nothing was changed (--validate-only)";

/// What a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GrantVerb {
    /// It makes a share.
    Grant,
    /// It makes a share that AWS has and the ledger does not one of the service's.
    Adopt,
}

impl GrantVerb {
    /// The command that repeats it.
    fn command(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Adopt => "drift adopt",
        }
    }
}

pub(super) async fn grant(
    options: &ClientOptions,
    client: &Client,
    verb: GrantVerb,
    args: GrantRevokeArgs,
    end: EndArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let share = args.permission.resolve(options)?;
    let mut request = GrantSharePermissionRequest {
        account_id: share.account.clone(),
        region: share.region.clone(),
        image_id: share.image.clone(),
        shared_account_id: share.with.clone(),
        request_id: args.request_id.clone().unwrap_or_default(),
        validate_only: args.validate_only,
        adopt: verb == GrantVerb::Adopt,
        ..(&args.justification).into()
    };
    let asked = end.end();
    if let Some(end) = asked.clone() {
        end.set(&mut request);
    }
    let line = LiveLine::new(console);
    let mut tell = |error: &Error| line.show_pending(error);
    let outcome = client.grant_telling(request, line.telling(console, &mut tell)).await;
    drop(line);
    let repeated = RepeatedChange {
        share: &share,
        args: &args,
        end: Some(&end),
    };
    let answer = answer_or_failure(outcome, verb.command(), options, &repeated)?;
    if options.output == Output::Json {
        console.print_json(&answer)?;
    } else {
        print(console, answer.permission.as_ref(), answer.change.as_ref())?;
        notes(console, &args, answer.replayed, answer.joined);
        let planned = answer.expire_time.map(|expire_time| Change {
            expire_time: Some(expire_time),
            ..Change::default()
        });
        for change in answer.change.iter().chain(&planned) {
            let told = ends::notes(asked.as_ref(), change, console.view());
            told.into_iter().for_each(|note| console.note(note));
        }
        findings::warn(console, &answer.findings);
    }
    Ok(findings::refusal(&answer.findings)?)
}

pub(super) async fn revoke(
    options: &ClientOptions,
    client: &Client,
    args: GrantRevokeArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let share = args.permission.resolve(options)?;
    let request = RevokeSharePermissionRequest {
        account_id: share.account.clone(),
        region: share.region.clone(),
        image_id: share.image.clone(),
        shared_account_id: share.with.clone(),
        request_id: args.request_id.clone().unwrap_or_default(),
        validate_only: args.validate_only,
        ..(&args.justification).into()
    };
    let line = LiveLine::new(console);
    let mut tell = |error: &Error| line.show_pending(error);
    let outcome = client.revoke_telling(request, line.telling(console, &mut tell)).await;
    drop(line);
    let repeated = RepeatedChange {
        share: &share,
        args: &args,
        end: None,
    };
    let answer = answer_or_failure(outcome, "revoke", options, &repeated)?;
    if options.output == Output::Json {
        console.print_json(&answer)?;
        return Ok(findings::refusal(&answer.findings)?);
    }
    print(console, answer.permission.as_ref(), answer.change.as_ref())?;
    notes(console, &args, answer.replayed, answer.joined);
    findings::warn(console, &answer.findings);
    if !answer.warning.is_empty() {
        console.note(format_args!("warning: {}", super::text::one_line(&answer.warning)));
    }
    Ok(findings::refusal(&answer.findings)?)
}

fn print(console: &mut Console<'_>, permission: Option<&SharePermission>, change: Option<&Change>) -> Result<(), Stop> {
    match (permission, change) {
        (permission, Some(change)) => console.print(render::changed(permission, change, console.view())),
        (Some(permission), None) => console.print(render::permission(permission, None, console.view())),
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

/// The answer, or a failure with the command that continues.
fn answer_or_failure<A>(
    outcome: Outcome<A>,
    verb: &str,
    options: &ClientOptions,
    repeated: &RepeatedChange<'_>,
) -> Result<A, Failure> {
    let (error, next) = match outcome {
        Outcome::Succeeded(answer) => return Ok(answer),
        Outcome::Failed(error) => {
            let next = error_hint::of(&error).next;
            (error, next)
        }
        Outcome::Unresolved { error, .. } => {
            let next = match error_hint::of(&error).next {
                FollowUp::Follow => FollowUp::Follow,
                FollowUp::Replay | FollowUp::None => FollowUp::Replay,
            };
            (error, next)
        }
    };
    Err(explain(&error, next, verb, options, repeated))
}

fn explain(
    error: &Error,
    next: FollowUp,
    verb: &str,
    options: &ClientOptions,
    repeated: &RepeatedChange<'_>,
) -> Failure {
    let failure = Failure::from(error);
    match (next, &error.change_id) {
        (FollowUp::None, _) => failure,
        (FollowUp::Follow, Some(change_id)) => {
            let command = command_line::follow(options, &repeated.share.account, change_id);
            failure.then("follow it with", &command)
        }
        (FollowUp::Follow | FollowUp::Replay, _) if repeated.args.validate_only => failure,
        (FollowUp::Follow | FollowUp::Replay, _) => {
            let request_id = error.request_id.as_deref().unwrap_or_default();
            let command = command_line::replay(verb, options, repeated, request_id);
            failure.then("repeat it safely with the same request id", &command)
        }
    }
}
