"""The calls of the client as generators: they yield what to do, and get what came of it.

A generator does no input or output, so `Client` and `AsyncClient` share it. Each has one loop that does the steps.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from grpc import StatusCode

from ._decisions import Retry, Tries, after_change, after_read, backoff
from ._errors import Failed, Status, Unreachable, Unresolved
from .v1 import Change, GetChangeResponse

logger = logging.getLogger("sharewarden")

MIN_REMAINING = 0.05
"""With less time left than this, a call would end before its answer arrives."""
FIRST_POLL, MAX_POLL = 0.1, 5.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Attempt:
    """Send the request, and wait this number of seconds for its answer. The result is the answer or a `Status`."""

    timeout: float


@dataclass(frozen=True)
class Pause:
    """Wait this number of seconds."""

    seconds: float


Steps = Generator["Attempt | Pause", Any, Answer]
Decision = Callable[[Tries, Status, float, float, float], "Retry | Failed | Unresolved"]


class Deadline:
    """The end of a timeout that starts now, on the monotonic clock, or of the client."""

    def __init__(self, timeout: float, is_closed: Callable[[], bool]) -> None:
        self._end = time.monotonic() + timeout
        self._is_closed = is_closed

    def remaining(self) -> float:
        """The seconds that are left; 0 after the deadline, and if the client is closed."""
        return 0.0 if self._is_closed() else max(0.0, self._end - time.monotonic())


def change(name: str, request_id: str, deadline: Deadline, max_tries: float) -> Steps[Any]:
    """A grant or a revoke: the same request until its outcome is known or the deadline has passed."""
    try:
        return (yield from _until_decided(f"{name} {request_id}", after_change, deadline, max_tries))
    except (Failed, Unresolved) as error:
        error.request_id = request_id
        raise


def read(name: str, deadline: Deadline, max_tries: float) -> Steps[Any]:
    """Any other call."""
    return (yield from _until_decided(name, after_read, deadline, max_tries))


def _until_decided(name: str, decide: Decision, deadline: Deadline, max_tries: float) -> Steps[Any]:
    tries = Tries()
    while True:
        result = yield Attempt(deadline.remaining())
        if not isinstance(result, Status):
            return result
        # The delays of many clients must differ; they need not be secret.
        decision = decide(tries, result, deadline.remaining(), max_tries, random.random())  # noqa: S311
        if not isinstance(decision, Retry):
            raise decision
        what = result.reason or result.code.name
        logger.info("%s: %s after %d tries; next in %.2f s", name, what, decision.tries.failed, decision.delay)
        yield Pause(decision.delay)
        tries = decision.tries


def follow(deadline: Deadline, max_tries: float) -> Steps[GetChangeResponse]:
    """Polls a change until it has ended or the deadline has passed. Returns the last answer."""
    delay, seen = FIRST_POLL, None
    while True:
        try:
            answer: GetChangeResponse = yield from read("GetChange", deadline, max_tries)
        except Failed as error:
            if seen is not None and error.status.code in (StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED):
                return seen
            raise
        has_ended = answer.HasField("change") and answer.change.state != Change.STATE_PENDING
        if has_ended or deadline.remaining() < MIN_REMAINING:
            return answer
        seen = answer
        # At most half of the remaining time, so that the last poll is close to the deadline.
        yield Pause(min(delay * (0.75 + 0.5 * random.random()), deadline.remaining() / 2))  # noqa: S311
        delay = min(delay * 2, MAX_POLL)


def connect(server: str, deadline: Deadline, max_tries: float) -> Steps[None]:
    """Calls the service until any answer shows that it is there."""
    failed = 0
    while True:
        result = yield Attempt(deadline.remaining())
        is_absent = isinstance(result, Status) and result.reason is None
        if not is_absent or result.code not in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED):
            return
        failed += 1
        delay = backoff(failed, random.random())  # noqa: S311
        if failed >= max_tries or delay >= deadline.remaining():
            raise Unreachable(f"cannot connect to {server}: {result.message}")
        yield Pause(delay)
