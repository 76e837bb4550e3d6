"""What every cache does, with L1, with L2, and with both."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy.exc import OperationalError

from app.adapters.cache import levels
from app.adapters.cache.entry import Source
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.written import Written
from tests.adapters.cache.hand import TABLE, Hand, HandClock, Numbers
from tests.harness.waiting import eventually
from tests.services.world import at_once

LEVELS = {"L1": (False, 100), "L2": (True, 0), "both": (True, 100)}


@pytest.fixture(params=LEVELS)
def make(
    request: pytest.FixtureRequest,
    second_level: Callable[[], RedisLevel],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Hand]]:
    """Makes the processes of one system, on one clock and one database."""
    monkeypatch.setattr(levels, "DATABASE_REST_SECONDS", 0.0)
    has_second, l1_items = LEVELS[request.param]
    clock = HandClock()
    numbers = Numbers(clock)
    made: list[Hand] = []

    def make_one() -> Hand:
        second = second_level() if has_second else None
        made.append(Hand(clock, numbers, second, l1_items=l1_items))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


@pytest.fixture
def hand(make: Callable[[], Hand]) -> Hand:
    one = make()
    one.write("k", 1)
    return one


def test_what_was_loaded_is_there_the_next_time(hand: Hand) -> None:
    first, second = hand.get(), hand.get()
    assert (first.source, first.entry.body) == (Source.DATABASE, b"1")
    assert second.source in {Source.L1, Source.L2}
    assert second.entry == first.entry
    assert hand.numbers.loads == ["k"]


def test_each_key_has_its_own(hand: Hand) -> None:
    hand.write("other", 2)
    assert [hand.number("k"), hand.number("other"), hand.number("k")] == [1, 2, 1]
    assert hand.numbers.loads == ["k", "other"]


def test_what_is_written_is_seen_at_once(hand: Hand) -> None:
    assert hand.number() == 1
    hand.write("k", 2)
    assert hand.number() == 2
    assert hand.number() == 2
    assert len(hand.numbers.loads) == 2


def test_a_write_to_another_table_changes_nothing(hand: Hand) -> None:
    first = hand.cache.get("k", ("schema.other",), lambda: hand.numbers.load("k"))
    hand.write("k", 2)
    again = hand.cache.get("k", ("schema.other",), lambda: hand.numbers.load("k"))
    assert again.entry == first.entry


def test_the_same_body_has_the_same_etag(hand: Hand) -> None:
    first = hand.get()
    hand.write("k", 2)
    second = hand.get()
    hand.write("k", 1)
    assert first.entry.etag == hand.get().entry.etag != second.entry.etag
    assert first.entry.etag.startswith('"')


def test_it_ages_and_ends(hand: Hand) -> None:
    hand.get()
    hand.clock.advance(47)
    assert hand.get().age == pytest.approx(47)
    hand.clock.advance(14)
    assert hand.get().source is Source.DATABASE
    assert hand.get().age == 0


def test_a_shorter_time_to_live_is_kept(hand: Hand) -> None:
    hand.get(ttl=5)
    hand.clock.advance(5.1)
    assert hand.get(ttl=5).source is Source.DATABASE


def test_near_its_end_it_is_renewed_while_it_is_served(hand: Hand) -> None:
    hand.get()
    hand.clock.advance(50)
    hand.numbers.write("k", 2)  # by somebody of whom nobody tells
    if hand.get().source is Source.DATABASE:
        return  # L2 alone has nobody to serve meanwhile
    assert eventually(hand.number, what="the number") in {1, 2}
    eventually(lambda: hand.number() == 2, what="the renewal")
    assert hand.get().age == 0
    assert hand.cache.stats().renewals == 1


def test_what_does_not_exist_is_believed_for_a_few_seconds(hand: Hand) -> None:
    assert hand.number("nothing") is None
    assert hand.number("nothing") is None
    assert hand.numbers.loads == ["nothing"]
    hand.clock.advance(3.1)
    assert hand.number("nothing") is None
    assert hand.numbers.loads == ["nothing"] * 2
    hand.write("nothing", 5)
    assert hand.number("nothing") == 5


def test_who_wants_it_fresh_gets_it_from_the_database(hand: Hand) -> None:
    hand.get()
    hand.numbers.write("k", 2)  # by somebody of whom nobody tells
    assert hand.number() == 1
    assert hand.get(fresh=True).entry.body == b"2"
    assert hand.number() == 2


def test_while_the_database_is_away_an_old_one_is_served_but_no_older_than_300_s(
    hand: Hand,
) -> None:
    hand.get()
    hand.numbers.is_away = True
    hand.clock.advance(299)
    answer = hand.get()
    assert (answer.is_stale, answer.entry.body) == (True, b"1")
    assert answer.age == pytest.approx(299)
    assert hand.cache.stats().stale_served == 1
    hand.clock.advance(1.1)
    with pytest.raises(OperationalError):
        hand.get()
    hand.numbers.is_away = False
    assert hand.get().source is Source.DATABASE


def test_so_is_one_that_was_overwritten(hand: Hand) -> None:
    hand.get()
    hand.write("k", 2)
    hand.numbers.is_away = True
    answer = hand.get()
    assert (answer.is_stale, answer.entry.body) == (True, b"1")
    hand.numbers.is_away = False
    assert hand.number() == 2


def test_so_is_one_that_is_in_doubt(hand: Hand) -> None:
    """A database that goes takes commits with it whose end nobody knows."""
    hand.get()
    hand.cache.wrote(Written(frozenset({TABLE}), None))
    hand.numbers.is_away = True
    if hand.second is not None:
        assert hand.second.forget_all()  # as the bus does
    answer = hand.get()
    assert (answer.is_stale, answer.entry.body) == (True, b"1")
    hand.numbers.is_away = False
    assert hand.get().source is Source.DATABASE


def test_that_something_did_not_exist_is_not(hand: Hand) -> None:
    hand.get("nothing")
    hand.numbers.is_away = True
    hand.clock.advance(4)
    with pytest.raises(OperationalError):
        hand.get("nothing")


def test_other_errors_are_raised_and_not_kept(hand: Hand) -> None:
    def fail() -> None:
        raise KeyError("k")

    for _ in range(2):
        with pytest.raises(KeyError):
            hand.cache.get("k", (TABLE,), fail)  # type: ignore[arg-type]
    assert hand.number() == 1


def test_a_load_that_began_before_a_write_is_not_kept(hand: Hand) -> None:
    """However late it arrives: the slow load's snapshot does not see the write."""
    loaded = hand.numbers.load("k")
    hand.write("k", 2)
    slow = hand.cache.get("k", (TABLE,), lambda: loaded)
    assert slow.entry.body == b"1"  # it was asked for before
    assert hand.number() == 2


