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
        R::PolicyDenied => end(Exit::Refused, "ask the operators of the service to change the policy"),
        R::AccountNotConfigured => end(
            Exit::NotPossible,
            "check --account and --region, or ask the operators of the service to configure them",
        ),
        R::ImageNotFound => end(
            Exit::NotFound,
            "check --image; `sharewarden images` lists the images of the account",
        ),
        R::PermissionNotFound => end(
            Exit::NotFound,
            "the service never accepted a change of this permission; `sharewarden list` lists all permissions",
        ),
        R::ChangeNotFound => end(Exit::NotFound, "check the change id and --account"),
        R::ImageUnavailable => end(Exit::TryLater, "AWS is still creating the image: try again later"),
        R::OperationNotSupported => end(
            Exit::NotPossible,
            "AWS does not allow this sharing, for example because of BYOL rules: do not try again",
        ),
        R::UpstreamAccessDenied => end(
            Exit::NotPossible,
            "AWS refused the role or the credentials of the service: report this to its operators",
        ),
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
            text: "the change was accepted and is still in progress",
            next: FollowUp::Follow,
        },
        R::ChangeUnconfirmed => replay(
            Exit::Pending,
            "it is not known whether the change was accepted: repeat the request with the same request id, which is safe",
        ),
        R::UpstreamThrottled => end(
            Exit::TryLater,
            "AWS throttles the calls: try again later with a new request id",
        ),
        R::UpstreamUnavailable => end(
            Exit::TryLater,
            "AWS could not be reached and nothing was changed: try again later with a new request id",
        ),
        R::ChangeSuperseded => end(
            Exit::Superseded,
            "a newer change replaced it: check the permission with `sharewarden get` before you try again",
        ),
        R::AuditStoreUnavailable => replay(
            Exit::TryLater,
            "the audit store does not answer: try again later with the same request id",
        ),
        R::Overloaded => replay(
            Exit::TryLater,
            "the service is overloaded or a quota is exceeded: send fewer requests, then try again",
        ),
        R::ServerStopping => end(Exit::TryLater, "the server is shutting down: run the command again"),
        R::TokenKeysUnavailable => end(
            Exit::TryLater,
            "the token issuer does not answer the service: run the command again later",
        ),
        R::EntryNotFound => end(
            Exit::NotFound,
            "the ledger does not have this entry yet: check --account and the index",
        ),
        R::EntryArchived => end(
            Exit::NotPossible,
            "ask the operators of the service for the archived file; `sharewarden audit verify --export` reads it",
        ),
        R::CheckpointNotFound => end(Exit::NotFound, "check --account and the size"),
        R::NotYetCovered => end(
            Exit::TryLater,
            "no checkpoint covers the entry yet; one is signed every few seconds: try again",
        ),
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
        R::Internal => replay(
            Exit::General,
            "this is an error inside the service, and its log has the details: report it to its operators",
        ),
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
