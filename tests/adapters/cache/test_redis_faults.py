"""L2 killed, flushed, frozen, slow, full, with a wrong password: a miss, never an error.

Every answer is right and comes soon; when the server is well again it is used again.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from app.adapters.cache import redis_level
from app.adapters.cache.redis_level import RedisLevel
from app.domain.snapshot import Stamp
from tests.adapters.away import frozen_url, gone_url
from tests.adapters.cache.hand import Hand, HandClock, Numbers
from tests.adapters.cache.own_redis import OwnRedis, own_redis
from tests.faults.proxy import Mode, Proxy
from tests.harness.waiting import eventually

# Without a budget each of these waits for ever, or half a minute. The contract says 100 ms; the
# rest is for a test machine that has other things to do.
AT_MOST_SECONDS = 2.0
REST_SECONDS = 0.2


@pytest.fixture(scope="module")
def running() -> Iterator[OwnRedis]:
    with own_redis() as server:
        yield server


@pytest.fixture
def server(running: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> OwnRedis:
    monkeypatch.setattr(redis_level, "REST_SECONDS", REST_SECONDS)  # the same in less time
    running.client.flushall()
    return running


Make = Callable[[str], Hand]


@pytest.fixture
def make() -> Iterator[Make]:
    """A process without L1 and with its L2 at a URL."""
    clock = HandClock()
    numbers = Numbers(clock)
    made: list[Hand] = []

    def make_one(url: str) -> Hand:
        second = RedisLevel(url, release="1", database="faults")
        made.append(Hand(clock, numbers, second, l1_items=0))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def works_without(hand: Hand) -> None:
    """Whatever is asked of it is right, and soon."""
    started = time.monotonic()
    for number in range(20):
        hand.write("k", number)
        assert hand.number() == number
    hand.cache.drop(["k"])
    hand.cache.drop_matching("*")
    hand.cache.clear()
    with hand.cache.filling() as filling:
        filling.add("k", ("schema.table",), hand.numbers.load("k"))
    assert hand.number() == 19
    stats = hand.cache.stats().l2
    assert time.monotonic() - started < AT_MOST_SECONDS
    assert stats is not None
    assert stats.errors > 0
    assert stats.is_resting


def works_with(hand: Hand) -> None:
    """Its L2 is used (again): what was loaded once is not loaded again."""

    def shares() -> bool:
        hand.number()
        loads = len(hand.numbers.loads)
        return hand.number() is not None and len(hand.numbers.loads) == loads

    eventually(shares, what="L2 in use")
    eventually(lambda: not is_resting(hand), what="closed breakers")


def is_resting(hand: Hand) -> bool:
    stats = hand.cache.stats().l2
    return stats is not None and stats.is_resting


def test_one_that_is_gone(make: Make) -> None:
    works_without(make(gone_url()))


def test_one_that_is_frozen(make: Make) -> None:
    with frozen_url() as url:
        works_without(make(url))


@pytest.mark.parametrize("mode", [Mode.FROZEN, Mode.BLACKHOLE, Mode.SLOW, Mode.RESET])
def test_one_that_was_well_and_turns_bad(server: OwnRedis, make: Make, mode: Mode) -> None:
    with Proxy(("127.0.0.1", server.port)) as proxy:
        hand = make(server.url.replace(str(server.port), str(proxy.port)))
        hand.write("k", 1)
        works_with(hand)
        proxy.turn(mode)
        works_without(hand)
        proxy.turn(Mode.PASS)
        works_with(hand)


@contextmanager
def trickling_url() -> Iterator[str]:
    """Takes everything, and answers without end, a byte at a time: each read is in time."""
    over = threading.Event()

    def trickle(listening: socket.socket) -> None:
        while not over.is_set():
            with suppress(OSError), listening.accept()[0] as taker:
                taker.sendall(b"$1000000\r\n")
                while not over.wait(0.01):
                    taker.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        thread = threading.Thread(target=trickle, args=(listening,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        finally:
            over.set()
            thread.join()


def test_one_that_answers_a_byte_at_a_time_is_not_listened_to_to_the_end(make: Make) -> None:
    with trickling_url() as url:
        works_without(make(url))


def test_one_that_is_killed_and_comes_back_empty(server: OwnRedis, make: Make) -> None:
    hand = make(server.url)
    hand.write("k", 1)
    works_with(hand)
    server.kill()
    works_without(hand)
    server.start()
    works_with(hand)


def test_one_that_is_flushed_forgets_and_goes_on(server: OwnRedis, make: Make) -> None:
    hand = make(server.url)
    hand.write("k", 1)
    works_with(hand)
    server.client.flushall()
    hand.numbers.write("k", 2)
    assert hand.number() == 2
    works_with(hand)


def test_entries_of_before_are_worth_nothing_when_only_the_stamps_are_lost(
    server: OwnRedis, make: Make
) -> None:
    """Evicted, say: nobody knows any more what was written meanwhile."""
    one, other = make(server.url), make(server.url)
    one.write("k", 1)
    works_with(one)
    written = one.numbers.write("k", 2)
    assert written.xid is not None
    second = RedisLevel(server.url, release="1", database="faults")
    eventually(lambda: second.hear({"schema.table": Stamp.of(written.xid or 0)}), what="a stamp")
    second.close()
    server.client.delete("tocsin:cache:faults:stamps")
    # Somebody loads something else, so that there are stamps again.
    eventually(lambda: other.number("another") is None and server.client.dbsize() > 1)
    assert other.number("k") == 2


def test_one_with_another_password(server: OwnRedis, make: Make) -> None:
    works_without(make(server.url_with("wrong")))


def test_one_that_is_full_and_evicts_nothing(server: OwnRedis, make: Make) -> None:
    hand = make(server.url)
    hand.write("k", 1)
    works_with(hand)
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1")
    try:
        works_without(hand)
    finally:
        server.client.config_set("maxmemory", "0")
    works_with(hand)


def test_one_that_is_full_lets_go_of_what_it_cannot_refute(server: OwnRedis, make: Make) -> None:
    one, other = make(server.url), make(server.url)
    one.write("k", 1)
    works_with(one)
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1")
    try:
        written = one.numbers.write("k", 2)
        second = RedisLevel(server.url, release="1", database="faults")
        eventually(lambda: second.hear({"schema.table": Stamp.of(written.xid or 0)}), what="it")
        second.close()
    finally:
        server.client.config_set("maxmemory", "0")
    assert other.number() == 2


def test_what_somebody_else_left_there_is_a_miss(server: OwnRedis, make: Make) -> None:
    hand = make(server.url)
    hand.write("k", 1)
    works_with(hand)
    (key,) = server.client.keys("tocsin:cache:faults:1:*")
    for value in (b"", b"\x01", b"\x09" * 100, b"\x01" + b"\xff" * 100):
        server.client.set(key, value)
        assert hand.number() == 1
    server.client.delete(key)
    server.client.lpush(key, "a list")
    assert hand.number() == 1
    server.client.hset("tocsin:cache:faults:stamps", "schema.table", "no stamp")
    assert hand.number() == 1
