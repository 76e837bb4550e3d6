"""How long it took to get over the kills, from the times of kills and arrivals."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


def until_the_next(moments: Iterable[float], arrivals: Sequence[float]) -> list[float]:
    """From each moment to the first arrival after it. `arrivals` are in order."""
    found = []
    for moment in moments:
        index = bisect_right(arrivals, moment)
        if index < len(arrivals):
            found.append(arrivals[index] - moment)
    return found


def delays(spans: Iterable[tuple[float, float]], kills: Sequence[float]) -> list[float]:
    """For messages that were open at a kill, from the first such kill to their arrival.

    A span is from the acceptance of a message to its first arrival. `kills` are in order. Later
    kills may have hit the message again: their delay is in it.
    """
    found = []
    for accepted, arrived in spans:
        index = bisect_right(kills, accepted)
        if index < len(kills) and kills[index] < arrived:
            found.append(arrived - kills[index])
    return found
