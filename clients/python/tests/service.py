"""A running service, as a test sees it: its addresses, the calls that reached AWS, the ledger."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sharewarden import Client
from sharewarden.v1 import AuditEntry, AuditEntryFilter, GrantSharePermissionRequest, ListAuditEntriesRequest

ACCOUNT, REGION, IMAGE = "111122223333", "eu-central-1", "wsi-basewin11"
UPDATE = "UpdateWorkspaceImagePermission"
PRINCIPAL = "tester@example.com"
START_SECONDS = 60.0


@dataclass
class Service:
    """`sharewarden dev` with its simulator of AWS."""

    url: str
    simulator: str
    _recipients: Iterator[int] = field(default_factory=lambda: itertools.count(500_000_000_000))

    @classmethod
    @contextlib.contextmanager
    def running(cls, program: pathlib.Path, folder: pathlib.Path) -> Iterator[Service]:
        """Starts the program, and ends it after the tests."""
        out, err = folder / "out", folder / "err"
        command = [
            os.fspath(program),
            "dev",
            "--ephemeral",
            "--listen",
            "127.0.0.1:0",
            "--simulator-listen",
            "127.0.0.1:0",
        ]
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL)
        try:
            until(lambda: "Ctrl-C" in out.read_text() or process.poll() is not None, START_SECONDS)
            found = dict(re.findall(r"^ +(gRPC|simulator) +(http\S+)", out.read_text(), re.MULTILINE))
            assert len(found) == 2, f"dev did not start: {out.read_text()}{err.read_text()}"
            yield cls(found["gRPC"], found["simulator"])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(timeout=START_SECONDS) == 0, err.read_text()
            finally:
                process.kill()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the service."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def client(self, **options: Any) -> Client:
        """A client of the service without anything between."""
        return Client(**{"server": self.url, "principal": PRINCIPAL, **options})

    def grant(self, **fields: Any) -> GrantSharePermissionRequest:
        """A grant for a recipient that no other test has."""
        request = GrantSharePermissionRequest(
            account_id=ACCOUNT,
            region=REGION,
            image_id=IMAGE,
            shared_account_id=str(next(self._recipients)),
            reason="test",
        )
        request.MergeFrom(GrantSharePermissionRequest(**fields))
        return request

    def fault(self, recipient: str, effect: dict[str, Any], calls: int = 1) -> None:
        """The next calls to AWS about the recipient have this effect."""
        self._simulator("faults", {"when": {"shared_account": recipient}, "calls": calls, "effect": effect})

    def updates(self) -> Counter[str]:
        """How many calls of AWS changed the permission of each recipient."""
        calls = self._simulator("calls")
        return Counter(call["shared_account"] for call in calls if call["operation"] == UPDATE)

    def recipients(self) -> set[str]:
        """The accounts that AWS shares the image with."""
        images = self._simulator("state")["images"]
        return {account for image in images if image["image_id"] == IMAGE for account in image["shared_with"]}

    def entries(self, client: Client, recipient: str) -> list[AuditEntry]:
        """The ledger's entries about the recipient."""
        request = ListAuditEntriesRequest(filter=AuditEntryFilter(shared_account_id=recipient))
        return list(client.call(client.audit.ListAuditEntries, request).entries)

    def _simulator(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.simulator}/_simulator/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def until(condition: Any, seconds: float = 30.0) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.01)
