"""The server's address, TLS and the caller's credentials. Everything is checked before anything is sent."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import re
import ssl
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import grpc

from ._errors import OptionError

Path = str | os.PathLike[str]

HEADER_VALUE = re.compile("[!-~](?:[ -~]*[!-~])?")
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""The service sends less: a page is at most about 3 MiB, and a summary has at most 50,000 counts."""
CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", f"sharewarden-python/{version('sharewarden')}"),
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # The client retries. Retries inside retries would multiply.
    ("grpc.enable_retries", 0),
    # A call may wait for a long time, so HTTP/2 pings detect a peer that is gone: after 10 s without a sign, it fails.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # While a ping for the flow control is open, gRPC sends none for keepalive. By default that one may take a minute.
    ("grpc.http2.ping_timeout_ms", 5_000),
    # Not longer than the client's own delays: a call during the delay would fail at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


@dataclass(frozen=True)
class Server:
    """The parts of the server's URL."""

    url: str
    target: str
    is_tls: bool
    is_local: bool

    @classmethod
    def parse(cls, url: str) -> Server:
        """Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`."""
        # The URL is not repeated: it may have a password.
        wrong = OptionError("server", "expected http://HOST:PORT or https://HOST:PORT, without user, path or query")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise wrong from None
        others = (parts.path.strip("/"), parts.query, parts.fragment, parts.username, parts.password)
        if parts.scheme not in ("http", "https") or not host or any(others):
            raise wrong
        is_tls = parts.scheme == "https"
        in_target = f"[{host}]" if ":" in host else host
        return cls(url, f"{in_target}:{port or (443 if is_tls else 80)}", is_tls, _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Credentials:
    """The metadata that authenticates each call."""

    def __init__(self, server: Server, principal: str | None, token_file: Path | None) -> None:
        if principal is not None and not HEADER_VALUE.fullmatch(principal):
            raise OptionError("principal", "expected visible ASCII characters, as a header has them")
        if token_file is not None and not (server.is_tls or server.is_local):
            raise OptionError(
                "token_file", "the token is not sent: the server is on another machine, and its URL is not https://"
            )
        self._principal = principal
        self._file = token_file
        self._token = None if token_file is None else _read_token(token_file)

    def metadata(self) -> list[tuple[str, str]]:
        """For one call. Tokens expire, so the file is read each time. If that fails, the last good token is used."""
        pairs = []
        if self._principal is not None:
            pairs.append(("x-sharewarden-principal", self._principal))
        if self._file is not None:
            with contextlib.suppress(OptionError):
                self._token = _read_token(self._file)
            pairs.append(("authorization", f"Bearer {self._token}"))
        return pairs


def _read_token(file: Path) -> str:
    token = _read("token_file", file).decode("utf-8-sig", errors="replace").strip()
    if not token:
        raise OptionError("token_file", f"{os.fspath(file)} holds no token")
    if token[:7].lower() == "bearer ":
        raise OptionError("token_file", f"write the token in {os.fspath(file)} without the word Bearer")
    if not HEADER_VALUE.fullmatch(token):
        raise OptionError("token_file", f"the token in {os.fspath(file)} has characters that a header cannot carry")
    return token


def channel_credentials(
    server: Server, tls_ca: Path | None, tls_certificate: Path | None, tls_key: Path | None
) -> grpc.ChannelCredentials | None:
    """The credentials of a TLS channel. None for a server URL with `http://`."""
    given = {"tls_ca": tls_ca, "tls_certificate": tls_certificate, "tls_key": tls_key}
    if not server.is_tls:
        for option, file in given.items():
            if file is not None:
                raise OptionError(option, "needs TLS, but the URL of the server does not begin with https://")
        return None
    if (tls_certificate is None) != (tls_key is None):
        missing = "tls_key" if tls_key is None else "tls_certificate"
        raise OptionError(missing, "a client certificate needs its private key, and one of them is missing")
    pem = {option: None if file is None else _read(option, file) for option, file in given.items()}
    # grpcio tells of a wrong file only when it connects, and does not name it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    option = "tls_ca"
    try:
        if tls_ca is not None:
            context.load_verify_locations(tls_ca)
        option = "tls_certificate"
        if tls_certificate is not None and tls_key is not None:
            # The empty password: a key with a password is refused instead of asked for.
            context.load_cert_chain(tls_certificate, tls_key, password="")
    except (ssl.SSLError, OSError) as error:
        why = f"cannot use {os.fspath(given[option] or '')}"
        raise OptionError(option, f"{why} (a PEM file, with its key in tls_key): {error}") from None
    return grpc.ssl_channel_credentials(pem["tls_ca"], pem["tls_key"], pem["tls_certificate"])


def _read(option: str, file: Path) -> bytes:
    try:
        return pathlib.Path(file).read_bytes()
    except OSError as error:
        raise OptionError(option, f"cannot read {os.fspath(file)}: {error.strerror}") from None
