"""Warming: answers that were asked for lately are loaded before somebody asks again.

The jobs lane does it on a schedule, by priority, and puts them into L2. What must not leave a
process, and everything where there is no L2, the web processes load themselves: they are told
which. Nothing here is needed for an answer to be right.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from app.adapters.cache.board import Board
from app.adapters.cache.cache import Cache, Filling
from app.adapters.cache.entry import Answer
from app.adapters.clock import Clock
from app.adapters.database import is_away
from app.domain.cache_policy import life_of
from app.errors import NotFound, TocsinError
from app.services.queries.asked import Asked
from app.services.queries.query import Arguments, Priority, Query
from app.services.queries.reader import Reader
from app.services.queries.registry import ALL, read_key

log = structlog.get_logger(__name__)

# What was asked for within two rounds of its priority, and in any case within five minutes.
LATELY_SECONDS = 300.0
LATELY_ROUNDS = 2
# In one round, those asked for last.
MAX_KEYS = 500
# So many are loaded before they are put into L2, in one go.
BATCH = 50
MAX_ERRORS = 100
LIMITS = range(1, 101)
# A round is over before the next one begins.
ROUND_PART = 0.8
BY_HAND_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class QueryWarmed:
    """What was loaded for one query; times are in ms."""

    name: str
    entries: int
    bytes: int
    duration_ms: float
    slowest_ms: float


@dataclass(frozen=True, slots=True)
class WarmError:
    key: str
    error: str


@dataclass(frozen=True, slots=True)
class Warmed:
    """What warming did in this process.

    `still_good` were left alone, for the `left` the time did not suffice, and `for_others` were
    told to the other web processes.
    """

    entries: int
    bytes: int
    duration_ms: float
    still_good: int
    left: int
    for_others: int
    queries: list[QueryWarmed]
    errors: list[WarmError]


@dataclass
class _Count:
    """What was done so far: the times of loads and their bytes by query, and what failed."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    errors: list[WarmError] = field(default_factory=list)
    database_is_away: bool = False

    def failed(self, key: str, error: str) -> None:
        self.errors.append(WarmError(key, error))

    @property
    def queries(self) -> list[QueryWarmed]:
        return [
            QueryWarmed(name, len(times), self.bytes[name], sum(times), max(times))
            for name, times in sorted(self.times.items())
        ]


