"""The status of a call, and the exceptions that callers see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "sharewarden.v1"
"""The `ErrorInfo` domain of the reasons in `ErrorReason`. The same reason in another domain has another meaning."""

HEADERS_TOO_LARGE = "Received http2 header with status: 431"
"""grpcio's text for HTTP 431. Its code is UNKNOWN, as for any status that gRPC's mapping does not have. Only a token
makes the headers large, so a retry is useless. Another text of a later grpcio costs only retries."""


@dataclass(frozen=True)
class FieldViolation:
    """A field of a request that is not valid."""

    field: str
    description: str


@dataclass(frozen=True)
class Status:
    """How a call ended without an answer, read from the `google.rpc` details of the gRPC status."""

    code: grpc.StatusCode
    message: str = ""
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> Status:
        """The status of an error of grpcio. Details that cannot be read count as absent."""
        details = _details(error)
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        ours = _unpack(details, info) and info.domain == DOMAIN
        has_delay = _unpack(details, retry) and retry.HasField("retry_delay")
        _unpack(details, bad)
        code, message = error.code(), error.details() or ""
        if message == HEADERS_TOO_LARGE:
            code, message = grpc.StatusCode.UNAUTHENTICATED, "the token is longer than the service allows (HTTP 431)"
        return cls(
            code=code,
            message=message,
            reason=info.reason if ours else None,
            metadata=dict(info.metadata) if ours else {},
            violations=tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
            retry_delay=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if has_delay else None,
        )


def _details(error: grpc.RpcError) -> status_pb2.Status:
    details = status_pb2.Status()
    # grpcio has two kinds of metadata, and both are pairs.
    pairs: Iterable[tuple[str, Any]] = cast(Any, error.trailing_metadata()) or ()
    for key, value in pairs:
        if key == "grpc-status-details-bin":
            try:
                details.ParseFromString(value)
            except DecodeError:
                details.Clear()
    return details


def _unpack(
    details: status_pb2.Status,
    into: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> bool:
    try:
        return any(detail.Unpack(into) for detail in details.details)
    except DecodeError:
        into.Clear()
        return False


CLOSED = Status(grpc.StatusCode.CANCELLED, "the client was closed")
"""The end of a call whose client was closed before it was sent again."""


class Error(Exception):
    """Any error of this package."""


class OptionError(Error, ValueError):
    """An option of the client is not valid, or its file cannot be used. Nothing was sent."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"{option}: {why}")
        self.option = option
        """The name of the option."""


class Unreachable(Error):  # noqa: N818
    """No connection to the service within the timeout. No call was sent."""


class CallError(Error):
    """A call that ended without an answer. Grants and revokes raise its two kinds: `Failed` and `Unresolved`."""

    def __init__(self, status: Status, request_id: str = "") -> None:
        message = status.message.rstrip(".") or status.code.name
        rules = "".join(f"; {each.field}: {each.description}" for each in status.violations)
        super().__init__(f"{message} ({status.reason or status.code.name}){rules}")
        self.status = status
        """The status, with `code`, `message`, `violations` and `retry_delay` (seconds)."""
        self.reason = status.reason
        """The reason, for programs: a name in `ErrorReason` without its prefix, or one of a newer service. None if a
        proxy, the transport or this client made the status."""
        self.metadata = status.metadata
        """The metadata of the reason: every value of the message."""
        self.request_id = request_id or status.metadata.get("request_id", "")
        """The request id of the grant or revoke. Empty for other calls."""
        self.change_id = status.metadata.get("change_id", "")
        """The change that the request made. Empty if the service did not say that it accepted the request."""


class Failed(CallError):  # noqa: N818
    """The service refused the request, or the change ended without success, or a read failed."""


class Unresolved(CallError):  # noqa: N818
    """The timeout passed, or the maximum of tries was reached, before the outcome was known.

    The change may still succeed. To get the outcome, send the same request again with `request_id`. It takes effect at
    most once. The reason is CHANGE_PENDING, with `change_id`, if the service accepted the change.
    """
