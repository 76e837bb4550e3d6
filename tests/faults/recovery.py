"""How long it took to get over the kills, from the times of kills and arrivals."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Spread:
    """Of some durations in seconds; all 0 when there were none."""

    count: int
    p50: float
    p99: float
    worst: float


def spread(seconds: Iterable[float]) -> Spread:
    """Percentiles by nearest rank: each is one of the durations that there were."""
    ordered = sorted(seconds)
    if not ordered:
        return Spread(0, 0.0, 0.0, 0.0)

    def rank(share: float) -> float:
        return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]

    return Spread(len(ordered), rank(0.50), rank(0.99), ordered[-1])


# From the acceptance of a message to its arrival.
Span = tuple[float, float]


def until_the_next(moments: Iterable[float], spans: Iterable[Span]) -> list[float]:
    """From each moment at which something was owed to the first arrival after it."""
    ordered = sorted(spans)
    begun = [accepted for accepted, _ in ordered]
    # The last arrival of all that were accepted so far: later than a moment, something was owed.
    latest = list(accumulate((arrived for _, arrived in ordered), max))
    arrivals = sorted(arrived for _, arrived in ordered)
    found = []
    for moment in moments:
        index = bisect_right(begun, moment)
        if index and latest[index - 1] > moment:
            found.append(arrivals[bisect_right(arrivals, moment)] - moment)
    return found


def delays(spans: Iterable[Span], kills: Sequence[float]) -> list[float]:
    """For messages that were open at a kill, from the first such kill to their arrival.

    `kills` are in order. Later kills may have hit the message again: their delay is in it.
    """
    found = []
    for accepted, arrived in spans:
        index = bisect_right(kills, accepted)
        if index < len(kills) and kills[index] < arrived:
            found.append(arrived - kills[index])
    return found
