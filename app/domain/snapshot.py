"""What a transaction saw: PostgreSQL's own version of the database.

A transaction that wrote has an id (`pg_current_xact_id()`), a reader has a snapshot of which ids
were over (`pg_current_snapshot()`). Both are PostgreSQL's, so that no clocks are compared, and a
read that began before a commit is known to be older however late it arrives.
"""

from dataclasses import dataclass
from typing import Final, Self

# Of one table's latest writers, so many are known one by one.
KNOWN_APART: Final = 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All ids below `xmin` were over, none from `xmax` on, and between them all but `running`.

    (PostgreSQL's documentation, 9.28 "Transaction ID and Snapshot Information Functions".)
    """

    xmin: int
    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From PostgreSQL's `xmin:xmax:xid,xid…`. Raises ValueError for anything else."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), _ids(running))

    def sees(self, xid: int) -> bool:
        """Whether what transaction `xid` wrote was there to be read."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{_text(self.running)}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who wrote to a table: `writers`, and perhaps everybody up to `floor`.

    The greatest id alone would not do: transactions don't end in the order of their ids, so a
    snapshot may see 101 and not yet 100. Stamps of one table merge in any order, any number of
    times, to the same.
    """

    floor: int = 0
    writers: frozenset[int] = frozenset()

    @classmethod
    def of(cls, *writers: int) -> Self:
        return cls()._known_apart(frozenset(writers))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `floor:xid,xid…`. Raises ValueError for anything else."""
        floor, writers = text.split(":")
        return cls(int(floor), _ids(writers))

    @property
    def newest(self) -> int:
        return max(self.writers, default=self.floor)

    def merged(self, other: "Stamp") -> Self:
        """Both. Of many writers the oldest go into the floor."""
        floor = max(self.floor, other.floor)
        return type(self)(floor)._known_apart(self.writers | other.writers)

    def is_seen_by(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot sees every writer: whoever read by it read what is there still."""
        if self.newest < snapshot.xmin:
            return True
        return self.floor < snapshot.xmin and all(map(snapshot.sees, self.writers))

    def __str__(self) -> str:
        return f"{self.floor}:{_text(self.writers)}"

    def _known_apart(self, writers: frozenset[int]) -> Self:
        newest = sorted(one for one in writers if one > self.floor)
        given_up = newest[:-KNOWN_APART]
        floor = given_up[-1] if given_up else self.floor
        return type(self)(floor, frozenset(newest[-KNOWN_APART:]))


def _ids(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split(","))) if text else frozenset()


def _text(ids: frozenset[int]) -> str:
    return ",".join(map(str, sorted(ids)))
