"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import grpc

from ._base import PROBE, BaseClient
from ._channel import authenticated
from ._errors import CLOSED, Status
from ._steps import Attempt, Steps
from .v1 import (
    AccessServiceStub,
    AuditServiceStub,
    GetChangeRequest,
    GetChangeResponse,
    GrantSharePermissionRequest,
    GrantSharePermissionResponse,
    RevokeSharePermissionRequest,
    RevokeSharePermissionResponse,
    SharePermissionServiceStub,
)

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Client(BaseClient):
    __doc__ = f"""A client of the service, for threads. It reconnects when the connection breaks.

    {BaseClient.__doc__}
    Used with `with`, it connects at the beginning (or raises `Unreachable`) and closes at the end. Without, it connects
    at its first call.
    """

    share_permissions: SharePermissionServiceStub
    """The whole API of permissions and changes, as generated. Each call carries the credentials, and the timeout if it
    has none of its own. It is not retried, and raises `grpc.RpcError`; see `call`."""
    audit: AuditServiceStub
    """The whole API of the history, likewise. Streams have no timeout of their own."""
    access: AccessServiceStub
    """What the caller is and may do, likewise."""

    def _open(self, target: str, tls: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]) -> None:
        if tls is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, tls, options)
        channel = authenticated(self._channel, self._credentials, self._timeout)
        self.share_permissions = SharePermissionServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.access = AccessServiceStub(channel)
        self._probe: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PROBE)

    def grant(
        self, request: GrantSharePermissionRequest, *, timeout: float | None = None
    ) -> GrantSharePermissionResponse:
        """Sends a grant, with the request's id or a new random one, until its outcome is known.

        The answer means that AWS accepted the change, and that the ledger records this; with `validate_only`, that the
        request is valid and permitted. `findings` of the answer tell what AWS's own rules say. Raises `Failed` or
        `Unresolved`.
        """
        steps, sent = self._begin_change("GrantSharePermission", request, timeout)
        answer: GrantSharePermissionResponse = self._run(steps, self.share_permissions.GrantSharePermission, sent)
        return answer

    def revoke(
        self, request: RevokeSharePermissionRequest, *, timeout: float | None = None
    ) -> RevokeSharePermissionResponse:
        """Sends a revoke, in the same way as `grant`."""
        steps, sent = self._begin_change("RevokeSharePermission", request, timeout)
        answer: RevokeSharePermissionResponse = self._run(steps, self.share_permissions.RevokeSharePermission, sent)
        return answer

    def follow(self, request: GetChangeRequest, *, timeout: float | None = None) -> GetChangeResponse:
        """Polls a change until it has ended or the timeout has passed. Returns the last answer. Raises `Failed`."""
        return self._run(self._begin_follow(timeout), self.share_permissions.GetChange, request)

    def call(
        self, rpc: grpc.UnaryUnaryMultiCallable[Request, Answer], request: Request, *, timeout: float | None = None
    ) -> Answer:
        """Calls a method of a stub that reads, and retries it while the service is unavailable.

        Raises `Failed`.
        """
        answer: Answer = self._run(self._begin_read(type(request).__name__, timeout), rpc, request)
        return answer

    def connect(self) -> None:
        """Waits until the service answers, for at most 10 s and the timeout. Raises `Unreachable`."""
        self._run(self._begin_connect(), self._probe, b"")

    def close(self) -> None:
        """Closes the connection. Calls that wait for their answers end."""
        self._is_closed = True
        self._channel.close()

    def __enter__(self) -> Client:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[Answer], rpc: Callable[..., Any], request: object) -> Answer:
        result: Any = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            if not isinstance(step, Attempt):
                time.sleep(step.seconds)
                continue
            try:
                result = rpc(request, timeout=step.timeout)
            except grpc.RpcError as error:
                result = Status.of(error)
            except ValueError:
                # grpcio's error for a closed channel, which another thread has closed meanwhile.
                if not self._is_closed:
                    raise
                result = CLOSED
