"""The cache: L1 in this process, L2 in Redis, then the database.

What is right is decided by PostgreSQL's own versions (`app.domain.snapshot`), how long it is good
for by the policy (`app.domain.cache_policy`).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from app.adapters.cache.bus import Bus
from app.adapters.cache.entry import Answer, Loaded, Source
from app.adapters.cache.levels import Levels, Load
from app.adapters.cache.memory import Memory
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.cache.single_flight import Flight, Flights
from app.adapters.cache.stamps import Stamps
from app.adapters.cache.stats import CacheStats
from app.adapters.clock import Clock
from app.adapters.written import Written
from app.domain.patterns import matcher
from app.domain.snapshot import Stamp

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 1024 * 1024
# PostgreSQL ends a statement after 10 s. Who waited for longer asks by himself.
FLIGHT_SECONDS = 12.0
RENEWERS = 2
MAX_UNDER_WAY = 64


class Cache:
    """Thread-safe. Make it after the fork."""

    def __init__(
        self,
        clock: Clock,
        *,
        ttl: float,
        max_items: int,
        max_bytes: int = MAX_BYTES,
        second: RedisLevel | None = None,
        broker_url: str | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Without a broker nobody else is told, and nobody heard. `chance` draws from [0, 1)."""
        self._monotonic = clock.monotonic
        self._ttl = ttl
        self._stamps = Stamps()
        self.memory = Memory(
            self._stamps, clock.monotonic, max_items=max_items, max_bytes=max_bytes
        )
        self._at_hand = self.memory.get
        self._second = second
        self._levels = Levels(clock, self._stamps, self.memory, second, chance)
        self._bus = Bus(broker_url, self, second) if broker_url else None
        self._flights: Flights[Answer] = Flights()
        self._renewers = ThreadPoolExecutor(RENEWERS, "cache-renewal")
        # Told of keys that another process says will be asked for. It must not take long.
        self.on_wanted: Callable[[Sequence[str]], None] | None = None
        self._joined = 0
        self._renewals = 0

    def get(
        self,
        key: str,
        tables: Iterable[str],
        load: Load,
        *,
        ttl: float | None = None,
        fresh: bool = False,
        shared: bool = True,
    ) -> Answer:
        """The answer under `key`, from the nearest level that has it; `load` where none has.

        `tables` are those that `load` reads (`schema.table`). `load` may run in another thread.
        Who wants it `fresh` gets it from the database. Raises what `load` raises; while the
        database is away an older answer takes the place of that error, if there is one of at most
        300 s. What is not `shared` is kept in this process alone.
        """
        if not fresh:
            kept = self._at_hand(key)
            if kept is not None:
                return kept.answer
        return self._look_further(key, tuple(tables), load, ttl or self._ttl, fresh, shared)

    def at_hand(self, key: str) -> Answer | None:
        """What L1 has, if it is right and not due for renewal."""
        kept = self._at_hand(key)
        return None if kept is None else kept.answer

    def get_many(self, wanted: Mapping[str, Iterable[str]]) -> dict[str, Answer]:
        """What L1 and L2 have of these keys; `wanted` has the tables of each. Loads nothing."""
        self._listen()
        return self._levels.near_many({key: tuple(tables) for key, tables in wanted.items()})

    @contextmanager
    def filling(self) -> Iterator["Filling"]:
        """Put many answers in at once. Enter it before any of them is loaded."""
        self._listen()
        epoch = self.memory.epoch
        generation = self._second.generation() if self._second is not None else None
        filling = Filling(self._monotonic)
        yield filling
        entries = []
        for key, tables, loaded, ttl, shared, born in filling.items:
            answer = self._levels.put(key, tables, loaded, ttl or self._ttl, born, epoch)
            if shared and not self._levels.is_refuted(answer, tables):
                entries.append((key, answer.entry))
        if self._second is not None and generation is not None:
            self._second.set_many(entries, generation)

    def wrote(self, written: Written) -> None:
        """A transaction of this process is over. Returns when this process knows; never waits."""
        if written.xid is None:
            self.doubt()
            if self._bus is not None:
                self._bus.tell_doubt()
            return
        news = dict.fromkeys(written.tables, Stamp.of(written.xid))
        self.hear(news)
        if self._bus is not None:
            self._bus.tell(news)

    def drop(self, keys: Iterable[str]) -> int:
        """Forget these: here and in L2 now, in other processes soon. How many there were."""
        keys = list(keys)
        here = sum(map(self.memory.drop, keys))
        there = self._second.drop(keys) if self._second is not None else 0
        if self._bus is not None:
            self._bus.tell_dropped(keys=keys)
        return max(here, there)

    def drop_matching(self, pattern: str) -> int:
        """The same for all keys of a pattern (`app.domain.patterns`)."""
        matching = matcher(pattern)
        here = self.memory.drop_all(matching)
        there = self._second.drop_all(matching) if self._second is not None else 0
        if self._bus is not None:
            self._bus.tell_dropped(patterns=[pattern])
        return max(here, there)

    def clear(self) -> int:
        """The same for everything."""
        here = self.memory.clear()
        there = 0
        if self._second is not None:
            self._second.forget_all()
            there = self._second.drop_all(lambda _key: True)
        if self._bus is not None:
            self._bus.tell_cleared()
        return max(here, there)

    @property
    def is_sharing(self) -> bool:
        """Whether there is an L2 that answers."""
        return self._second is not None and not self._second.is_resting

    def holds(self, key: str) -> bool:
        """Whether L1 has something under this key, right or not. Counts nothing."""
        return self.memory.look(key) is not None

    def listens(self) -> bool:
        """Whether it hears of other processes now; begins to where it did not yet."""
        self._listen()
        return self._bus is not None and self._bus.is_listening

    def tell_wanted(self, keys: Iterable[str]) -> None:
        """Have other processes hear that these will be asked for; best effort."""
        if self._bus is not None:
            self._bus.tell_wanted(keys)

    def is_refuted(self, answer: Answer, tables: Iterable[str]) -> bool:
        """Whether somebody is known to have written since to what it was read from."""
        return self._levels.is_refuted(answer, tuple(tables))

    def stats(self) -> CacheStats:
        """Of this process; asks L2's server for its own figures."""
        return CacheStats(
            l1=self.memory.stats(),
            l2=self._second.stats() if self._second is not None else None,
            loads=self._levels.loads,
            load_errors=self._levels.load_errors,
            stale_served=self._levels.stale_served,
            flights_joined=self._joined,
            renewals=self._renewals,
            database_is_resting=self._levels.database_is_resting,
            is_listening=self._bus is not None and self._bus.is_listening,
        )

    def close(self) -> None:
        self._renewers.shutdown(wait=False, cancel_futures=True)
        if self._bus is not None:
            self._bus.close()
        if self._second is not None:
            self._second.close()

    # What the bus hears.

    def hear(self, news: Mapping[str, Stamp]) -> None:
        self._stamps.hear(news)

    def hear_dropped(self, keys: Iterable[str], patterns: Iterable[str]) -> None:
        for key in keys:
            self.memory.drop(key)
        for pattern in patterns:
            self.memory.drop_all(matcher(pattern))

    def hear_cleared(self) -> None:
        self.memory.clear()

    def doubt(self) -> None:
        self.memory.doubt()

    def hear_wanted(self, keys: Sequence[str]) -> None:
        if self.on_wanted is not None:
            self.on_wanted(keys)

    def sweep(self) -> None:
        self.memory.sweep()

    # Beyond L1.

    def _listen(self) -> None:
        if self._bus is not None:
            self._bus.listen()

    def _look_further(
        self,
        key: str,
        tables: tuple[str, ...],
        load: Load,
        ttl: float,
        fresh: bool,
        shared: bool,
    ) -> Answer:
        self._listen()

        def fetch() -> tuple[Answer, str | None]:
            return self._levels.fetch(key, tables, load, ttl, fresh=fresh, shared=shared)

        if not fresh:
            kept = self._levels.near(key)
            if kept is not None:
                if self._monotonic() >= kept.renew_at:
                    self._renew(key, tables, fetch)
                return kept.answer
            self.memory.misses += 1
        name = f"fresh {key}" if fresh else key
        for is_second in (False, True):
            flight, leads = self._flights.board(name)
            if leads:
                return self._lead(name, flight, key, tables, fetch)
            self._joined += 1
            answer = flight.wait(FLIGHT_SECONDS)
            if answer is None:
                break
            # It began before you came, and perhaps before a write that you know of. The next one,
            # whoever leads it, does not.
            if is_second or answer.is_stale or not self._levels.is_refuted(answer, tables):
                return answer
        return fetch()[0]

    def _lead(
        self,
        name: str,
        flight: Flight[Answer],
        key: str,
        tables: tuple[str, ...],
        fetch: Callable[[], tuple[Answer, str | None]],
    ) -> Answer:
        try:
            answer, generation = fetch()
        except BaseException as error:
            self._flights.over(name, flight)
            flight.crash(error)
            raise
        # In this order: who comes after a flight has landed must not join it.
        self._flights.over(name, flight)
        flight.land(answer)
        if (
            answer.source is Source.DATABASE
            and self._second is not None
            and generation is not None
            and not self._levels.is_refuted(answer, tables)
        ):
            self._second.set(key, answer.entry, generation)
        return answer

    def _renew(
        self, key: str, tables: tuple[str, ...], fetch: Callable[[], tuple[Answer, str | None]]
    ) -> None:
        """In the background, unless somebody is at it."""
        if len(self._flights) >= MAX_UNDER_WAY:
            return
        flight, leads = self._flights.board(key)
        if not leads:
            return
        self._renewals += 1

        def lead() -> None:
            try:
                self._lead(key, flight, key, tables, fetch)
            except Exception as error:
                log.warning("not renewed", action="cache_not_renewed", key=key, error=str(error))

        try:
            self._renewers.submit(lead)
        except RuntimeError as error:  # closed
            self._flights.over(key, flight)
            flight.crash(error)


class Filling:
    """Answers that are put in together."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.items: list[tuple[str, tuple[str, ...], Loaded, float | None, bool, float]] = []

    def add(
        self,
        key: str,
        tables: Iterable[str],
        loaded: Loaded,
        ttl: float | None = None,
        *,
        shared: bool = True,
    ) -> None:
        """One that was loaded just now. What is not `shared` is kept in this process alone."""
        self.items.append((key, tuple(tables), loaded, ttl, shared, self._monotonic()))
