"""A gRPC server that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

Reply = Callable[[bytes, grpc.ServicerContext], bytes]


@dataclass
class Asked:
    """A call that the server got."""

    method: str
    message: bytes
    metadata: dict[str, str | bytes]
    timeout: float
    """The seconds to the call's deadline."""
    at: float
    """On the monotonic clock."""


@dataclass
class ScriptedServer(grpc.GenericRpcHandler):
    """Answers each call with the next reply, and the last one for ever."""

    replies: list[Reply]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        def behave(message: bytes, context: Any) -> bytes:
            metadata = dict(handler_call_details.invocation_metadata)
            self.asked.append(
                Asked(handler_call_details.method, message, metadata, context.time_remaining(), time.monotonic())
            )
            reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
            return reply(message, context)

        return grpc.unary_unary_rpc_method_handler(behave)


@contextmanager
def scripted(*replies: Reply) -> Iterator[ScriptedServer]:
    """Runs a server on a free port."""
    handler = ScriptedServer(list(replies))
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    handler.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield handler
    finally:
        server.stop(None).wait()


def refuse(
    code: grpc.StatusCode, reason: str = "", *, domain: str = "sharewarden.v1", delay: float = 0, **metadata: str
) -> Reply:
    """A reply with an error, as the service makes them."""
    details = status_pb2.Status(code=code.value[0], message="as scripted")
    for detail in (
        error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata) if reason else None,
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=int(delay * 1e9))) if delay else None,
    ):
        if detail is not None:
            packed = any_pb2.Any()
            packed.Pack(detail)
            details.details.append(packed)

    def reply(_: bytes, context: Any) -> NoReturn:
        context.set_trailing_metadata([("grpc-status-details-bin", details.SerializeToString())])
        context.abort(code, "as scripted")
        raise AssertionError

    return reply
