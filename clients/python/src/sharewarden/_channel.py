"""A channel whose calls carry the caller's credentials, for threads and for asyncio.

grpcio's interceptors are not used: the process ends with a segmentation fault if an intercepted channel is used after
it was closed (grpcio 1.85).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import grpc
from grpc import aio

from ._connection import Credentials

Channel = TypeVar("Channel", grpc.Channel, aio.Channel)
Metadata = Iterable[tuple[str, str | bytes]]


def authenticated(channel: Channel, credentials: Credentials, timeout: float) -> Channel:
    """The channel, for stubs. A call without a timeout gets this one; a stream gets none."""
    return cast(Channel, _Channel(channel, credentials, timeout))


class _Channel:
    def __init__(self, channel: Any, credentials: Credentials, timeout: float) -> None:
        self._channel, self._credentials, self._timeout = channel, credentials, timeout

    def unary_unary(self, *args: Any, **options: Any) -> _Rpc:
        return _Rpc(self._channel.unary_unary(*args, **options), self._credentials, self._timeout)

    def unary_stream(self, *args: Any, **options: Any) -> _Rpc:
        return _Rpc(self._channel.unary_stream(*args, **options), self._credentials, None)


class _Rpc:
    def __init__(self, rpc: Any, credentials: Credentials, timeout: float | None) -> None:
        self._rpc, self._credentials, self._timeout = rpc, credentials, timeout

    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> Any:
        return self._rpc(request, **self._added(timeout, metadata), **others)

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> Any:
        return self._rpc.with_call(request, **self._added(timeout, metadata), **others)

    def future(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> Any:
        return self._rpc.future(request, **self._added(timeout, metadata), **others)

    def _added(self, timeout: float | None, metadata: Metadata | None) -> dict[str, Any]:
        return {
            "timeout": self._timeout if timeout is None else timeout,
            "metadata": (*(metadata or ()), *self._credentials.metadata()),
        }
