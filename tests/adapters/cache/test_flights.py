"""One load of a key at a time; nobody gets by it what is older than his question."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError

from app.adapters.cache import cache, levels
from app.adapters.cache.entry import Answer, Loaded
from tests.adapters.cache.hand import TABLE, Hand, HandClock, Numbers
from tests.harness.waiting import eventually
from tests.services.world import at_once, outcomes_at_once

CALLERS = 200


class Gated(Hand):
    """Whose loads wait, when they have read, until they may go on."""

    def __init__(self) -> None:
        clock = HandClock()
        super().__init__(clock, Numbers(clock), None)
        self.write("k", 1)
        self.gate = threading.Event()
        self.error: Exception | None = None

    def ask(self) -> Answer:
        return self.cache.get("k", (TABLE,), self.load)

    def load(self) -> Loaded:
        loaded = self.numbers.load("k")
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return loaded

    def has_joined(self, callers: int) -> None:
        eventually(lambda: self.cache.stats().flights_joined >= callers, what="company")

    def open_when_joined(self, callers: int) -> threading.Thread:
        def wait_and_open() -> None:
            self.has_joined(callers)
            self.gate.set()

        opening = threading.Thread(target=wait_and_open)
        opening.start()
        return opening


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    monkeypatch.setattr(levels, "DATABASE_REST_SECONDS", 0.0)
    one = Gated()
    yield one
    one.gate.set()
    one.close()


class Asking:
    """Asks on a thread of its own."""

    def __init__(self, gated: Gated) -> None:
        self._thread = threading.Thread(target=self._ask, args=(gated,))
        self._answer: Answer | None = None
        self._thread.start()

    def _ask(self, gated: Gated) -> None:
        self._answer = gated.ask()

    def number(self) -> int:
        self._thread.join(30)
        assert self._answer is not None
        return int(self._answer.entry.body)


def test_all_who_come_meanwhile_share_one_load(gated: Gated) -> None:
    opening = gated.open_when_joined(CALLERS - 1)
    answers = at_once(*[gated.ask] * CALLERS)
    opening.join()
    assert {answer.entry.body for answer in answers} == {b"1"}
    assert gated.numbers.loads == ["k"]


def test_who_comes_after_a_write_does_not_get_what_was_read_before_it(gated: Gated) -> None:
    early = Asking(gated)
    eventually(lambda: gated.numbers.loads, what="a load")
    gated.write("k", 2)
    late = [Asking(gated) for _ in range(5)]
    gated.has_joined(5)
    gated.gate.set()
    assert early.number() == 1
    assert [one.number() for one in late] == [2] * 5
    assert gated.ask().entry.body == b"2"


def test_what_goes_wrong_goes_wrong_for_all_once(gated: Gated) -> None:
    gated.error = OperationalError("a query", None, Exception("gone"))
    opening = gated.open_when_joined(9)
    outcomes = outcomes_at_once(*[gated.ask] * 10)
    opening.join()
    assert all(isinstance(outcome, OperationalError) for outcome in outcomes)
    assert gated.numbers.loads == ["k"]
    gated.error = None
    assert gated.ask().entry.body == b"1"


def test_a_load_that_hangs_is_not_waited_for_for_ever(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "FLIGHT_SECONDS", 0.1)
    hanging = Asking(gated)
    eventually(lambda: gated.numbers.loads, what="a load")
    answer = gated.cache.get("k", (TABLE,), lambda: gated.numbers.load("k"))
    assert answer.entry.body == b"1"
    gated.gate.set()
    assert hanging.number() == 1


def test_keys_do_not_wait_for_each_other(gated: Gated) -> None:
    hanging = Asking(gated)
    eventually(lambda: gated.numbers.loads, what="a load")
    assert gated.number("other") is None
    gated.gate.set()
    assert hanging.number() == 1


def test_while_the_database_is_away_only_one_tries_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(levels, "DATABASE_REST_SECONDS", 60.0)
    clock = HandClock()
    hand = Hand(clock, Numbers(clock), None)
    hand.write("k", 1)
    hand.get()
    hand.numbers.is_away = True
    clock.advance(100)
    for _ in range(10):
        assert hand.get().is_stale
    assert len(hand.numbers.loads) == 2
    # Who has nothing to serve asks it all the same.
    with pytest.raises(OperationalError):
        hand.get("other")
    hand.close()
