"""What came of a storm, and how it goes meanwhile."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.books import Inspector
from tests.faults.faults import Storm, Struck
from tests.faults.ledger import Receipt, Verdict
from tests.faults.load import Journal
from tests.faults.receiver import Receiver, is_steady
from tests.faults.recovery import Spread, delays, spread, until_the_next

PROGRESS_EVERY_SECONDS = 1.0

Say = Callable[[str], None]


class Watch:
    """Follows the receiver, and says now and then how it goes."""

    def __init__(self, receiver: Receiver, inspector: Inspector, say: Say) -> None:
        self.receipts: list[Receipt] = []
        self._receiver, self._inspector, self._say = receiver, inspector, say
        self._began = time.monotonic()
        self._said_at = 0.0
        self._arrived: set[str] = set()

    def read(self) -> None:
        news = self._inspector.receipts(self._receiver.news())
        self.receipts += news
        self._arrived |= {one.key for one in news if one.is_arrival}

    def tell(self, storm: Storm, journal: Journal) -> None:
        now = time.monotonic()
        if now < self._said_at + PROGRESS_EVERY_SECONDS:
            return
        self._said_at = now
        self.read()
        accepted = journal.accepted()
        owed = accepted.keys() - self._arrived
        self._say(
            f"{now - self._began:5.0f} s, {storm.kills} kills, {len(storm.struck) - storm.kills}"
            f" other faults, {len(accepted)} accepted, {len(self._arrived)} arrived,"
            f" {len(owed)} of them owed"
        )


@dataclass(frozen=True)
class Outcome:
    """Of one system in one storm. Durations are in seconds.

    Recovery is measured on messages to the webhooks that take everything at once. A message that
    was open at a kill counts from the first kill that it met, so whatever hit it later is in it.
    """

    name: str
    seconds: float
    rate: float
    settled_after: float
    verdict: Verdict
    faults: Mapping[str, int]
    kills: int
    first_delivery_after: Mapping[str, Spread]
    open_at_a_kill: Spread
    lost_its_worker: Spread


def outcome(
    name: str,
    seconds: float,
    rate: float,
    settled_after: float,
    verdict: Verdict,
    storm: Storm,
    journal: Journal,
    receipts: Sequence[Receipt],
    without_worker: Collection[str],
) -> Outcome:
    """`without_worker` are the keys of messages whose worker was lost with them in its hands."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for one in receipts:
        if one.is_arrival and is_steady(one.key.rpartition(" ")[2]):
            first[one.key] = min(one.at, first.get(one.key, one.at))
            last[one.key] = max(one.at, last.get(one.key, one.at))
    accepted = {key: at for key, at in journal.accepted().items() if key in first}
    # Whose worker was lost may have arrived before: then its duplicate ends it.
    again = {key: last[key] for key in without_worker if key in accepted}
    spans = [(at, first[key]) for key, at in accepted.items()]
    kills = sorted(one.at for one in storm.struck if one.is_kill)
    by_name: dict[str, list[Struck]] = defaultdict(list)
    for one_struck in storm.struck:
        by_name[one_struck.name].append(one_struck)
    return Outcome(
        name=name,
        seconds=seconds,
        rate=rate,
        settled_after=settled_after,
        verdict=verdict,
        faults={fault: len(some) for fault, some in sorted(by_name.items())},
        kills=len(kills),
        first_delivery_after={
            fault: spread(until_the_next((one.at for one in some), spans))
            for fault, some in sorted(by_name.items())
        },
        open_at_a_kill=spread(delays(spans, kills)),
        lost_its_worker=spread(delays(((accepted[key], at) for key, at in again.items()), kills)),
    )
