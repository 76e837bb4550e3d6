"""The levels below one another: what each has, and what is kept where."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from app.adapters.breaker import Breaker
from app.adapters.cache.entry import Answer, Entry, Loaded, Source, etag_of
from app.adapters.cache.memory import Kept, Memory
from app.adapters.cache.redis_level import Found, RedisLevel
from app.adapters.cache.stamps import Stamps
from app.adapters.clock import Clock
from app.adapters.database import is_away
from app.domain.cache_policy import good_for, life_of

# While the database is away, so often somebody tries whether it is back.
DATABASE_REST_SECONDS = 1.0

Load = Callable[[], Loaded]
Fetched = tuple[Answer, str | None]


class Levels:
    """Thread-safe. `chance` draws from [0, 1)."""

    def __init__(
        self,
        clock: Clock,
        stamps: Stamps,
        memory: Memory,
        second: RedisLevel | None,
        chance: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._stamps = stamps
        self._memory = memory
        self._second = second
        self._chance = chance
        self._database = Breaker(DATABASE_REST_SECONDS)
        self.loads = 0
        self.load_errors = 0
        self.stale_served = 0

    @property
    def database_is_resting(self) -> bool:
        return self._database.is_open

    def near(self, key: str) -> Kept | None:
        """What L1 has and is right, be it due for renewal. Counts it if it is there."""
        kept = self._memory.look(key)
        if kept is None or self._monotonic() >= kept.good_until or not self._memory.is_right(kept):
            return None
        self._memory.hits += 1
        return kept

    def near_many(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Answer]:
        """What L1 and L2 have and is right, by key."""
        epoch = self._memory.epoch
        answers = {key: kept.answer for key in wanted if (kept := self.near(key)) is not None}
        missing = {key: tables for key, tables in wanted.items() if key not in answers}
        self._memory.misses += len(missing)
        if self._second is None or not missing:
            return answers
        found = self._second.get_many(missing)
        now, offset = self._times()
        for key, entry in found.items():
            answer = Answer(entry, Source.L2, min(now, entry.loaded_at + offset), self._monotonic)
            if self._is_good(answer, missing[key]):
                self._keep(key, missing[key], answer, epoch)
                answers[key] = answer
        return answers

    def fetch(
        self,
        key: str,
        tables: tuple[str, ...],
        load: Load,
        ttl: float,
        *,
        fresh: bool,
        shared: bool = True,
    ) -> Fetched:
        """From L2, if it is `shared`, or from the database; then with L2's generation of before."""
        epoch = self._memory.epoch
        second = self._second if shared else None
        found = second.get(key, tables) if second is not None else None
        generation = found.generation if found is not None else None
        if found is not None and found.entry is not None and found.is_right and not fresh:
            answer = self._answer(found.entry)
            # What is due for renewal is renewed.
            if answer.age < life_of(found.entry.good).renew and self._is_good(answer, tables):
                self._keep(key, tables, answer, epoch)
                return answer, generation
        if not self._database.allows() and (stale := self._stale(key, found)):
            return stale, generation
        began = self._monotonic()
        self.loads += 1
        try:
            loaded = load()
        except Exception as error:
            self.load_errors += 1
            if is_away(error):
                self._database.failed()
                if stale := self._stale(key, found):
                    return stale, generation
            raise
        self._database.succeeded()
        return self.put(key, tables, loaded, ttl, began, epoch), generation

    def put(
        self, key: str, tables: tuple[str, ...], loaded: Loaded, ttl: float, born: float, epoch: int
    ) -> Answer:
        """Keep in L1 what was loaded at `born`, begun in L1's `epoch`."""
        entry = Entry(
            loaded.body,
            etag_of(loaded.body),
            loaded.now.timestamp(),
            good_for(ttl, self._chance(), negative=loaded.negative),
            loaded.snapshot,
            loaded.negative,
        )
        answer = Answer(entry, Source.DATABASE, born, self._monotonic)
        self._keep(key, tables, answer, epoch)
        return answer

    def is_refuted(self, answer: Answer, tables: Sequence[str]) -> bool:
        """Whether this process knows of a write that the answer does not show."""
        return self._stamps.refute(answer.entry.snapshot, tables)

    def _is_good(self, answer: Answer, tables: Sequence[str]) -> bool:
        return answer.age < answer.entry.good and not self.is_refuted(answer, tables)

    def _answer(self, entry: Entry) -> Answer:
        """Of L2. It is not younger than now, whatever the clocks say."""
        now, offset = self._times()
        return Answer(entry, Source.L2, min(now, entry.loaded_at + offset), self._monotonic)

    def _times(self) -> tuple[float, float]:
        """The monotonic time, and what is to be added to PostgreSQL's, which L2's times are."""
        now = self._monotonic()
        return now, now - self._clock.now().timestamp()

    def _keep(self, key: str, tables: Iterable[str], answer: Answer, epoch: int) -> None:
        """With what is left of its life: no level prolongs another."""
        life = life_of(answer.entry.good, negative=answer.entry.negative)
        kept = Kept(answer.from_source(Source.L1), tables, answer.born, life)
        self._memory.keep(key, kept, epoch)

    def _stale(self, key: str, found: Found | None) -> Answer | None:
        """The youngest there is that may be served while the database is away."""
        kept = self._memory.look(key)
        answers = [kept.answer] if kept is not None else []
        if found is not None and found.entry is not None:
            answers.append(self._answer(found.entry))
        answer = min(answers, key=lambda one: one.age, default=None)
        if answer is None:
            return None
        if answer.age >= life_of(answer.entry.good, negative=answer.entry.negative).stale:
            return None
        self.stale_served += 1
        return answer.from_source(Source.STALE)
