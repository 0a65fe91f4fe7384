"""Options that cannot work are refused before anything is sent, by name, and without the secret."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from sharewarden import Client, OptionError

HTTPS, HTTP = "https://localhost:7443", "http://127.0.0.1:7443"


def refused(**options: Any) -> str:
    with pytest.raises(OptionError) as raised:
        Client(**{"server": HTTP, **options})
    return str(raised.value)


@pytest.mark.parametrize(
    "server",
    [
        "",
        "localhost:7443",
        "ftp://localhost",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://me@host",
        "http://host/path",
    ],
)
def test_a_server_is_a_url_of_a_host(server: str) -> None:
    message = refused(server=server)
    assert message.startswith("server: ")
    assert "http" in message


@pytest.mark.parametrize("server", ["http://me:hunter2@host:7443", "http://me:hunter2@host:port", "http://me:hunter2"])
def test_a_password_in_the_servers_url_is_not_repeated(server: str) -> None:
    assert "hunter2" not in refused(server=server)


@pytest.mark.parametrize(
    "server", ["http://127.0.0.1", "http://[::1]:7443", "https://host:1", "http://localhost:7443/"]
)
def test_a_server_may_be_a_name_or_an_address(server: str) -> None:
    Client(server).close()


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_positive_number(timeout: float) -> None:
    assert refused(timeout=timeout) == f"timeout: expected a number greater than 0, not {timeout!r}"


def test_a_principal_fits_a_header() -> None:
    assert refused(principal="a\nb").startswith("principal: expected visible ASCII characters")


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "holds no token"), (b"Bearer s3cret", "without the word Bearer"), (b"s3\x00cret", "a header cannot carry")],
)
def test_a_token_file_holds_one_token(tmp_path: pathlib.Path, content: bytes, why: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    message = refused(token_file=file)
    assert message.startswith("token_file: ")
    assert why in message
    assert "s3" not in message


def test_a_token_leaves_this_machine_only_over_tls(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("token")
    assert "the token is not sent" in refused(server="http://sharewarden.example.com", token_file=file)
    Client("https://sharewarden.example.com", token_file=file).close()


def test_files_of_tls_need_https_and_each_other_and_a_certificate(tmp_path: pathlib.Path) -> None:
    file, missing = tmp_path / "a.pem", tmp_path / "missing.pem"
    file.write_text("no certificate")
    assert refused(tls_ca=file).startswith("tls_ca: needs TLS")
    assert refused(server=HTTPS, tls_certificate=file).startswith("tls_key: a client certificate needs its private key")
    assert refused(server=HTTPS, tls_ca=missing) == f"tls_ca: cannot read {missing}: No such file or directory"
    assert refused(server=HTTPS, tls_ca=file).startswith(f"tls_ca: cannot use {file}")
    assert refused(server=HTTPS, tls_certificate=file, tls_key=file).startswith(f"tls_certificate: cannot use {file}")


def test_options_of_the_program_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAREWARDEN_SERVER", "no URL")
    with pytest.raises(OptionError, match="server: "):
        Client.from_environment()
    Client.from_environment(server=HTTP).close()
