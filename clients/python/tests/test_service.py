"""The clients against the running service."""

from __future__ import annotations

import asyncio
import pathlib
import re
import subprocess
import sys
import threading
import time

import grpc
import pytest

from sharewarden import AsyncClient, Client, Failed, Unreachable, Unresolved
from sharewarden.v1 import (
    Change,
    GetChangeRequest,
    GetSharePermissionRequest,
    ListAuditEntriesRequest,
    ListSharePermissionsRequest,
    RevokeSharePermissionRequest,
    SharePermission,
    WatchAuditEntriesRequest,
)

from .proxy import Proxy
from .service import ACCOUNT, IMAGE, PRINCIPAL, REGION, Service, until

PACKAGE = pathlib.Path(__file__).parent.parent
LATE = {"kind": "latency", "milliseconds": 4_000, "moment": "after_applying"}


def test_a_lost_answer_is_fetched_with_the_same_request_id(service: Service) -> None:
    request = service.grant()
    recipient = request.shared_account_id
    service.fault(recipient, LATE)
    with Proxy(service.address) as proxy, service.client(server=proxy.url) as client:

        def break_the_first() -> None:
            until(lambda: service.updates()[recipient])
            proxy.break_all()

        breaking = threading.Thread(target=break_the_first)
        breaking.start()
        answer = client.grant(request)
        breaking.join()
        assert answer.replayed, "the first try was accepted"
        assert answer.change.state == Change.STATE_SUCCEEDED
        assert service.updates()[recipient] == 1
        kinds = sorted(entry.kind for entry in service.entries(client, recipient))
    assert kinds == ["change.requested", "change.succeeded"]


def test_a_service_that_says_nothing_any_more_is_noticed_long_before_the_timeout(service: Service) -> None:
    with Proxy(service.address) as proxy, service.client(server=proxy.url, timeout=60) as client:
        client.call(client.share_permissions.ListSharePermissions, ListSharePermissionsRequest())
        proxy.silence_all()
        begun = time.monotonic()
        # Without keepalive, the call would wait for its whole timeout. With it, it finds a new connection.
        client.call(client.share_permissions.ListSharePermissions, ListSharePermissionsRequest())
        assert time.monotonic() - begun < 30


def test_an_outcome_that_is_unknown_at_the_timeout_can_be_fetched_later(service: Service) -> None:
    request = service.grant()
    service.fault(request.shared_account_id, LATE)
    with service.client() as client:
        with pytest.raises(Unresolved) as raised:
            client.grant(request, timeout=1.5)
        assert raised.value.reason == "CHANGE_PENDING"
        followed = client.follow(GetChangeRequest(account_id=ACCOUNT, change_id=raised.value.change_id))
        assert followed.change.state == Change.STATE_SUCCEEDED
        request.request_id = raised.value.request_id
        assert client.grant(request).replayed
    assert service.updates()[request.shared_account_id] == 1


def test_a_refusal_has_its_reason_and_the_wrong_fields(service: Service) -> None:
    with service.client() as client, pytest.raises(Failed) as raised:
        client.grant(service.grant(image_id="no image"))
    assert raised.value.reason == "INVALID_FIELDS"
    [violation] = raised.value.status.violations
    assert violation.field == "image_id"
    assert str(raised.value).endswith(f"; image_id: {violation.description}")


def test_the_asyncio_client_grants_reads_and_revokes(service: Service) -> None:
    request = service.grant()
    recipient = request.shared_account_id

    async def use() -> None:
        async with AsyncClient(service.url, principal=PRINCIPAL) as client:
            granted = await client.grant(request)
            assert granted.change.principal == PRINCIPAL
            which = GetSharePermissionRequest(
                account_id=ACCOUNT, region=REGION, image_id=IMAGE, shared_account_id=recipient
            )
            read = await client.call(client.share_permissions.GetSharePermission, which)
            assert read.permission.state == SharePermission.STATE_SHARED
            entries = await client.audit.ListAuditEntries(ListAuditEntriesRequest())
            assert entries.entries
            revoke = RevokeSharePermissionRequest(
                account_id=ACCOUNT, region=REGION, image_id=IMAGE, shared_account_id=recipient, reason="test"
            )
            assert (await client.revoke(revoke)).warning
            async for message in client.audit.WatchAuditEntries(WatchAuditEntriesRequest()):
                assert message.HasField("started")
                break

    asyncio.run(use())


def test_the_generated_clients_carry_the_credentials(service: Service) -> None:
    with service.client() as client:
        page = client.share_permissions.ListSharePermissions(ListSharePermissionsRequest(account_id=ACCOUNT))
        assert page is not None
        watch = client.audit.WatchAuditEntries(WatchAuditEntriesRequest())
        assert next(iter(watch)).HasField("started")
        watch.cancel()
    with Client(service.url) as nobody, pytest.raises(grpc.RpcError) as raised:
        nobody.share_permissions.ListSharePermissions(ListSharePermissionsRequest())
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_that_is_longer_than_the_service_reads_fails_at_once(service: Service, tmp_path: pathlib.Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 20_000)
    client = Client(service.url, token_file=token)
    with pytest.raises(Failed) as raised:
        client.grant(service.grant())
    client.close()
    assert str(raised.value) == "the token is longer than the service allows (HTTP 431) (UNAUTHENTICATED)"


def test_a_server_that_is_not_there_is_named_with_the_cause(service: Service) -> None:
    with Proxy(service.address) as proxy:
        gone = proxy.url
    with pytest.raises(Unreachable, match=f"cannot connect to {gone}: .*refused"):
        Client(gone, timeout=0.5).__enter__()


def test_the_readmes_examples_run(service: Service, tmp_path: pathlib.Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text("\n".join(examples).replace("http://127.0.0.1:7443", service.url))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shared by the change ")
    lines = examples[0].splitlines()
    assert len([line for line in lines if line]) <= 10
