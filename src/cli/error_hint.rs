//! Hints for errors of calls: what to do, and the exit code, for each reason of the API.

use tonic::Code;

use super::failure::Exit;
use crate::{client::Error, proto::v1::ErrorReason};

/// What to do about an error, and how the command exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ErrorHint {
    pub(super) exit: Exit,
    pub(super) text: &'static str,
    pub(super) next: FollowUp,
}

/// The command that continues after a failed grant or revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// No command: the request has ended, or was not accepted.
    None,
    /// `change --wait`: the change is still pending.
    Follow,
    /// The same command with the same request id. It is safe whether or not the request was accepted.
    Replay,
}

const GIVE_CREDENTIALS: &str =
    "give the credentials that the service requires: --tls-certificate and --tls-key, --token-file, or --principal";

/// What happened, and the advice of the service if it is better than the hint of this client.
///
/// A message of the service has the form `what happened; what to do.`, and the hint says what to do with this program. The
/// advice of a refusal by the policy depends on the refusal.
pub(super) fn advice_of(error: &Error) -> (&str, Option<&str>) {
    let message = match error.message.trim_end_matches('.') {
        "" => error.code.description(),
        message => message,
    };
    match (error.known_reason(), message.rsplit_once("; ")) {
        (Some(ErrorReason::PolicyDenied), Some((what, advice))) => (what, Some(advice)),
        (Some(_), Some((what, _))) => (what, None),
        (_, _) => (message, None),
    }
}

/// The hint for `error`.
pub(super) fn of(error: &Error) -> ErrorHint {
    error.known_reason().map_or_else(|| of_code(error.code), of_reason)
}

/// The match has no catch-all, so a new reason does not compile until it has a hint.
pub(super) fn of_reason(reason: ErrorReason) -> ErrorHint {
    use ErrorReason as R;
    match reason {
        R::Unspecified => end(
            Exit::General,
            "the service gave no reason: report this to its operators",
        ),
        R::InvalidFields => end(Exit::Invalid, "correct these fields, then run the command again"),
        R::RequestIdReused => end(Exit::Invalid, "give a new --request-id, or omit it to get a new one"),
        R::InvalidPageToken => end(Exit::TryLater, "run the command again; it starts at the first page"),
        R::Unauthenticated => end(Exit::Refused, GIVE_CREDENTIALS),
        R::PolicyDenied => end(Exit::Refused, "ask the owner of the policy"),
        R::AccountNotConfigured => end(
            Exit::NotPossible,
            "check --account and --region, or ask the operators of the service to configure them",
        ),
        R::ImageNotFound => end(
            Exit::NotFound,
            "check --image; `sharewarden images` lists the images of the account",
        ),
        R::PermissionNotFound => end(Exit::NotFound, "`sharewarden list` lists all permissions"),
        R::ChangeNotFound => end(Exit::NotFound, "check the change id and --account"),
        R::ImageUnavailable => end(Exit::TryLater, "try again when AWS has made the image available"),
        R::OperationNotSupported => end(Exit::NotPossible, "do not try again: for example, BYOL rules forbid it"),
        R::UpstreamAccessDenied => end(Exit::NotPossible, "report this to the operators of the service"),
        R::UpstreamInvalidParameter => end(
            Exit::Invalid,
            "check that the account, Region and image ids are those of AWS",
        ),
        R::UpstreamRefused => end(
            Exit::NotPossible,
            "look up this AWS error code and solve its cause before you try again",
        ),
        R::ChangePending => ErrorHint {
            exit: Exit::Pending,
            text: "it continues",
            next: FollowUp::Follow,
        },
        R::ChangeUnconfirmed => replay(
            Exit::Pending,
            "repeat the request with the same request id, which is safe",
        ),
        R::UpstreamThrottled => end(Exit::TryLater, "try again later with a new request id"),
        R::UpstreamUnavailable => end(
            Exit::TryLater,
            "nothing was changed: try again later with a new request id",
        ),
        R::ChangeSuperseded => end(
            Exit::Superseded,
            "check the permission with `sharewarden get` before you try again",
        ),
        R::AuditStoreUnavailable => replay(Exit::TryLater, "try again later with the same request id"),
        R::Overloaded => replay(Exit::TryLater, "send fewer requests, then try again"),
        R::ServerStopping => end(Exit::TryLater, "run the command again"),
        R::PolicyFactsUnavailable => end(Exit::TryLater, "nothing was done: run the command again later"),
        R::TokenKeysUnavailable => end(Exit::TryLater, "run the command again later"),
        R::NotFinalized => end(
            Exit::NotPossible,
            "leave out the end of the share, or have the operator run `sharewarden finalize`",
        ),
        R::NothingToAdopt => end(
            Exit::NotPossible,
            "`sharewarden drift list` shows what is open; `sharewarden grant` makes a share",
        ),
        R::PolicySetNotFound => end(Exit::NotFound, "check the digest; entries have it as `policy_set`"),
        R::EntryNotFound => end(Exit::NotFound, "check --account and the index"),
        R::EntryArchived => end(
            Exit::NotPossible,
            "ask the operators of the service for the archived file; `sharewarden audit verify --export` reads it",
        ),
        R::CheckpointNotFound => end(Exit::NotFound, "check --account and the size"),
        R::NotYetCovered => end(Exit::TryLater, "one is signed every few seconds: try again"),
        R::LedgerTampered => end(
            Exit::Tampered,
            "do not trust the store: tell its operators and auditors, and keep this message",
        ),
        R::InvalidSignature => end(
            Exit::Invalid,
            "sign with a witness key that is in the configuration of the service",
        ),
        R::Unimplemented => end(
            Exit::General,
            "check that the service at --server is as new as this client",
        ),
        R::CallTimedOut => replay(Exit::Pending, "use a longer --timeout"),
        R::Internal => replay(Exit::General, "report it to its operators"),
    }
}

/// The hint for a status without a reason that this client knows.
fn of_code(code: Code) -> ErrorHint {
    match code {
        Code::InvalidArgument | Code::OutOfRange => end(Exit::Invalid, "correct the command, then run it again"),
        Code::NotFound => end(Exit::NotFound, "check the ids"),
        Code::Unauthenticated => end(Exit::Refused, GIVE_CREDENTIALS),
        Code::PermissionDenied => end(Exit::Refused, "ask the operators of the service for access"),
        Code::FailedPrecondition | Code::AlreadyExists => {
            end(Exit::NotPossible, "solve the cause before you try again")
        }
        Code::Unimplemented => end(
            Exit::General,
            "check that --server is a sharewarden service that is as new as this client",
        ),
        Code::DeadlineExceeded | Code::Cancelled => replay(Exit::Pending, "use a longer --timeout"),
        Code::Unavailable | Code::ResourceExhausted => replay(Exit::TryLater, "try again later"),
        Code::Aborted => replay(Exit::TryLater, "try again"),
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => replay(
            Exit::General,
            "check that --server is a sharewarden service; if it is, report this to its operators",
        ),
    }
}

const fn end(exit: Exit, text: &'static str) -> ErrorHint {
    ErrorHint {
        exit,
        text,
        next: FollowUp::None,
    }
}

const fn replay(exit: Exit, text: &'static str) -> ErrorHint {
    ErrorHint {
        exit,
        text,
        next: FollowUp::Replay,
    }
}
