"""The ledger says what is lost, and the figures of a recovery are what they are called."""

from collections.abc import Mapping, Sequence

import pytest

from tests.faults.ledger import Answer, Receipt, Record, Verdict, judge
from tests.faults.recovery import Spread, delays, spread, until_the_next

ACCEPTED, REFUSED, UNKNOWN = Answer.ACCEPTED, Answer.REFUSED, Answer.UNKNOWN


def came(key: str, status: int = 204, message_id: str | None = None, at: float = 1.0) -> Receipt:
    return Receipt(key, message_id or f"msg_{key}", at, status)


def booked(key: str, status: str = "delivered", attempts: int = 1, lost: int = 0) -> Record:
    reasons = {"delivered": "accepted", "failed": "attempts_exhausted", "cancelled": "superseded"}
    return Record(key, f"msg_{key}", status, reasons.get(status), attempts, lost)


def wrong(verdict: Verdict) -> dict[str, set[str]]:
    found: dict[str, Mapping[str, str]] = {
        "lost": verdict.lost,
        "unexpected": verdict.unexpected,
        "unsettled": verdict.unsettled,
    }
    return {name: set(keys) for name, keys in found.items() if keys}


@pytest.mark.parametrize(
    ("attempted", "receipts", "records", "expected"),
    [
        # All is well: once, twice, and explained where it is not.
        ({"a": ACCEPTED}, [came("a")], [booked("a")], {}),
        ({"a": ACCEPTED}, [came("a"), came("a")], [booked("a", attempts=2)], {}),
        ({"a": ACCEPTED}, [came("a", 500), came("a")], [booked("a", attempts=2)], {}),
        ({"a": ACCEPTED}, [], [booked("a", "cancelled", 0)], {}),
        ({"a": ACCEPTED}, [came("a", 500)], [booked("a", "failed")], {}),
        ({"a": ACCEPTED}, [came("a")], [booked("a", "failed", 1, lost=1)], {}),
        ({"a": REFUSED, "b": UNKNOWN}, [], [], {}),
        ({"a": ACCEPTED}, [came("a")], None, {}),
        # It was accepted, and is gone; whatever the books say, and also where they say nothing.
        ({"a": ACCEPTED}, [], [], {"lost": {"a"}}),
        ({"a": ACCEPTED}, [], None, {"lost": {"a"}}),
        ({"a": ACCEPTED}, [], [booked("a")], {"lost": {"a"}}),
        ({"a": ACCEPTED}, [came("a", 500)], [booked("a")], {"lost": {"a"}}),
        # Nobody heard the answer, and it was committed.
        ({"a": UNKNOWN}, [], [booked("a")], {"lost": {"a"}}),
        # Owed only if the record says so.
        ({"a": Answer.CONDITIONAL}, [], [], {}),
        ({"a": Answer.CONDITIONAL}, [came("a")], [booked("a")], {}),
        ({"a": Answer.CONDITIONAL}, [], [booked("a")], {"lost": {"a"}}),
        # It has no end.
        ({"a": ACCEPTED}, [], [booked("a", "pending")], {"lost": {"a"}, "unsettled": {"a"}}),
        ({"a": ACCEPTED}, [came("a")], [booked("a", "retrying")], {"unsettled": {"a"}}),
        # It came, and should not have.
        ({}, [came("a")], None, {"unexpected": {"a"}}),
        ({"a": REFUSED}, [came("a")], None, {"unexpected": {"a"}}),
        ({"a": ACCEPTED}, [came("a"), came("a", 204, "another")], None, {"unexpected": {"a"}}),
        # The books and the receiver contradict each other.
        ({"a": ACCEPTED}, [came("a")], [booked("a", "cancelled")], {"unsettled": {"a"}}),
        ({"a": ACCEPTED}, [came("a")], [booked("a", "failed")], {"unsettled": {"a"}}),
        ({"a": ACCEPTED}, [came("a"), came("a")], [booked("a")], {"unsettled": {"a"}}),
        ({"a": ACCEPTED}, [came("a")], [booked("a")] * 2, {"unsettled": {"a"}}),
        (
            {"a": ACCEPTED, "b": ACCEPTED},
            [came("a"), came("b")],
            [booked("a")],
            {"unsettled": {"b"}},
        ),
    ],
)
def test_what_is_wrong_is_found(
    attempted: Mapping[str, Answer],
    receipts: Sequence[Receipt],
    records: Sequence[Record] | None,
    expected: dict[str, set[str]],
) -> None:
    verdict = judge(attempted, receipts, records)
    assert wrong(verdict) == expected
    assert verdict.holds is not bool(expected)


def test_a_receipt_with_a_fault_is_unexpected() -> None:
    verdict = judge({"a": ACCEPTED}, [Receipt("a", "msg_a", 1.0, 204, "its signature is wrong")])
    assert verdict.unexpected == {"a": "its signature is wrong"}


def test_the_counts_are_of_messages() -> None:
    attempted = dict.fromkeys("abc", ACCEPTED) | dict.fromkeys("de", UNKNOWN) | {"f": REFUSED}
    receipts = [came("a"), came("a"), came("a"), came("b"), came("b", 500), came("d")]
    records = [booked("a", attempts=3), booked("b", attempts=2), booked("d")]
    verdict = judge(attempted, receipts, [*records, booked("c", "cancelled", 0)])
    assert verdict.holds
    assert (verdict.attempted, verdict.accepted, verdict.refused, verdict.unknown) == (6, 4, 1, 2)
    assert (verdict.arrived, verdict.recovered) == (3, 1)
    assert (verdict.duplicated, verdict.extra) == (1, 2)
    assert verdict.ended == {"delivered: accepted": 3, "cancelled: superseded": 1}


def test_percentiles_are_durations_that_there_were() -> None:
    assert spread([]) == Spread(0, 0.0, 0.0, 0.0)
    assert spread([3.0]) == Spread(1, 3.0, 3.0, 3.0)
    assert spread(float(number) for number in range(100, 0, -1)) == Spread(100, 50.0, 99.0, 100.0)
    assert spread([1.0, 2.0]) == Spread(2, 1.0, 2.0, 2.0)


def test_recovery_counts_from_the_kill() -> None:
    # Accepted and arrived between kills; open at one; open at two, which counts from the first.
    spans = [(0.0, 0.5), (0.5, 2.0), (0.5, 9.0), (7.0, 8.0)]
    # Before the first and after the last nothing was owed.
    assert until_the_next([-1.0, 0.25, 1.0, 5.0, 9.5], spans) == [0.25, 1.0, 3.0]
    assert delays(spans, [1.0, 5.0]) == [1.0, 8.0]