def test_many_at_once_make_one_load(hand: Hand) -> None:
    assert set(at_once(*[hand.number] * 50)) == {1}
    assert len(hand.numbers.loads) == 1


def test_keys_are_dropped(hand: Hand) -> None:
    for key in ("a:1", "a:2", "b:1"):
        hand.write(key, 1)
    for key in ("a:1", "a:2", "b:1"):
        hand.get(key)
    hand.numbers.loads.clear()
    assert hand.cache.drop(["a:1", "no such"]) == 1
    assert hand.cache.drop_matching("a:*") == 1
    for key in ("a:1", "a:2", "b:1"):
        hand.get(key)
    assert hand.numbers.loads == ["a:1", "a:2"]
    assert hand.cache.clear() == 3
    for key in ("a:1", "a:2", "b:1"):
        hand.get(key)
    assert hand.numbers.loads == ["a:1", "a:2", "a:1", "a:2", "b:1"]


def test_many_are_put_in_and_taken_out_together(hand: Hand) -> None:
    keys = [f"many:{number}" for number in range(450)]
    for number, key in enumerate(keys):
        hand.numbers.write(key, number)
    with hand.cache.filling() as filling:
        for key in keys[:90]:
            filling.add(key, (TABLE,), hand.numbers.load(key))
    answers = hand.cache.get_many(dict.fromkeys(keys, (TABLE,)))
    assert {key: answer.entry.body for key, answer in answers.items()} == {
        key: str(number).encode() for number, key in enumerate(keys[:90])
    }
    hand.write("many:0", 7)
    assert hand.cache.get_many(dict.fromkeys(keys, (TABLE,))) == {}


def test_what_was_put_in_is_no_better_than_what_was_loaded(hand: Hand) -> None:
    with hand.cache.filling() as filling:
        filling.add("k", (TABLE,), hand.numbers.load("k"))
        hand.write("k", 2)
    assert hand.number() == 2


def test_it_counts(hand: Hand) -> None:
    at_once(*[partial(hand.get, "k")] * 4)
    hand.get()
    stats = hand.cache.stats()
    assert stats.loads == 1
    level = stats.l2 if stats.l1.hits == 0 else stats.l1
    assert level is not None
    assert level.hits >= 1
    assert level.hit_rate is not None
    assert 0 < level.hit_rate < 1
    assert level.items is not None
    assert level.items >= 1


def test_two_processes_share_what_they_share(make: Callable[[], Hand]) -> None:
    one, other = make(), make()
    one.write("k", 1)
    assert one.number() == other.number() == 1
    shares = one.cache.stats().l2 is not None
    assert len(one.numbers.loads) == (1 if shares else 2)
    one.clock.advance(59)
    third = make()
    # What comes from L2 is as old as it is.
    assert third.get().age <= 59
    assert third.number() == 1
