"""The ledger of a run, by the total-queue rule: what went in, what came out, what is missing.

A *message* is one event for one webhook. It is named by a key that whoever raises the alert puts
into it, so that sender and receiver can be compared without asking the system in between.

    attempted    was sent to the system
    accepted     the system said yes; or it was found committed, where the answer was lost
    recovered    nobody knows the answer, and it arrived
    lost         accepted, but never arrived, and no record says why
    unexpected   arrived, but was never attempted, or not as it was sent
    duplicated   arrived more than once

Only a receipt that was answered with 2xx is an arrival: after another answer it is still owed.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

OVER = frozenset({"delivered", "failed", "cancelled"})


class Answer(StrEnum):
    """What the sender was told. `CONDITIONAL`: it was asked for, and is owed only to those whom
    the record says; news of an end goes to those who were told of the beginning."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    CONDITIONAL = "conditional"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver got and answered; `fault` says what is wrong with it, if anything is.

    `at` is by the monotonic clock, which the processes of a machine share.
    """

    key: str
    message_id: str
    at: float
    status: int
    fault: str | None = None

    @property
    def is_arrival(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Record:
    """What the system's own books say of a message at the end."""

    key: str
    message_id: str
    status: str
    reason: str | None
    attempts_made: int
    attempts_lost: int = 0


@dataclass(frozen=True)
class Verdict:
    """Counts of keys (`extra` counts arrivals), and what is wrong, each with its reason."""

    attempted: int
    accepted: int
    refused: int
    unknown: int
    recovered: int
    arrived: int
    duplicated: int
    extra: int
    ended: Mapping[str, int]
    lost: Mapping[str, str] = field(default_factory=dict)
    unexpected: Mapping[str, str] = field(default_factory=dict)
    # The books and the receiver contradict each other, or a message has no end.
    unsettled: Mapping[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.unexpected or self.unsettled)


def judge(
    attempted: Mapping[str, Answer],
    receipts: Iterable[Receipt],
    records: Collection[Record] | None = None,
) -> Verdict:
    """`records` None: the system keeps no books."""
    got: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        got[receipt.key].append(receipt)
    arrived = {key for key, some in got.items() if any(one.is_arrival for one in some)}
    booked = {record.key: record for record in records or ()}
    accepted = {key for key, answer in attempted.items() if answer is Answer.ACCEPTED}
    accepted |= booked.keys() & attempted.keys()
    unknown = {key for key, answer in attempted.items() if answer is Answer.UNKNOWN}
    lost = {
        key: why
        for key in sorted(accepted - arrived)
        if (why := _why_lost(booked.get(key), records is not None)) is not None
    }
    arrivals = Counter(one.message_id for some in got.values() for one in some if one.is_arrival)
    return Verdict(
        attempted=len(attempted),
        accepted=len(accepted),
        refused=sum(answer is Answer.REFUSED for answer in attempted.values()),
        unknown=len(unknown),
        recovered=len(unknown & arrived),
        arrived=len(arrived),
        duplicated=sum(count > 1 for count in arrivals.values()),
        extra=sum(arrivals.values()) - len(arrivals),
        ended=dict(
            Counter(
                f"{record.status}: {record.reason}"
                for record in booked.values()
                if record.status in OVER
            )
        ),
        lost=lost,
        unexpected=dict(_unexpected(attempted, got)),
        unsettled=dict(_unsettled(records or (), got, arrived)),
    )


def _why_lost(record: Record | None, has_books: bool) -> str | None:
    """None where the record explains why it did not arrive."""
    if record is None:
        return "there is no record of it" if has_books else "it never arrived"
    if record.status in {"failed", "cancelled"} and record.reason is not None:
        return None
    return f"the record says {record.status}"


def _unexpected(
    attempted: Mapping[str, Answer], got: Mapping[str, list[Receipt]]
) -> Iterable[tuple[str, str]]:
    for key, some in got.items():
        faults = [one.fault for one in some if one.fault is not None]
        if faults:
            yield key, faults[0]
        elif key not in attempted:
            yield key, "nobody had sent it"
        elif attempted[key] is Answer.REFUSED:
            yield key, "it had been refused"
        elif len({one.message_id for one in some}) > 1:
            yield key, "it came under more than one webhook-id"


def _unsettled(
    records: Collection[Record], got: Mapping[str, list[Receipt]], arrived: set[str]
) -> Iterable[tuple[str, str]]:
    times_booked = Counter(record.key for record in records)
    for record in records:
        receipts = got.get(record.key, [])
        if times_booked[record.key] > 1:
            yield record.key, f"it is on record {times_booked[record.key]} times"
        elif record.status not in OVER:
            yield record.key, f"it has no end: {record.status}"
        elif record.status == "cancelled" and record.key in arrived and not record.attempts_lost:
            yield record.key, "it arrived, and the record says cancelled"
        elif record.status == "failed" and record.key in arrived and not record.attempts_lost:
            yield record.key, "it arrived, and the record says failed"
        elif len(receipts) > record.attempts_made:
            yield record.key, f"{record.attempts_made} attempts counted, {len(receipts)} came"
    if records:
        for key in sorted(arrived - {record.key for record in records}):
            yield key, "it arrived, and there is no record of it"
