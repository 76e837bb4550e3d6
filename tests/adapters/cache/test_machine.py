"""Any history of reads, writes, time and losses, against a model that knows what is right.

Three processes: two with both levels, one without L2. News are handed to each by hand, in any order
and at any time, as the bus may deliver them.
"""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis
from sqlalchemy.exc import OperationalError

from app.adapters.cache import levels
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.written import Written
from app.domain.snapshot import Stamp
from tests.adapters.cache.hand import TABLE, Hand, HandClock, Numbers

KEYS = st.sampled_from(["a", "b"])
WHO = st.integers(0, 2)
TTL = 60.0
STALE_LIMIT = 300.0


class Machine(RuleBasedStateMachine):
    """`past` has, by key, what was there and until when."""

    cache_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.numbers = Numbers(self.clock)
        database = uuid.uuid4().hex
        self.redis: Any = Redis.from_url(self.cache_url)
        self.seconds = [
            RedisLevel(self.cache_url, release="1", database=database) for _ in range(2)
        ]
        self.hands = [Hand(self.clock, self.numbers, second) for second in (*self.seconds, None)]
        # What each process was not told yet; last, what L2 was not.
        self.untold: list[list[Stamp]] = [[] for _ in range(4)]
        self.past: dict[str, list[tuple[int | None, float]]] = {"a": [], "b": []}
        self.next_number = 0

    @rule(who=WHO, key=KEYS, deletes=st.booleans())
    def write(self, who: int, key: str, deletes: bool) -> None:
        self.past[key].append((self.numbers.read(key), self.clock.seconds))
        self.next_number += 1
        written = self.numbers.write(key, None if deletes else self.next_number)
        self.hands[who].cache.wrote(written)
        assert written.xid is not None
        for other, untold in enumerate(self.untold):
            if other != who:
                untold.append(Stamp.of(written.xid))

    @rule(to=st.integers(0, 3), data=st.data())
    def tell(self, to: int, data: st.DataObject) -> None:
        """One piece of news, not always the oldest."""
        if self.untold[to]:
            at = data.draw(st.integers(0, len(self.untold[to]) - 1))
            news = {"schema.table": self.untold[to].pop(at)}
            if to == 3:
                assert self.seconds[0].hear(news)
            else:
                self.hands[to].cache.hear(news)

    @rule(who=WHO)
    def reconnect(self, who: int) -> None:
        """The news that were missed never come."""
        # L2 is told before the others are.
        if self.untold[3]:
            self.seconds[0].hear({"schema.table": _all(self.untold[3])})
            self.untold[3].clear()
        self.untold[who].clear()
        self.hands[who].cache.doubt()

    @rule(who=WHO, key=KEYS, fresh=st.booleans())
    def read(self, who: int, key: str, fresh: bool) -> None:
        now = self.clock.seconds
        try:
            answer = self.hands[who].get(key, fresh=fresh)
        except OperationalError:
            assert self.numbers.is_away
            return
        said = None if answer.entry.negative else int(answer.entry.body)
        if answer.is_stale:
            assert self.numbers.is_away
            limit = STALE_LIMIT
        elif not self.untold[who]:
            limit = 0.0  # whoever was told of every write is right
        else:
            limit = TTL
        assert self.was_right(key, said, since=now - limit)
        assert answer.age <= STALE_LIMIT
        if fresh and not self.numbers.is_away:
            assert said == self.numbers.read(key)

    def was_right(self, key: str, said: int | None, since: float) -> bool:
        return said == self.numbers.read(key) or any(
            said == number and until >= since and since < self.clock.seconds
            for number, until in self.past[key]
        )

    @rule(seconds=st.sampled_from([0.5, 3.5, 20.0, 47.0, 61.0, 250.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def database_goes(self) -> None:
        self.numbers.is_away = True

    @rule()
    def database_comes(self) -> None:
        self.numbers.is_away = False

    @rule(everything=st.booleans())
    def redis_loses(self, everything: bool) -> None:
        """All of it, or some keys of its choice, which may be the stamps."""
        if everything:
            self.redis.flushdb()
        elif key := self.redis.randomkey():
            self.redis.delete(key)

    @rule(who=WHO, key=KEYS)
    def drop(self, who: int, key: str) -> None:
        self.hands[who].cache.drop([key])

    @rule(who=WHO, everything=st.booleans())
    def lose_a_commit(self, who: int, everything: bool) -> None:
        """Nobody knows its transaction; the bus tells everybody that something was written."""
        self.reconnect(who)
        self.hands[who].cache.wrote(Written(frozenset({TABLE}), None))
        if everything:
            assert self.seconds[0].forget_all()
            for other in range(3):
                self.hands[other].cache.doubt()

    @rule(who=WHO)
    def sweep(self, who: int) -> None:
        self.hands[who].cache.sweep()

    @invariant()
    def nothing_fails(self) -> None:
        assert all(second.errors == 0 for second in self.seconds)

    def teardown(self) -> None:
        for hand in self.hands:
            hand.close()
        self.redis.close()


def _all(stamps: list[Stamp]) -> Stamp:
    merged = Stamp()
    for one in stamps:
        merged = merged.merged(one)
    return merged


def test_no_history_makes_it_wrong(
    cache_url: str, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "DATABASE_REST_SECONDS", 0.0)
    monkeypatch.setattr(Machine, "cache_url", cache_url)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
