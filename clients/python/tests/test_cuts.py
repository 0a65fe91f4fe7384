"""The client's promises hold wherever its connection is cut: one request id, one effect, one truthful answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest

from sharewarden import AsyncClient, Client, Unresolved
from sharewarden.v1 import AuditEntry, Change, GrantSharePermissionRequest, GrantSharePermissionResponse

from .proxy import DOWN, PARTS, UP, Cut, Proxy
from .service import PRINCIPAL, Service

AT_ONCE = 8
PATIENCE, HASTE = 60.0, 2.0
"""Seconds: longer than any grant takes, and enough for a grant without a cut."""

Outcome = GrantSharePermissionResponse | Unresolved


@dataclass(frozen=True)
class Run:
    """A grant through a proxy that cuts, and how it ended."""

    cut: Cut
    was_cut: bool
    request: GrantSharePermissionRequest
    outcome: Outcome


@pytest.fixture(scope="module")
def cuts(service: Service) -> list[Cut]:
    """Every frame of a grant, in both directions, at each part."""
    with Proxy(service.address) as proxy, contextlib.closing(service.client(server=proxy.url)) as client:
        client.grant(service.grant())
        seen = dict(proxy.frames)
    assert min(seen[UP], seen[DOWN]) >= 4, "settings, headers, data, trailers"
    # One more than seen: the number of frames depends on timing.
    return [Cut(way, frame, part) for way in (UP, DOWN) for frame in range(seen[way] + 1) for part in PARTS]


def threads(service: Service, cuts: list[Cut], *, for_good: bool, grant: Callable[..., Outcome]) -> list[Run]:
    def one(cut: Cut) -> Run:
        request = service.grant(request_id=str(uuid.uuid4()))
        with (
            Proxy(service.address, cut, for_good=for_good) as proxy,
            contextlib.closing(
                Client(proxy.url, principal=PRINCIPAL, timeout=HASTE if for_good else PATIENCE)
            ) as client,
        ):
            outcome = grant(client, request)
            return Run(cut, proxy.was_cut, request, outcome)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, cuts))


def granted(client: Client, request: GrantSharePermissionRequest) -> Outcome:
    try:
        return client.grant(request)
    except Unresolved as error:
        return error


def granted_by_threads(service: Service, cuts: list[Cut], *, for_good: bool) -> list[Run]:
    return threads(service, cuts, for_good=for_good, grant=granted)


def granted_by_tasks(service: Service, cuts: list[Cut], *, for_good: bool) -> list[Run]:
    async def one(cut: Cut, places: asyncio.Semaphore) -> Run:
        request = service.grant(request_id=str(uuid.uuid4()))
        timeout = HASTE if for_good else PATIENCE
        async with places:
            with Proxy(service.address, cut, for_good=for_good) as proxy:
                client = AsyncClient(proxy.url, principal=PRINCIPAL, timeout=timeout)
                outcome: Outcome
                try:
                    outcome = await client.grant(request)
                except Unresolved as error:
                    outcome = error
                finally:
                    await client.close()
                return Run(cut, proxy.was_cut, request, outcome)

    async def all_of_them() -> list[Run]:
        places = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(one(cut, places) for cut in cuts))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("runs_of", [granted_by_threads, granted_by_tasks])
def test_a_grant_acts_once_and_tells_its_success_wherever_its_connection_is_cut(
    service: Service, cuts: list[Cut], runs_of: Callable[..., list[Run]]
) -> None:
    runs = runs_of(service, cuts, for_good=False)
    assert sum(run.was_cut for run in runs) > len(runs) / 2, "most cuts came before the end of the grant"
    assert broken_promises(service, runs) == []


@pytest.mark.parametrize("runs_of", [granted_by_threads, granted_by_tasks])
def test_a_grant_is_unresolved_if_no_connection_comes_back_and_its_request_id_finds_out(
    service: Service, cuts: list[Cut], runs_of: Callable[..., list[Run]]
) -> None:
    runs = runs_of(service, cuts, for_good=True)
    unresolved = [run for run in runs if isinstance(run.outcome, Unresolved)]
    assert len(unresolved) > len(runs) / 2, "most cuts came before the answer"
    with service.client() as client:
        for run in unresolved:
            assert isinstance(run.outcome, Unresolved)
            assert run.outcome.request_id == run.request.request_id
        again = [
            Run(run.cut, run.was_cut, run.request, client.grant(run.request) if run in unresolved else run.outcome)
            for run in runs
        ]
    assert broken_promises(service, again) == []


def test_these_tests_find_a_client_that_makes_a_new_id_for_each_try(service: Service, cuts: list[Cut]) -> None:
    def broken(client: Client, request: GrantSharePermissionRequest) -> Outcome:
        while True:
            request.request_id = str(uuid.uuid4())
            try:
                return client.share_permissions.GrantSharePermission(request)
            except grpc.RpcError:
                time.sleep(0.05)

    runs = threads(service, cuts, for_good=False, grant=broken)
    assert broken_promises(service, runs) != []


def broken_promises(service: Service, runs: list[Run]) -> list[str]:
    """What is not as promised, by run."""
    updates, shared = service.updates(), service.recipients()
    with service.client() as client:
        return [
            f"{run.cut}: {broken}"
            for run in runs
            for broken in broken_by(
                run,
                updates[run.request.shared_account_id],
                shared,
                service.entries(client, run.request.shared_account_id),
            )
        ]


def broken_by(run: Run, updates: int, shared: set[str], entries: list[AuditEntry]) -> Iterator[str]:
    if not isinstance(run.outcome, GrantSharePermissionResponse):
        yield f"no answer: {run.outcome}"
        return
    if run.outcome.change.state != Change.STATE_SUCCEEDED or run.request.shared_account_id not in shared:
        yield "the change is not in effect"
    if updates != 1:
        yield f"{updates} calls to AWS"
    kinds = sorted(entry.kind for entry in entries)
    if kinds != ["change.requested", "change.succeeded"]:
        yield f"the ledger has {kinds}"
    ids = {entry.change.request_id for entry in entries} | {run.outcome.change.request_id}
    if ids != {run.request.request_id}:
        yield f"request ids {ids}"
