"""Operations that degrade together: one incident instead of many, and what is likely its cause.

Only operations that are off their baselines are looked at. Two of them belong together when they
left their baselines within `TOGETHER` of each other and their series move together: Pearson's
correlation of the buckets that both have, of either sign, since a throughput falls when a latency
rises. Who belongs to the same one belongs together. One alone is no incident.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from app.domain.back_test import CONFIRM_BUCKETS, runs
from app.domain.baseline import Baseline, Buckets, Floats, band, hour_of_week, off_baseline

THRESHOLD: Final = 0.75
TOGETHER: Final = timedelta(minutes=15)
# With fewer common buckets nearly anything correlates.
LEAST_COMMON: Final = 12
# Without a sample for so long, an operation is silent: nobody knows how it is.
SILENT_AFTER: Final = timedelta(minutes=60)
# What ended longer ago is over, even if nothing has come since.
RECENT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Deviation:
    """An operation that is off its baseline since `since`; `value` is the mean of its last bucket,
    `usual` the band that would be usual there.
    """

    operation: str
    since: datetime
    value: float
    usual: tuple[float, float]
    buckets: Buckets


@dataclass(frozen=True, slots=True)
class Member:
    """`correlation` is with the likely cause, None of the cause itself."""

    deviation: Deviation
    correlation: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """The likely cause first, then the others, the strongest correlation first."""

    members: Sequence[Member]

    @property
    def cause(self) -> Deviation:
        return self.members[0].deviation


def deviation_of(
    operation: str, baseline: Baseline, buckets: Buckets, now: datetime
) -> Deviation | None:
    """How it is off its baseline now; None if it is not, or nothing recent is known.

    It is off while its last `CONFIRM_BUCKETS` buckets are.
    """
    if not len(buckets.at) or buckets.at[-1] < (now - RECENT).timestamp():
        return None
    found = runs(off_baseline(baseline, buckets))
    if not found or found[-1][1] != len(buckets.at) - 1:
        return None
    last = datetime.fromtimestamp(float(buckets.at[-1]), now.tzinfo)
    usual = band(baseline.at(hour_of_week(last)), int(buckets.counts[-1]))
    return Deviation(
        operation=operation,
        since=datetime.fromtimestamp(float(buckets.at[found[-1][0]]), now.tzinfo),
        value=float(buckets.means[-1]),
        usual=usual,
        buckets=buckets,
    )


def is_back(baseline: Baseline, buckets: Buckets) -> bool:
    """Whether the last `CONFIRM_BUCKETS` buckets are usual again."""
    last = off_baseline(baseline, buckets)[-CONFIRM_BUCKETS:]
    return len(last) == CONFIRM_BUCKETS and not last.any()


def is_silent(buckets: Buckets, now: datetime) -> bool:
    return not len(buckets.at) or bool(buckets.at[-1] < (now - SILENT_AFTER).timestamp())


def correlation(one: Buckets, other: Buckets) -> float:
    """Pearson's, over the buckets that both have; 0 where these are too few or do not vary."""
    if np.array_equal(one.at, other.at):  # as most have: much sooner known than found
        a, b = one.means, other.means
    else:
        _common, here, there = np.intersect1d(one.at, other.at, return_indices=True)
        a, b = one.means[here], other.means[there]
    return pearson(a, b) if len(a) >= LEAST_COMMON else 0.0


def pearson(one: Floats, other: Floats) -> float:
    """From -1 to 1; 0 where one of them does not vary."""
    a, b = one - one.mean(), other - other.mean()
    # Divided by the greatest first: squares of very large or small values would overflow or vanish.
    scale_a, scale_b = np.abs(a).max(), np.abs(b).max()
    if not _varies(one, scale_a) or not _varies(other, scale_b):
        return 0.0
    a, b = a / scale_a, b / scale_b
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _varies(values: Floats, greatest_deviation: float) -> bool:
    """By more than what rounding makes of a constant."""
    return bool(greatest_deviation > 1e-12 * np.abs(values).max())


def group(deviations: Sequence[Deviation]) -> list[Group]:
    """Groups of two or more, the one that began first first; the order of what comes in does not
    matter.
    """
    ordered = sorted(deviations, key=lambda one: (one.since, one.operation))
    links = _links(ordered)
    groups = []
    left = {one.operation: one for one in ordered}
    while left:
        first = next(iter(left))
        together = _reached(first, links)
        found = [left.pop(one.operation) for one in ordered if one.operation in together]
        if len(found) > 1:
            groups.append(_with_cause(found, links))
    return groups


Links = Mapping[str, Mapping[str, float]]


def _links(deviations: Sequence[Deviation]) -> Links:
    """Who moves with whom, and how much; a symmetric table without the weak ones."""
    links: dict[str, dict[str, float]] = {one.operation: {} for one in deviations}
    for place, one in enumerate(deviations):
        for other in deviations[place + 1 :]:
            if other.since - one.since > TOGETHER:
                break  # they are in order: the rest began later still
            found = correlation(one.buckets, other.buckets)
            if abs(found) >= THRESHOLD:
                links[one.operation][other.operation] = found
                links[other.operation][one.operation] = found
    return links


def _reached(first: str, links: Links) -> set[str]:
    reached, to_see = {first}, [first]
    while to_see:
        fresh = links[to_see.pop()].keys() - reached
        reached |= fresh
        to_see += fresh
    return reached


def _with_cause(members: Sequence[Deviation], links: Links) -> Group:
    """The likely cause is who left its baseline first; of several at once, who moves most with the
    others; and then the first by name.
    """

    def strength(one: Deviation) -> float:
        others = [abs(found) for found in links[one.operation].values()]
        return sum(others) / (len(members) - 1)

    cause = min(members, key=lambda one: (one.since, -strength(one), one.operation))
    others = [
        Member(one, correlation(cause.buckets, one.buckets)) for one in members if one is not cause
    ]
    others.sort(key=lambda one: (-abs(one.correlation or 0.0), one.deviation.operation))
    return Group([Member(cause, None), *others])


def summary(cause: str, since: datetime, correlations: Mapping[str, float]) -> str:
    """One sentence for people; `correlations` are the others' with the cause."""
    others = sorted(correlations, key=lambda name: (-abs(correlations[name]), name))
    named = ", ".join(f"{name} (r = {correlations[name]:.2f})" for name in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return (
        f"{cause} left its baseline first, at {since:%Y-%m-%d %H:%M} UTC, and is the likely cause;"
        f" with it went {named}{more}."
    )
