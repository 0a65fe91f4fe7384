"""The decision after each try: pure functions."""

from __future__ import annotations

import math

import pytest
from grpc import StatusCode

from sharewarden import Failed, Status, Unresolved
from sharewarden._decisions import (
    CLASSES,
    WITHOUT_EFFECT,
    ErrorClass,
    Retry,
    Tries,
    after_change,
    after_read,
    backoff,
    class_of,
)
from sharewarden.v1 import ErrorReason

LOST = Status(StatusCode.UNAVAILABLE, "the connection broke")
PENDING = Status(StatusCode.DEADLINE_EXCEEDED, reason="CHANGE_PENDING", metadata={"change_id": "7"})
OVERLOADED = Status(StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_delay=3.0)
NO_ROLE = Status(StatusCode.PERMISSION_DENIED, reason="POLICY_DENIED", metadata={"rule": "no_role"})


def after(*statuses: Status, remaining: float = 30.0, max_tries: float = math.inf) -> Retry | Failed | Unresolved:
    """The decision after tries that ended with these statuses."""
    tries = Tries()
    for status in statuses[:-1]:
        decision = after_change(tries, status, math.inf, max_tries, 1.0)
        assert isinstance(decision, Retry)
        tries = decision.tries
    return after_change(tries, statuses[-1], remaining, max_tries, 1.0)


def test_every_reason_has_a_class() -> None:
    assert set(CLASSES) == {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118


@pytest.mark.parametrize("code", list(StatusCode))
def test_a_status_without_a_known_reason_is_in_doubt_unless_its_code_shows_that_there_was_no_effect(
    code: StatusCode,
) -> None:
    expected = ErrorClass.REJECTED if code in WITHOUT_EFFECT else ErrorClass.IN_DOUBT
    assert class_of(Status(code)) is expected
    assert class_of(Status(code, reason="FULL_MOON")) is expected


def test_a_refusal_is_final_only_if_it_is_on_record() -> None:
    assert class_of(NO_ROLE) is ErrorClass.REJECTED
    for on_record in ("change_id", "log_index"):
        status = Status(NO_ROLE.code, reason="POLICY_DENIED", metadata={on_record: "7"})
        assert class_of(status) is ErrorClass.FINAL


def test_an_overload_is_retried_after_the_delay_of_the_service_and_not_without_one() -> None:
    decision = after(OVERLOADED)
    assert isinstance(decision, Retry)
    assert decision.delay == 3.0
    assert isinstance(after(Status(OVERLOADED.code, reason="OVERLOADED")), Failed)


def test_a_delay_that_passes_the_deadline_ends_the_tries() -> None:
    assert isinstance(after(OVERLOADED, remaining=3.0), Failed)
    assert isinstance(after(LOST, OVERLOADED, remaining=3.0), Unresolved)


def test_a_refusal_after_a_doubt_leaves_the_doubt() -> None:
    decision = after(LOST, NO_ROLE)
    assert isinstance(decision, Unresolved)
    assert decision.status is NO_ROLE


def test_a_final_answer_ends_the_doubt() -> None:
    decision = after(LOST, PENDING, Status(StatusCode.ABORTED, reason="CHANGE_SUPERSEDED"))
    assert isinstance(decision, Failed)
    assert decision.reason == "CHANGE_SUPERSEDED"


def test_an_unresolved_outcome_has_the_change_that_the_service_accepted() -> None:
    decision = after(PENDING, LOST, remaining=0.0)
    assert isinstance(decision, Unresolved)
    assert (decision.reason, decision.change_id) == ("CHANGE_PENDING", "7")


def test_the_maximum_of_tries_counts_from_the_last_sign_that_the_change_is_pending() -> None:
    assert isinstance(after(LOST, LOST, max_tries=2), Unresolved)
    assert isinstance(after(LOST, PENDING, LOST, max_tries=2), Retry)
    assert isinstance(after(LOST, PENDING, LOST, LOST, max_tries=2), Unresolved)


def test_a_read_is_retried_only_while_the_service_is_unavailable() -> None:
    def decision(status: Status) -> type:
        return type(after_read(Tries(), status, 30.0, math.inf, 0.5))

    assert decision(LOST) is Retry
    assert decision(Status(StatusCode.UNAVAILABLE, reason="UPSTREAM_UNAVAILABLE")) is Failed
    for code in set(StatusCode) - {StatusCode.UNAVAILABLE}:
        assert decision(Status(code)) is Failed


def test_delays_double_up_to_a_limit() -> None:
    assert [backoff(failed, 1.0) for failed in range(1, 8)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4])
    assert backoff(1, 0.0) == pytest.approx(0.1)
