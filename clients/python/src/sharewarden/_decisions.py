"""What to do after a try without an answer. Pure: no clock, no network, no random numbers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from grpc import StatusCode

from ._errors import Failed, Status, Unresolved


class ErrorClass(enum.Enum):
    """What a status says about a grant or a revoke, and whether to retry."""

    FINAL = enum.auto()
    """The request has a final outcome, from this try or an earlier one."""
    IN_DOUBT = enum.auto()
    """The service may have accepted the request. A retry returns its outcome."""
    RETRYABLE = enum.auto()
    """This try had no effect. A retry may succeed."""
    REJECTED = enum.auto()
    """This try had no effect, and a retry would not help. An earlier try may have had an effect."""


def _classes() -> dict[str, ErrorClass]:
    reasons = {
        ErrorClass.FINAL: """INVALID_FIELDS REQUEST_ID_REUSED ACCOUNT_NOT_CONFIGURED IMAGE_NOT_FOUND IMAGE_UNAVAILABLE
            OPERATION_NOT_SUPPORTED UPSTREAM_ACCESS_DENIED UPSTREAM_INVALID_PARAMETER UPSTREAM_REFUSED
            UPSTREAM_THROTTLED UPSTREAM_UNAVAILABLE CHANGE_SUPERSEDED""",
        ErrorClass.IN_DOUBT: """CHANGE_PENDING CHANGE_UNCONFIRMED CALL_TIMED_OUT AUDIT_STORE_UNAVAILABLE INTERNAL
            UNSPECIFIED""",
        ErrorClass.RETRYABLE: "SERVER_STOPPING TOKEN_KEYS_UNAVAILABLE POLICY_FACTS_UNAVAILABLE",
        ErrorClass.REJECTED: """OVERLOADED POLICY_DENIED UNAUTHENTICATED UNIMPLEMENTED INVALID_PAGE_TOKEN
            PERMISSION_NOT_FOUND CHANGE_NOT_FOUND ENTRY_NOT_FOUND ENTRY_ARCHIVED CHECKPOINT_NOT_FOUND
            POLICY_SET_NOT_FOUND NOT_FINALIZED NOTHING_TO_ADOPT NOT_YET_COVERED LEDGER_TAMPERED
            INVALID_SIGNATURE""",
    }
    return {reason: error_class for error_class, names in reasons.items() for reason in names.split()}


CLASSES = _classes()
"""The class of each reason of this version. A test fails if `ErrorReason` has a reason that is not here."""

WITHOUT_EFFECT = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.UNIMPLEMENTED,
    }
)
"""The codes that show, without a known reason, that the try had no effect."""


def class_of(status: Status) -> ErrorClass:
    """The class of a status of a grant or a revoke."""
    if status.reason == "POLICY_DENIED" and not status.metadata.keys().isdisjoint({"change_id", "log_index"}):
        # The service accepted the change, or recorded the denial. Without either, only this try lacked a role.
        return ErrorClass.FINAL
    if status.reason == "OVERLOADED" and status.retry_delay is not None:
        return ErrorClass.RETRYABLE
    if status.reason in CLASSES:
        return CLASSES[status.reason]
    # The status is from a newer service, a proxy or the transport.
    return ErrorClass.REJECTED if status.code in WITHOUT_EFFECT else ErrorClass.IN_DOUBT


@dataclass(frozen=True)
class Tries:
    """What the tries of one request have shown."""

    failed: int = 0
    """Tries without an answer. The delay grows with them."""
    in_a_row: int = 0
    """The same, since the service last said that the change is pending. The maximum of tries is for these."""
    in_doubt: bool = False
    """True if the service may have accepted the request."""
    pending: Status | None = None
    """The last CHANGE_PENDING."""


@dataclass(frozen=True)
class Retry:
    """Send the same request again after this delay in seconds."""

    delay: float
    tries: Tries


def after_change(
    tries: Tries, status: Status, remaining: float, max_tries: float, jitter: float
) -> Retry | Failed | Unresolved:
    """The decision after a try of a grant or a revoke.

    `remaining` is the time to the caller's deadline in seconds, `jitter` a random number from 0 to 1.
    """
    error_class = class_of(status)
    if error_class is ErrorClass.FINAL:
        return Failed(status)
    tries = replace(
        tries,
        failed=tries.failed + 1,
        in_a_row=tries.in_a_row + 1,
        in_doubt=tries.in_doubt or error_class is ErrorClass.IN_DOUBT,
    )
    if status.reason == "CHANGE_PENDING":
        # The service is available. The next try waits on the server until the change ends.
        tries = replace(tries, in_a_row=0, pending=status)
    delay = max(backoff(tries.failed, jitter), status.retry_delay or 0)
    if error_class is not ErrorClass.REJECTED and tries.in_a_row < max_tries and delay < remaining:
        return Retry(delay, tries)
    return Unresolved(tries.pending or status) if tries.in_doubt else Failed(status)


def after_read(
    tries: Tries, status: Status, remaining: float, max_tries: float, jitter: float
) -> Retry | Failed | Unresolved:
    """The decision after a try of any other call: only UNAVAILABLE is retried (AIP-194)."""
    tries = replace(tries, failed=tries.failed + 1)
    delay = max(backoff(tries.failed, jitter), status.retry_delay or 0)
    # UPSTREAM_UNAVAILABLE: the service has already retried AWS, and the same request would get the same answer.
    is_retryable = status.code is StatusCode.UNAVAILABLE and status.reason != "UPSTREAM_UNAVAILABLE"
    return Retry(delay, tries) if is_retryable and tries.failed < max_tries and delay < remaining else Failed(status)


def backoff(failed: int, jitter: float) -> float:
    """Seconds to wait: 0.1 to 0.2 after the first failed try, doubled after each further one, at most 6.4."""
    return 0.2 * 2.0 ** min(failed - 1, 5) * (0.5 + 0.5 * jitter)
