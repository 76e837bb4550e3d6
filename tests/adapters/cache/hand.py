"""A cache whose clock is moved by hand, over a database that is a number and its history."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy.exc import OperationalError

from app.adapters.cache.cache import Cache
from app.adapters.cache.entry import Answer, Loaded
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.clock import Clock
from app.adapters.written import Written
from app.domain.snapshot import Snapshot

TABLE = "schema.table"
START = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock(Clock):
    """Moves only by `advance`. One for all processes: their times are PostgreSQL's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def set(self, now: datetime) -> None:
        pass

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000 + self.seconds


class Numbers:
    """The database: a number by key, and what reads and writes of it mean to a snapshot."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._next_xid = 100
        self.is_away = False
        self.loads: list[str] = []

    def write(self, key: str, number: int | None) -> Written:
        """None: it is deleted."""
        with self._lock:
            if number is None:
                self._numbers.pop(key, None)
            else:
                self._numbers[key] = number
            self._next_xid += 1
            return Written(frozenset({TABLE}), self._next_xid - 1)

    def read(self, key: str) -> int | None:
        return self._numbers.get(key)

    def load(self, key: str) -> Loaded:
        with self._lock:
            self.loads.append(key)
            if self.is_away:
                raise OperationalError("a query", None, psycopg.OperationalError("it is gone"))
            number = self._numbers.get(key)
            snapshot = Snapshot(self._next_xid, self._next_xid)
            body = b"" if number is None else str(number).encode()
            return Loaded(body, snapshot, self._clock.now(), negative=number is None)


class Hand:
    """One process with such a cache."""

    def __init__(
        self,
        clock: HandClock,
        numbers: Numbers,
        second: RedisLevel | None,
        *,
        l1_items: int = 100,
        l1_bytes: int = 10_000_000,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock = clock
        self.numbers = numbers
        self.second = second
        self.cache = Cache(
            clock,
            ttl=60,
            max_items=l1_items,
            max_bytes=l1_bytes,
            second=second,
            chance=chance,
        )

    def get(self, key: str = "k", *, fresh: bool = False, ttl: float | None = None) -> Answer:
        return self.cache.get(key, (TABLE,), lambda: self.numbers.load(key), fresh=fresh, ttl=ttl)

    def number(self, key: str = "k") -> int | None:
        entry = self.get(key).entry
        return None if entry.negative else int(entry.body)

    def write(self, key: str, number: int | None) -> None:
        """A transaction of this process."""
        self.cache.wrote(self.numbers.write(key, number))

    def close(self) -> None:
        self.cache.close()
