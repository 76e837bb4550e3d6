"""The cache: L1 in this process, L2 in Redis, then the database.

What is right is decided by PostgreSQL's own versions (`app.domain.snapshot`), how long it is good
for by the policy (`app.domain.cache_policy`).
"""

import random
from collections.abc import Callable, Iterable

from app.adapters.breaker import Breaker
from app.adapters.cache.entry import Answer, Entry, Loaded, Source, etag_of
from app.adapters.cache.memory import Kept, Memory
from app.adapters.cache.single_flight import Flights
from app.adapters.cache.stamps import Stamps
from app.adapters.clock import Clock
from app.adapters.database import is_away
from app.adapters.written import Written
from app.domain.cache_policy import good_for, life_of
from app.domain.snapshot import Stamp

MAX_BYTES = 64 * 1024 * 1024
# PostgreSQL ends a statement after 10 s. Who waited for longer asks by himself.
FLIGHT_SECONDS = 12.0
# While the database is away, so often somebody tries whether it is back.
DATABASE_REST_SECONDS = 1.0

Load = Callable[[], Loaded]


class Cache:
    """Thread-safe. Make it after the fork."""

    def __init__(
        self, clock: Clock, *, ttl: float, max_items: int, max_bytes: int = MAX_BYTES
    ) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._ttl = ttl
        self.stamps = Stamps()
        self.memory = Memory(self.stamps, clock.monotonic, max_items=max_items, max_bytes=max_bytes)
        self._flights: Flights[Answer] = Flights()
        self._database = Breaker(DATABASE_REST_SECONDS)

    def get(
        self,
        key: str,
        tables: Iterable[str],
        load: Load,
        *,
        ttl: float | None = None,
        fresh: bool = False,
    ) -> Answer:
        """The answer under `key`, from the nearest level that has it; `load` where none has.

        `tables` are those that `load` reads (`schema.table`). Who wants it `fresh` gets it from
        the database. Raises what `load` raises; while the database is away an older answer takes
        the place of that error, if there is one of at most 300 s.
        """
        if not fresh:
            kept = self.memory.get(key)
            if kept is not None:
                return kept.answer
        return self._below(key, tuple(tables), load, self._ttl if ttl is None else ttl, fresh)

    def wrote(self, written: Written) -> None:
        """A transaction of this process is over. Returns when this process knows; never waits."""
        if written.xid is None:
            self.clear()
            return
        stamp = Stamp.of(written.xid)
        self.stamps.hear(dict.fromkeys(written.tables, stamp))

    def clear(self) -> None:
        self.memory.clear()

    def close(self) -> None:
        pass

    def _below(
        self, key: str, tables: tuple[str, ...], load: Load, ttl: float, fresh: bool
    ) -> Answer:
        kept = self.memory.look(key)
        if (
            not fresh
            and kept is not None
            and self._monotonic() < kept.good_until
            and self.memory.is_right(kept)
        ):
            self.memory.hits += 1
            return kept.answer
        self.memory.misses += 1
        flight, leads = self._flights.board(key)
        if not leads:
            answer = flight.wait(FLIGHT_SECONDS)
            if answer is not None:
                return answer
            return self._load(key, tables, load, ttl)
        try:
            answer = self._load(key, tables, load, ttl)
        except BaseException as error:
            self._flights.over(key, flight)
            flight.crash(error)
            raise
        self._flights.over(key, flight)
        flight.land(answer)
        return answer

    def _load(self, key: str, tables: tuple[str, ...], load: Load, ttl: float) -> Answer:
        try:
            loaded = load()
        except Exception as error:
            stale = self._stale(key)
            if stale is None or not is_away(error):
                raise
            return stale
        entry = Entry(
            loaded.body,
            etag_of(loaded.body),
            loaded.now.timestamp(),
            good_for(ttl, random.random(), negative=loaded.negative),
            loaded.snapshot,
            loaded.negative,
        )
        answer = Answer(entry, Source.DATABASE, self._monotonic(), self._monotonic)
        self._keep(key, tables, answer)
        return answer

    def _keep(self, key: str, tables: tuple[str, ...], answer: Answer) -> None:
        life = life_of(answer.entry.good, negative=answer.entry.negative)
        born = self._monotonic() - answer.age
        self.memory.keep(key, Kept(answer.from_source(Source.L1), tables, born, life))

    def _stale(self, key: str) -> Answer | None:
        kept = self.memory.look(key)
        if kept is None or self._monotonic() >= kept.stale_until:
            return None
        return kept.answer.from_source(Source.STALE)
