"""L1's bounds, its order and its counts."""

import sys
from collections.abc import Callable, Iterator

import pytest

from app.adapters.cache.entry import Loaded
from app.adapters.cache.memory import ITEM_OVERHEAD_BYTES
from tests.adapters.cache.hand import TABLE, Hand, HandClock, Numbers
from tests.services.world import at_once

Make = Callable[..., Hand]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Hand] = []

    def make_one(l1_items: int = 100, l1_bytes: int = 10_000_000) -> Hand:
        clock = HandClock()
        made.append(Hand(clock, Numbers(clock), None, l1_items=l1_items, l1_bytes=l1_bytes))
        for key in "abcdef":
            made[-1].write(key, 1)
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def test_the_least_recently_used_leaves_first(make: Make) -> None:
    hand = make(l1_items=3)
    for key in "abcab" + "def":
        hand.get(key)
        hand.get("a")
    stats = hand.cache.stats().l1
    assert (stats.items, stats.evictions) == (3, 3)
    hand.numbers.loads.clear()
    for key in "afe":
        hand.get(key)
    assert hand.numbers.loads == []


def test_bytes_are_bounded_too(make: Make) -> None:
    hand = make(l1_bytes=4 * ITEM_OVERHEAD_BYTES)
    for key in "abcdef":
        hand.get(key)
    stats = hand.cache.stats().l1
    assert stats.items == 3
    assert stats.bytes == 3 * (ITEM_OVERHEAD_BYTES + 1)
    assert stats.evictions == 3


def test_what_is_larger_than_all_is_not_kept(make: Make) -> None:
    hand = make(l1_bytes=10)
    assert hand.number("a") == hand.number("a") == 1
    assert hand.cache.stats().l1.items == 0


def test_a_larger_one_in_a_smaller_one_s_place_makes_others_leave(make: Make) -> None:
    hand = make(l1_bytes=4 * ITEM_OVERHEAD_BYTES)
    for key in "abc":
        hand.get(key)
    hand.write("a", 10 ** (2 * ITEM_OVERHEAD_BYTES))
    loaded = hand.numbers.load("a")
    hand.cache.get("a", (TABLE,), lambda: loaded)
    stats = hand.cache.stats().l1
    assert (stats.items, stats.evictions) == (1, 2)


@pytest.fixture(autouse=True)
def _long_numbers() -> Iterator[None]:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


def test_with_room_for_none_nothing_is_kept(make: Make) -> None:
    hand = make(l1_items=0)
    assert hand.number("a") == hand.number("a") == 1
    assert hand.numbers.loads == ["a", "a"]


def test_the_sweep_takes_what_is_of_no_use_even_as_a_stale_one(make: Make) -> None:
    hand = make()
    hand.get("a")
    hand.clock.advance(200)
    hand.get("b")
    hand.get("nothing")
    hand.cache.sweep()
    assert hand.cache.stats().l1.items == 3
    hand.clock.advance(101)
    hand.cache.sweep()
    stats = hand.cache.stats().l1
    assert (stats.items, stats.expirations) == (1, 2)


def test_an_older_answer_does_not_take_the_place_of_a_newer_one(make: Make) -> None:
    """Two loads of one key, begun one after the other, and landed the other way round."""
    hand = make()

    def load_slowly() -> Loaded:
        older = hand.numbers.load("a")
        hand.clock.advance(1)
        hand.numbers.write("a", 2)  # by somebody of whom nobody tells
        hand.get("a", fresh=True)
        return older

    hand.cache.get("a", (TABLE,), load_slowly)
    assert hand.number("a") == 2


def test_a_newer_one_with_less_to_live_takes_the_place_of_an_older_one(make: Make) -> None:
    hand = make()
    hand.get("a")
    hand.clock.advance(1)
    hand.numbers.write("a", 2)  # by somebody of whom nobody tells
    hand.get("a", fresh=True, ttl=30)
    assert hand.number("a") == 2


def test_readers_and_those_who_go_through_all_do_not_disturb_each_other(make: Make) -> None:
    """Reading moves an item, and cachebox refuses to go on through what was changed."""
    hand = make(l1_items=500)
    keys = [f"key:{number}" for number in range(500)]
    for key in keys:
        hand.write(key, 1)
    for key in keys:
        hand.get(key)

    def read() -> None:
        for _ in range(20):
            for key in keys:
                hand.get(key)

    def go_through() -> None:
        for _ in range(100):
            hand.cache.sweep()
            hand.cache.drop_matching("nothing*")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        at_once(read, go_through, read, go_through)
    finally:
        sys.setswitchinterval(interval)
    assert hand.cache.stats().l1.items == 500
