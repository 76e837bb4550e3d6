"""What is asked of a stretch of time: which rollups answer it, in how many points."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.domain.partitions import ROLLED
from app.domain.rollups import RESOLUTIONS

MAX_POINTS: Final = 11_000
# Of the series that match, in the time that is asked for: what one question may read.
MAX_BUCKETS: Final = 200_000
# Where no step is given, the first of these that makes no more points than this.
STEPS: Final = (60, 300, 900, 3600, 21_600, 86_400)
POINTS_UNASKED: Final = 500

QUANTILES: Final[Mapping[str, float]] = {
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
}
AGGREGATES: Final = ("count", "sum", "min", "max", "avg", "stddev", *QUANTILES, "rate")


@dataclass(frozen=True, slots=True)
class Range:
    """Points of `step` seconds, each from a multiple of it since 1970, the first of which holds
    `since`, as rollups of `resolution` seconds tell them.
    """

    since: datetime
    until: datetime
    step: int
    resolution: int

    @property
    def begins(self) -> int:
        return int(self.since.timestamp()) // self.step * self.step

    @property
    def points(self) -> int:
        seconds = self.until.timestamp() - self.begins
        return -int(-seconds // self.step)

    @property
    def first(self) -> datetime:
        return datetime.fromtimestamp(self.begins, UTC)

    def point(self, number: int) -> datetime:
        return self.first + timedelta(seconds=number * self.step)


class BadRange(ValueError):
    """A question that can't be answered: the field, and why."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(fault)
        self.field = field
        self.fault = fault


def resolve(since: datetime, until: datetime, step: int | None, now: datetime) -> Range:
    """The range that answers from the coarsest rollups that can. Raises BadRange."""
    if since >= until:
        raise BadRange("until", "Must be after since.")
    finest = _finest_kept(since, now)
    if step is None:
        step = _step_for(since, until, finest)
    if step % finest:
        if finest == RESOLUTIONS[0]:
            raise BadRange("step", f"Must be a multiple of {finest}.")
        days = ROLLED[RESOLUTIONS[RESOLUTIONS.index(finest) - 1]].kept // 86_400
        raise BadRange("step", f"Beyond {days} days ago it must be a multiple of {finest}.")
    resolution = max(one for one in RESOLUTIONS if step % one == 0)
    found = Range(since, until, step, resolution)
    if found.points > MAX_POINTS:
        raise BadRange(
            "step", f"This makes {found.points} points; {MAX_POINTS} are the most. Take a larger."
        )
    return found


def _finest_kept(since: datetime, now: datetime) -> int:
    """The finest resolution that is still there from `since` on; the coarsest, if none is."""
    for resolution in RESOLUTIONS:
        if since >= now - timedelta(seconds=ROLLED[resolution].kept):
            return resolution
    return RESOLUTIONS[-1]


def _step_for(since: datetime, until: datetime, finest: int) -> int:
    for step in STEPS:
        if step % finest == 0 and Range(since, until, step, finest).points <= POINTS_UNASKED:
            return step
    return STEPS[-1]