class Warmer:
    """Thread-safe. `every` has how often each priority is warmed, in seconds."""

    def __init__(
        self,
        cache: Cache,
        reader: Reader,
        asked: Asked,
        board: Board,
        clock: Clock,
        every: Mapping[Priority, float],
    ) -> None:
        self._cache = cache
        self._reader = reader
        self._asked = asked
        self._board = board
        self._clock = clock
        self.every = every

    def asked_lately(self, priority: Priority) -> list[str]:
        """Keys of queries of this priority, those that were asked for last in front.

        While Redis is away only those that this process was asked for.
        """
        lately = max(LATELY_SECONDS, LATELY_ROUNDS * self.every[priority])
        since = self._clock.now().timestamp() - lately
        own = self._asked.since(since)
        keys = dict.fromkeys(sorted(own, key=own.__getitem__, reverse=True))
        keys |= dict.fromkeys(self._board.asked_since(since) or ())
        return [
            key
            for key in keys
            if (query := _query_of(key)) is not None and query.priority is priority
        ][:MAX_KEYS]

    def listen(self, within: float) -> None:
        """Returns when this process hears of what others write, or after `within` seconds."""
        due = time.monotonic() + within
        while not self._cache.listens() and time.monotonic() < due:
            time.sleep(LOOK_AGAIN_SECONDS)

    def warm_round(self, priority: Priority) -> Warmed:
        """A round in a process that answers nobody: into L2, or by the web processes."""
        every = self.every[priority]
        keys = self.asked_lately(priority)
        shared = [key for key in keys if self._is_shared(key)]
        others = [key for key in keys if key not in set(shared)]
        warmed = self.warm(shared, within=min(every * ROUND_PART, BY_HAND_SECONDS), ahead=every)
        self._cache.tell_wanted(others)
        return replace(warmed, for_others=len(others))

    def warm_by_hand(self, keys: Sequence[str]) -> Warmed:
        """In a web process: all of them anew, and what L2 does not bring others by them, too."""
        warmed = self.warm(keys, within=BY_HAND_SECONDS)
        others = [key for key in keys if _query_of(key) is not None and not self._is_shared(key)]
        self._cache.tell_wanted(others)
        return replace(warmed, for_others=len(others))

    def warm(self, keys: Iterable[str], *, within: float, ahead: float | None = None) -> Warmed:
        """Load these and keep them, for `within` seconds at most.

        With `ahead` those are left alone that need no renewal in the next `ahead` seconds.
        """
        began = time.perf_counter()
        count = _Count()
        wanted = _read(keys, count)
        good = self._still_good(wanted, ahead) if ahead is not None else frozenset()
        todo = [one for key, one in wanted.items() if key not in good]
        done = 0

        def goes_on() -> bool:
            in_time = time.perf_counter() - began < within
            return done < len(todo) and in_time and not count.database_is_away

        while goes_on():
            with self._cache.filling() as filling:
                batch_ends = done + BATCH
                while done < batch_ends and goes_on():
                    self._load_into(filling, *todo[done], count)
                    done += 1
        queries = count.queries
        return Warmed(
            entries=sum(one.entries for one in queries),
            bytes=sum(one.bytes for one in queries),
            duration_ms=(time.perf_counter() - began) * 1000,
            still_good=len(good),
            left=len(todo) - done,
            for_others=0,
            queries=queries,
            errors=count.errors[:MAX_ERRORS],
        )

    def _load_into(
        self, filling: Filling, key: str, query: Query, arguments: Arguments, count: _Count
    ) -> None:
        began = time.perf_counter()
        try:
            loaded = self._reader.load(query, arguments)
        except Exception as error:
            # Whatever it is, the others are not to stay cold for it.
            log.warning("not warmed", action="key_not_warmed", key=key, error=str(error))
            count.failed(key, _in_words(error))
            count.database_is_away = is_away(error)
            return
        if loaded.negative:
            count.failed(key, loaded.body.decode())
            return
        # As answers are looked for, however the arguments of `key` were put.
        filling.add(
            query.key(arguments), query.reads, loaded, query.ttl, shared=query.is_shared(arguments)
        )
        count.times[query.name].append((time.perf_counter() - began) * 1000)
        count.bytes[query.name] += len(loaded.body)

    def _is_shared(self, key: str) -> bool:
        query = _query_of(key)
        return query is not None and query.shared and self._cache.is_sharing

    def _still_good(
        self, wanted: Mapping[str, tuple[str, Query, Arguments]], ahead: float
    ) -> frozenset[str]:
        there = self._cache.get_many({key: query.reads for key, (_, query, _) in wanted.items()})
        return frozenset(key for key, answer in there.items() if _lasts(answer, ahead))


def _query_of(key: str) -> Query | None:
    return ALL.get(key.partition("?")[0])


def _lasts(answer: Answer, ahead: float) -> bool:
    """Whether it needs no renewal so soon."""
    entry = answer.entry
    return answer.age + ahead < life_of(entry.good, negative=entry.negative).renew


def _read(keys: Iterable[str], count: _Count) -> dict[str, tuple[str, Query, Arguments]]:
    """The keys as they were given, by what answers are looked for under."""
    wanted: dict[str, tuple[str, Query, Arguments]] = {}
    for key in keys:
        try:
            query, given = read_key(key)
        except NotFound as error:
            count.failed(key, error.detail)
            continue
        if given.get("limit", 1) in LIMITS:
            wanted[query.key(given)] = key, query, given
        else:
            count.failed(key, "A list has 1 to 100 items.")
    return wanted


def _in_words(error: Exception) -> str:
    match error:
        case TocsinError():
            return error.detail
        case KeyError() | ValueError() | TypeError():
            return "Its arguments are not those of the query."
    return "The database is away." if is_away(error) else "It could not be loaded."
