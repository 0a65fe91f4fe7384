"""Calls against a scripted server: what is sent again, with what, and what the caller learns. For both clients."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from grpc import StatusCode

from sharewarden import AsyncClient, CallError, Client, Error, Failed, Unresolved
from sharewarden.v1 import (
    Change,
    GetChangeRequest,
    GetChangeResponse,
    GrantSharePermissionRequest,
    GrantSharePermissionResponse,
    RevokeSharePermissionRequest,
    RevokeSharePermissionResponse,
)

from .scripted import refuse, scripted

GRANT = GrantSharePermissionRequest(image_id="wsi-basewin11", request_id="one")
Call = Callable[..., Any]


def by_thread(url: str, method: str, request: object, **options: Any) -> Any:
    client = Client(url, **options)
    try:
        return getattr(client, method)(request)
    finally:
        client.close()


def by_task(url: str, method: str, request: object, **options: Any) -> Any:
    async def call() -> Any:
        client = AsyncClient(url, **options)
        try:
            return await getattr(client, method)(request)
        finally:
            await client.close()

    return asyncio.run(call())


@pytest.fixture(params=[by_thread, by_task])
def call(request: pytest.FixtureRequest) -> Call:
    made: Call = request.param
    return made


def success(*_: object) -> bytes:
    change = Change(state=Change.STATE_SUCCEEDED, change_id="7")
    return GrantSharePermissionResponse(change=change, replayed=True).SerializeToString()


PENDING = refuse(StatusCode.DEADLINE_EXCEEDED, "CHANGE_PENDING", change_id="7", request_id="one")
LOST = refuse(StatusCode.UNAVAILABLE)


def test_a_pending_change_is_followed_to_its_end_with_the_same_request(call: Call) -> None:
    with scripted(PENDING, LOST, PENDING, success) as server:
        assert call(server.url, "grant", GRANT).change.change_id == "7"
    assert {asked.method for asked in server.asked} == {"/sharewarden.v1.SharePermissionService/GrantSharePermission"}
    assert {asked.message for asked in server.asked} == {GRANT.SerializeToString()}
    assert len(server.asked) == 4


def test_a_request_without_an_id_gets_one_for_all_tries_and_stays_as_it_is(call: Call) -> None:
    answer = RevokeSharePermissionResponse(warning="copies stay").SerializeToString()
    request = RevokeSharePermissionRequest(image_id="wsi-basewin11")
    with scripted(LOST, lambda *_: answer) as server:
        assert call(server.url, "revoke", request).warning == "copies stay"
    first, second = (RevokeSharePermissionRequest.FromString(asked.message) for asked in server.asked)
    assert len(first.request_id) == 36
    assert first == second
    assert request.request_id == ""


def test_all_tries_share_the_callers_deadline(call: Call) -> None:
    with scripted(LOST) as server, pytest.raises(Unresolved) as raised:
        call(server.url, "grant", GRANT, timeout=3.0)
    first, *_, last = (asked.timeout for asked in server.asked)
    assert last < first < 3.1, "grpcio rounds a timeout up"
    assert raised.value.request_id == "one"


def test_the_delay_that_the_service_asks_for_is_kept(call: Call) -> None:
    with scripted(refuse(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", delay=0.6), success) as server:
        call(server.url, "grant", GRANT, timeout=30.0)
    first, second = (asked.at for asked in server.asked)
    assert second - first >= 0.6


def test_a_final_refusal_is_not_sent_again(call: Call) -> None:
    refusal = refuse(StatusCode.ABORTED, "CHANGE_SUPERSEDED", change_id="7")
    with scripted(refusal, success) as server, pytest.raises(Failed) as raised:
        call(server.url, "grant", GRANT)
    assert len(server.asked) == 1
    error = raised.value
    assert (error.reason, error.change_id, error.request_id) == ("CHANGE_SUPERSEDED", "7", "one")
    assert str(error) == "as scripted (CHANGE_SUPERSEDED)"


def test_a_reason_of_a_newer_service_keeps_its_name_and_one_of_another_service_has_none(call: Call) -> None:
    def raised_by(reason: str, domain: str) -> CallError:
        with (
            scripted(refuse(StatusCode.FAILED_PRECONDITION, reason, domain=domain)) as server,
            pytest.raises(Failed) as raised,
        ):
            call(server.url, "grant", GRANT)
        return raised.value

    assert raised_by("FULL_MOON", "sharewarden.v1").reason == "FULL_MOON"
    other = raised_by("IMAGE_NOT_FOUND", "example.com")
    assert (other.reason, dict(other.metadata)) == (None, {})


def test_details_that_cannot_be_read_count_as_absent(call: Call) -> None:
    def damaged(_: bytes, context: Any) -> None:
        context.set_trailing_metadata([("grpc-status-details-bin", b"\xff\xff")])
        context.abort(StatusCode.NOT_FOUND, "gone")

    with scripted(damaged) as server, pytest.raises(Failed, match=r"gone \(NOT_FOUND\)"):  # type: ignore[arg-type]
        call(server.url, "grant", GRANT)


def test_the_maximum_of_tries_ends_a_call(call: Call) -> None:
    with scripted(LOST) as server, pytest.raises(Unresolved):
        call(server.url, "grant", GRANT, max_tries=2)
    assert len(server.asked) == 2


def test_a_grant_whose_client_is_closed_is_unresolved() -> None:
    closing = threading.Event()

    def wait(message: bytes, context: Any) -> bytes:
        closing.set()
        return refuse(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", delay=0.5)(message, context)

    with scripted(LOST, wait, success) as server:
        client = Client(server.url)

        def close() -> None:
            closing.wait()
            client.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(Unresolved) as raised:
            client.grant(GRANT)
        closer.join()
        assert raised.value.request_id == "one"
        with pytest.raises(Error, match="the client is closed"):
            client.grant(GRANT)
        with pytest.raises(ValueError, match="closed"):
            client.share_permissions.GrantSharePermission(GRANT)


def test_follow_polls_until_the_change_has_ended(call: Call) -> None:
    def state(state: Change.State.ValueType) -> Callable[..., bytes]:
        return lambda *_: GetChangeResponse(change=Change(state=state)).SerializeToString()

    request = GetChangeRequest(change_id="7")
    with scripted(state(Change.STATE_PENDING), LOST, state(Change.STATE_FAILED)) as server:
        assert call(server.url, "follow", request).change.state == Change.STATE_FAILED
    with scripted(state(Change.STATE_PENDING)) as server:
        assert call(server.url, "follow", request, timeout=1.0).change.state == Change.STATE_PENDING


def test_each_try_carries_the_credentials_that_are_valid_now_and_no_log_has_them(
    call: Call, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("first-secret\n")

    def expire(message: bytes, context: Any) -> bytes:
        token.write_text("second-secret\n")
        return LOST(message, context)

    def remove(message: bytes, context: Any) -> bytes:
        token.unlink()
        return LOST(message, context)

    with caplog.at_level(logging.DEBUG), scripted(expire, remove, success) as server:
        call(server.url, "grant", GRANT, token_file=token, principal="me")
    sent = [asked.metadata["authorization"] for asked in server.asked]
    assert sent == ["Bearer first-secret", "Bearer second-secret", "Bearer second-secret"]
    assert {asked.metadata["x-sharewarden-principal"] for asked in server.asked} == {"me"}
    assert str(server.asked[0].metadata["user-agent"]).startswith("sharewarden-python/")
    assert "GrantSharePermission one: UNAVAILABLE after 1 tries; next in " in caplog.text
    assert "secret" not in caplog.text
