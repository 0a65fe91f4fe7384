//! What to do about an error: one line and one exit code for each reason that the API documents.

use tonic::Code;

use super::failure::Exit;
use crate::{client::Error, proto::v1::ErrorReason};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ErrorHint {
    pub(super) exit: Exit,
    pub(super) text: &'static str,
    pub(super) next: FollowUp,
}

/// Which command goes on from here, after a grant or a revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// None: the request has ended, or was never accepted.
    None,
    /// The change goes on: look at it.
    Follow,
    /// Whether the request was accepted is not known, or it was not: the same request id is safe, and does the rest.
    Replay,
}

const SAY_WHO: &str =
    "say who asks, as the service wants it: with --tls-certificate and --tls-key, --token-file, or --principal";

/// What to do about `error`.
pub(super) fn of(error: &Error) -> ErrorHint {
    error.known_reason().map_or_else(|| of_code(error.code), of_reason)
}

/// No catch-all here: a new reason must not compile before it has its hint.
pub(super) fn of_reason(reason: ErrorReason) -> ErrorHint {
    use ErrorReason as R;
    match reason {
        R::Unspecified => end(Exit::General, "the service gave no reason: report it to its operators"),
        R::InvalidFields => end(Exit::Invalid, "mend the following, then run the command again"),
        R::RequestIdReused => end(Exit::Invalid, "give a new --request-id, or none to get a new one"),
        R::InvalidPageToken => end(Exit::TryLater, "run the command again, to start from the first page"),
        R::Unauthenticated => end(Exit::Refused, SAY_WHO),
        R::PolicyDenied => end(Exit::Refused, "ask the owner of the policy"),
        R::AccountNotConfigured => end(
            Exit::NotPossible,
            "check --account and --region, or ask the operators of the service to configure them",
        ),
        R::ImageNotFound => end(
            Exit::NotFound,
            "check --image; `sharewarden images` lists those there are",
        ),
        R::PermissionNotFound => end(
            Exit::NotFound,
            "no change was ever accepted for it here; `sharewarden list` lists those there are",
        ),
        R::ChangeNotFound => end(Exit::NotFound, "check the change id and --account"),
        R::ImageUnavailable => end(Exit::TryLater, "AWS is still making the image: try again later"),
        R::OperationNotSupported => end(
            Exit::NotPossible,
            "AWS does not support sharing this image so (BYOL rules, for one): do not try again",
        ),
        R::UpstreamAccessDenied => end(
            Exit::NotPossible,
            "AWS refused the service's own role or credentials: ask its operators to mend them",
        ),
        R::UpstreamInvalidParameter => end(Exit::Invalid, "check the ids against AWS"),
        R::UpstreamRefused => end(
            Exit::NotPossible,
            "look up what this AWS error code asks for before trying again",
        ),
        R::ChangePending => ErrorHint {
            exit: Exit::Pending,
            text: "the change was accepted and goes on",
            next: FollowUp::Follow,
        },
        R::ChangeUnconfirmed => replay(
            Exit::Pending,
            "it is not known whether the change was accepted: the same request id is safe, and does the rest",
        ),
        R::UpstreamThrottled => end(Exit::TryLater, "AWS throttles: try again later, as a new request"),
        R::UpstreamUnavailable => end(
            Exit::TryLater,
            "AWS could not be reached and nothing was changed: try again later, as a new request",
        ),
        R::ChangeSuperseded => end(
            Exit::Superseded,
            "a newer change milliseconds its place: look at the permission with `sharewarden get` before deciding again",
        ),
        R::AuditStoreUnavailable => replay(
            Exit::TryLater,
            "the audit store does not answer: try again later, with the same request id",
        ),
        R::Overloaded => replay(
            Exit::TryLater,
            "the service has more work than it takes: slow down, then try again",
        ),
        R::ServerStopping => end(Exit::TryLater, "the server stops: run the command again"),
        R::EntryNotFound => end(
            Exit::NotFound,
            "the ledger has no such entry yet: check --account and the index",
        ),
        R::EntryArchived => end(
            Exit::NotPossible,
            "ask the operators of the service for the archived file; `sharewarden audit verify --export` reads it",
        ),
        R::CheckpointNotFound => end(Exit::NotFound, "check --account and the size"),
        R::NotYetCovered => end(
            Exit::TryLater,
            "a checkpoint is signed every few seconds: try again then",
        ),
        R::LedgerTampered => end(
            Exit::Tampered,
            "do not trust the store: tell its operators and auditors, and keep this message",
        ),
        R::InvalidSignature => end(
            Exit::Invalid,
            "sign with a witness key that the service is configured for",
        ),
        R::Unimplemented => end(Exit::General, "check that --server is as new as this client"),
        R::CallTimedOut => replay(Exit::Pending, "give it longer with --timeout"),
        R::Internal => replay(
            Exit::General,
            "this is a fault of the service, and its log says more: report it to its operators",
        ),
    }
}

/// For a status that does not say its reason in words that this client knows.
fn of_code(code: Code) -> ErrorHint {
    match code {
        Code::InvalidArgument | Code::OutOfRange => end(Exit::Invalid, "mend the command, then run it again"),
        Code::NotFound => end(Exit::NotFound, "check the ids"),
        Code::Unauthenticated => end(Exit::Refused, SAY_WHO),
        Code::PermissionDenied => end(Exit::Refused, "ask the operators of the service for access"),
        Code::FailedPrecondition | Code::AlreadyExists => end(Exit::NotPossible, "mend the cause before trying again"),
        Code::Unimplemented => end(
            Exit::General,
            "check that --server is a sharewarden service, and as new as this client",
        ),
        Code::DeadlineExceeded | Code::Cancelled => replay(Exit::Pending, "give it longer with --timeout"),
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
