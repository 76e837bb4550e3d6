"""What is cached: an answer as the bytes that go out, and how to tell whether it is right."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from app.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load read: the body, by which snapshot, and when by PostgreSQL's clock.

    `negative` says that there is no such thing; that is believed for a few seconds only.
    """

    body: bytes
    snapshot: Snapshot
    now: datetime
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached answer.

    `etag` is quoted and strong. `loaded_at` is PostgreSQL's time in seconds since 1970; for `good`
    seconds after it the answer is good.
    """

    body: bytes
    etag: str
    loaded_at: float
    good: float
    snapshot: Snapshot
    negative: bool = False


class Source(StrEnum):
    """Where an answer came from. `STALE` ones are older than they should be."""

    L1 = "l1"
    L2 = "l2"
    DATABASE = "database"
    STALE = "stale"


class Answer:
    """An entry, where it came from, and the monotonic time at which it was loaded."""

    __slots__ = ("_monotonic", "born", "entry", "source")

    def __init__(
        self, entry: Entry, source: Source, born: float, monotonic: Callable[[], float]
    ) -> None:
        self.entry = entry
        self.source = source
        self.born = born
        self._monotonic = monotonic

    @property
    def age(self) -> float:
        """Seconds since it was loaded, as of now."""
        return max(0.0, self._monotonic() - self.born)

    @property
    def is_stale(self) -> bool:
        return self.source is Source.STALE

    def from_source(self, source: Source) -> "Answer":
        return Answer(self.entry, source, self.born, self._monotonic)


def etag_of(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=16).hexdigest()}"'
