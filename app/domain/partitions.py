"""How long samples and rollups are kept, and the tables that hold a stretch of them each.

What is past its time goes as a whole table, which costs the same however much is in it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.domain.samples import OLDEST_SECONDS

DAY: Final = 86_400
SAMPLES: Final = "metric_samples"
ROLLUPS: Final = "metric_rollups"


@dataclass(frozen=True, slots=True)
class Kind:
    """One resolution of rollups, or raw samples (None). Widths and ages are in seconds."""

    resolution: int | None
    width: int
    kept: int

    @property
    def prefix(self) -> str:
        return SAMPLES if self.resolution is None else f"{ROLLUPS}_{self.resolution}"

    def partition_at(self, at: float) -> "Partition":
        """The one for a time, in seconds since 1970."""
        return Partition(self, int(at // self.width) * self.width)


RAW: Final = Kind(None, DAY, OLDEST_SECONDS)
# By resolution. None is kept for less time than samples may be late, but that of a minute: what
# is later than that is in the others only.
ROLLED: Final = {
    60: Kind(60, DAY, 8 * DAY),
    300: Kind(300, 7 * DAY, 60 * DAY),
    3600: Kind(3600, 28 * DAY, 400 * DAY),
}
KINDS: Final = (RAW, *ROLLED.values())


@dataclass(frozen=True, slots=True)
class Partition:
    """From `begins`, in seconds since 1970, for the width of its kind."""

    kind: Kind
    begins: int

    @property
    def parent(self) -> str:
        return SAMPLES if self.kind.resolution is None else ROLLUPS

    @property
    def name(self) -> str:
        return f"{self.kind.prefix}_{self.since:%Y%m%d}"

    @property
    def since(self) -> datetime:
        return datetime.fromtimestamp(self.begins, UTC)

    @property
    def until(self) -> datetime:
        return self.since + timedelta(seconds=self.kind.width)

    @property
    def bounds(self) -> str:
        """What PostgreSQL calls it: `FOR VALUES …`."""
        edges = [f"'{edge.isoformat()}'" for edge in (self.since, self.until)]
        if self.kind.resolution is not None:
            edges = [f"{self.kind.resolution}, {edge}" for edge in edges]
        return f"FOR VALUES FROM ({edges[0]}) TO ({edges[1]})"

    def is_over(self, now: datetime) -> bool:
        """Whether everything in it is past its time."""
        return self.until + timedelta(seconds=self.kind.kept) <= now


_NAME = re.compile(rf"(?P<prefix>{SAMPLES}|{ROLLUPS}_\d+)_(?P<day>\d{{8}})")


def partition_called(name: str) -> Partition | None:
    """None for a table that is no partition of ours."""
    found = _NAME.fullmatch(name)
    for kind in KINDS:
        if found is not None and found["prefix"] == kind.prefix:
            day = datetime.strptime(found["day"], "%Y%m%d").replace(tzinfo=UTC)
            return Partition(kind, int(day.timestamp()))
    return None


def partitions_for(kind: Kind, times: Iterable[float]) -> list[Partition]:
    """Those that these times, in seconds since 1970, fall into; each once, in order."""
    begins = {int(at // kind.width) * kind.width for at in times}
    return [Partition(kind, begin) for begin in sorted(begins)]
