"""What the two clients share: their options and the start of each call."""

from __future__ import annotations

import math
import os
import uuid
from typing import Any, TypeVar

import grpc

from ._connection import CHANNEL_OPTIONS, Credentials, Path, Server, channel_credentials
from ._errors import Error, OptionError
from ._steps import Deadline, Steps, change, connect, follow, read
from .v1 import GetChangeResponse, GrantSharePermissionRequest, RevokeSharePermissionRequest

MAX_CONNECT_TIMEOUT = 10.0
PROBE = "/grpc.health.v1.Health/Check"
"""Called to find out whether the service is there. Any answer will do."""

Self = TypeVar("Self", bound="BaseClient")
ChangeRequest = TypeVar("ChangeRequest", GrantSharePermissionRequest, RevokeSharePermissionRequest)


class BaseClient:
    """The options of `Client` and `AsyncClient`.

    - `server`: `http://HOST:PORT` or `https://HOST:PORT`.
    - `principal`: the caller's name. The service reads it only in the mode `trusted-header`.
    - `tls_ca`: the certificate authorities that the service's certificate is verified with, a PEM file. Without it,
      grpcio's own list.
    - `tls_certificate`, `tls_key`: the client certificate and its private key, PEM files.
    - `token_file`: a file with a bearer token. It is read again for each call, because tokens expire.
    - `timeout`: the seconds that a call may take, all tries included. It is the default of each method's `timeout`.
    - `max_tries`: the maximum of tries of one call. Without it, only the timeout ends the tries.

    Raises `OptionError`.
    """

    def __init__(
        self,
        server: str,
        *,
        principal: str | None = None,
        tls_ca: Path | None = None,
        tls_certificate: Path | None = None,
        tls_key: Path | None = None,
        token_file: Path | None = None,
        timeout: float = 30.0,
        max_tries: int | None = None,
    ) -> None:
        self._server = Server.parse(server)
        self._credentials = Credentials(self._server, principal, token_file)
        self._timeout = _positive("timeout", timeout)
        self._max_tries = math.inf if max_tries is None else _positive("max_tries", max_tries)
        self._is_closed = False
        tls = channel_credentials(self._server, tls_ca, tls_certificate, tls_key)
        self._open(self._server.target, tls, CHANNEL_OPTIONS)

    @classmethod
    def from_environment(cls: type[Self], **options: Any) -> Self:
        """A client with the environment variables of the program `sharewarden`. `options` win over them.

        SHAREWARDEN_SERVER, SHAREWARDEN_PRINCIPAL, SHAREWARDEN_TLS_CA, SHAREWARDEN_TLS_CERTIFICATE, SHAREWARDEN_TLS_KEY
        and SHAREWARDEN_TOKEN_FILE. Without SHAREWARDEN_SERVER: `http://127.0.0.1:7443`.
        """
        names = ("server", "principal", "tls_ca", "tls_certificate", "tls_key", "token_file")
        found = {name: os.environ.get(f"SHAREWARDEN_{name.upper()}") or None for name in names}
        found["server"] = found["server"] or "http://127.0.0.1:7443"
        return cls(**{**found, **options})

    def _open(self, target: str, tls: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]) -> None:
        raise NotImplementedError

    def _deadline(self, timeout: float | None) -> Deadline:
        if self._is_closed:
            raise Error("the client is closed")
        return Deadline(self._timeout if timeout is None else _positive("timeout", timeout), lambda: self._is_closed)

    def _begin_change(
        self, name: str, request: ChangeRequest, timeout: float | None
    ) -> tuple[Steps[Any], ChangeRequest]:
        """The steps of a grant or a revoke, and the request with an id. The caller's request is left as it is."""
        sent = type(request)()
        sent.CopyFrom(request)
        sent.request_id = request.request_id or str(uuid.uuid4())
        return change(name, sent.request_id, self._deadline(timeout), self._max_tries), sent

    def _begin_read(self, name: str, timeout: float | None) -> Steps[Any]:
        return read(name, self._deadline(timeout), self._max_tries)

    def _begin_follow(self, timeout: float | None) -> Steps[GetChangeResponse]:
        return follow(self._deadline(timeout), self._max_tries)

    def _begin_connect(self) -> Steps[None]:
        return connect(self._server.url, self._deadline(min(self._timeout, MAX_CONNECT_TIMEOUT)), self._max_tries)


def _positive(option: str, number: float) -> float:
    if not 0 < number < math.inf:
        raise OptionError(option, f"expected a number greater than 0, not {number!r}")
    return number
