"""L2: what all processes keep together, in Redis.

An entry is right if its snapshot sees the stamps of its tables, which are there as well, all in one
hash. That hash has a generation, drawn when it was made, and every entry names the one that there
was before it was loaded: when the stamps are flushed or evicted, the entries of their generation
are worth nothing, because nobody knows what was written meanwhile.

Whatever is wrong with this Redis, nobody waits for it for long and nothing fails: it is a miss.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import redis

from app.adapters.breaker import Breaker
from app.adapters.cache.budget import budget, budgeted_client
from app.adapters.cache.entry import Entry
from app.adapters.cache.packing import pack, unpack
from app.adapters.cache.stats import LevelStats
from app.domain.cache_policy import life_of
from app.domain.snapshot import KNOWN_APART, Snapshot, Stamp

BUDGET_SECONDS = 0.05
# For what goes by hundreds, from threads for which no request waits.
BATCH_BUDGET_SECONDS = 1.0
BATCH = 200
REST_SECONDS = 5.0
STAMPS_LIVE_SECONDS = 86_400

_HERE = Path(__file__).parent
Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Found:
    """What is there: perhaps an entry, whether it is right, and the generation of now."""

    entry: Entry | None
    is_right: bool
    generation: str


class RedisLevel:
    """Thread-safe. `release` names the shape of the entries, `database` whose answers they are."""

    def __init__(self, url: str, *, release: str, database: str) -> None:
        self._client: Any = budgeted_client(url)
        self._merge = self._client.register_script((_HERE / "stamps.lua").read_text())
        self._write = self._client.register_script((_HERE / "set_many.lua").read_text())
        self._prefix = f"tocsin:cache:{database}:{release}:".encode()
        # Of all releases: who writes may be of another one than who reads.
        self._stamps = f"tocsin:cache:{database}:stamps"
        self._reads = Breaker(REST_SECONDS)
        # A server that is full still answers.
        self._writes = Breaker(REST_SECONDS)
        self.hits = 0
        self.misses = 0
        self.errors = 0

    @property
    def is_resting(self) -> bool:
        """Whether it is spared because it did not answer, or took nothing."""
        return self._reads.is_open or self._writes.is_open

    def get(self, key: str, tables: Sequence[str]) -> Found | None:
        """What is under `key`, right or not; None while it does not answer."""
        found = self._get([(key, tables)], BUDGET_SECONDS)
        return found[0] if found else None

    def get_many(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, Entry]:
        """What is there and right, by key; `wanted` has the tables of each."""
        pairs = list(wanted.items())
        right: dict[str, Entry] = {}
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            for (key, _), found in zip(
                batch, self._get(batch, BATCH_BUDGET_SECONDS) or (), strict=False
            ):
                if found.entry is not None and found.is_right:
                    right[key] = found.entry
        return right

    def generation(self) -> str | None:
        """Of the stamps now. Ask before you load what you mean to set."""
        return self._ask(self._reads, self._make_generation, BUDGET_SECONDS)

    def set(self, key: str, entry: Entry, generation: str) -> None:
        self._set([(key, entry)], generation, BUDGET_SECONDS)

    def set_many(self, items: Sequence[tuple[str, Entry]], generation: str) -> int:
        """Keep these; how many were taken."""
        taken = 0
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            if not self._set(batch, generation, BATCH_BUDGET_SECONDS):
                break
            taken += len(batch)
        return taken

    def hear(self, news: Mapping[str, Stamp]) -> bool:
        """These tables were written to. False while it does not answer: say it again.

        One that is full takes no stamps, but lets go of the old ones, and with them of everything.
        """
        arguments = [text for table, stamp in news.items() for text in (table, str(stamp))]

        def merge() -> bool:
            self._merge([self._stamps], [KNOWN_APART, STAMPS_LIVE_SECONDS, *arguments])
            return True

        return bool(self._ask(self._writes, merge, BATCH_BUDGET_SECONDS)) or self.forget_all()

    def forget_all(self) -> bool:
        """From now on nothing that is there is right. False while it does not answer."""
        gone = self._ask(
            self._reads, lambda: self._client.hdel(self._stamps, "generation"), BUDGET_SECONDS
        )
        return gone is not None

    def drop(self, keys: Iterable[str]) -> int:
        """How many were there."""
        names = [self._name(key) for key in keys]
        if not names:
            return 0
        return self._ask(self._reads, lambda: self._client.unlink(*names), BUDGET_SECONDS) or 0

    def drop_all(self, matching: Callable[[str], bool]) -> int:
        """How many keys there were for which `matching` is true, found by SCAN."""
        dropped, cursor = 0, 0
        pattern = self._prefix.replace(b"*", b"\\*") + b"*"
        while True:
            scan = partial(self._client.scan, cursor, match=pattern, count=1000)
            step = self._ask(self._reads, scan, BATCH_BUDGET_SECONDS)
            if step is None:
                return dropped
            cursor, names = step
            keys = (name.removeprefix(self._prefix).decode(errors="replace") for name in names)
            dropped += self.drop(key for key in keys if matching(key))
            if cursor == 0:
                return dropped

    def stats(self) -> LevelStats:
        """With what the server says of itself, if it answers."""

        def ask() -> tuple[int, int, int, int]:
            pipeline = self._client.pipeline(transaction=False)
            size, memory, stats = pipeline.dbsize().info("memory").info("stats").execute()
            return size, memory["used_memory"], stats["evicted_keys"], stats["expired_keys"]

        said = self._ask(self._reads, ask, BUDGET_SECONDS)
        items, size, evictions, expirations = said or (None, None, None, None)
        return LevelStats(
            items,
            size,
            self.hits,
            self.misses,
            evictions,
            expirations,
            self.errors,
            self.is_resting,
        )

    def close(self) -> None:
        self._client.close()

    def _name(self, key: str) -> bytes:
        return self._prefix + key.encode()

    def _get(
        self, wanted: Sequence[tuple[str, Sequence[str]]], seconds: float
    ) -> list[Found] | None:
        tables = sorted({table for _, its in wanted for table in its})

        def ask() -> list[Found]:
            pipeline = self._client.pipeline(transaction=False)
            # The entries first: stamps that are newer than they are only refute.
            pipeline.mget([self._name(key) for key, _ in wanted])
            pipeline.hmget(self._stamps, "generation", *tables)
            packed, (generation, *texts) = pipeline.execute()
            now = generation.decode() if generation else self._make_generation()
            said = zip(tables, texts, strict=True)
            stamps = {table: Stamp.parse(text.decode()) for table, text in said if text}
            return [
                _judge(unpack(one), now, [stamps[table] for table in its if table in stamps])
                for one, (_, its) in zip(packed, wanted, strict=True)
            ]

        found = self._ask(self._reads, ask, seconds)
        if found is None:
            return None
        hits = sum(one.is_right for one in found)
        self.hits += hits
        self.misses += len(found) - hits
        return found

    def _set(self, items: Sequence[tuple[str, Entry]], generation: str, seconds: float) -> bool:
        keys = [self._name(key) for key, _ in items]
        values: list[bytes | int] = []
        for _, entry in items:
            # As long as it may be served while the database is away.
            life = life_of(entry.good, negative=entry.negative).stale
            values += (pack(entry, generation), max(1, int(life * 1000)))

        def write() -> bool:
            # One command: to redis-py, each of a pipeline costs as much as the key itself.
            self._write(keys, values)
            return True

        return not self._reads.is_open and bool(self._ask(self._writes, write, seconds))

    def _make_generation(self) -> str:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hsetnx(self._stamps, "generation", secrets.token_hex(8))
        pipeline.expire(self._stamps, STAMPS_LIVE_SECONDS)
        pipeline.hget(self._stamps, "generation")
        generation: bytes = pipeline.execute()[-1]
        return generation.decode()

    def _ask(self, breaker: Breaker, question: Callable[[], Said], seconds: float) -> Said | None:
        if not breaker.allows():
            return None
        try:
            with budget(seconds):
                answer = question()
        except (redis.RedisError, OSError, ValueError):
            self.errors += 1
            breaker.failed()
            return None
        breaker.succeeded()
        return answer


def _judge(unpacked: tuple[Entry, str] | None, generation: str, stamps: Iterable[Stamp]) -> Found:
    if unpacked is None:
        return Found(None, False, generation)
    entry, its_generation = unpacked
    snapshot: Snapshot = entry.snapshot
    is_right = its_generation == generation and all(one.is_seen_by(snapshot) for one in stamps)
    return Found(entry, is_right, generation)
