"""Several processes on one database: what one writes, no other says differently for long."""

from collections.abc import Callable
from functools import partial

import pytest
from redis import Redis

from app.adapters.cache import bus, levels
from app.adapters.embedded import Servers
from app.adapters.written import Written
from app.domain.cache_policy import Life
from tests.adapters.away import frozen_url, gone_url
from tests.adapters.cache.conftest import BROKER_NUMBER
from tests.adapters.cache.process import Process
from tests.faults.proxy import Mode, Proxy
from tests.harness.waiting import eventually

Make = Callable[..., Process]
CHANNEL = f"tocsin:cache:{BROKER_NUMBER}"


@pytest.fixture(params=[True, False], ids=["with L2", "without"])
def l2(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def listening(one: Process) -> Process:
    """With something in its L1, after it was connected."""
    one.get()
    eventually(lambda: one.cache.stats().is_listening, what="listening")
    eventually(lambda: one.number() == one.number() and one.get().source == "l1", what="L1")
    return one


def test_others_hear_of_a_write(process: Make, l2: bool) -> None:
    one, *others = (listening(process(l2=l2)) for _ in range(3))
    for number in (101, 102, 103):
        one.put(number)
        assert one.number() == number
        for other in others:
            eventually(lambda o=other, n=number: o.number() == n, what="the news")  # type: ignore[misc]


def test_a_burst_is_told_to_its_end(process: Make, l2: bool) -> None:
    one, other = listening(process(l2=l2)), listening(process(l2=l2))
    for number in range(200, 300):
        one.put(number)
    eventually(lambda: other.number() == 299, what="the last of it")


def test_with_no_news_it_is_wrong_for_no_longer_than_its_time_to_live(process: Make) -> None:
    one, other = process(l2=False, broker=gone_url()), process(l2=False, broker=gone_url())
    one.put(301)
    assert other.get(ttl=1).entry.body == b"301"
    one.put(302)
    eventually(lambda: other.get(ttl=1).entry.body == b"302", within=10, what="the end of its life")


def test_with_l2_and_no_news_the_stamps_say_it(process: Make) -> None:
    one, other = process(broker=gone_url()), process(broker=gone_url(), l1_items=0)
    one.put(311)
    assert other.number() == 311
    one.put(312)
    eventually(lambda: other.number() == 312, what="the stamps in L2")


@pytest.fixture
def line(servers: Servers, broker_url: str) -> "Proxy":
    """Between the second process and the broker."""
    port = int(servers.redis_url.rsplit(":", 1)[1].split("/")[0])
    return Proxy(("127.0.0.1", port))


def through(line: Proxy, url: str) -> str:
    port = url.rsplit(":", 1)[1].split("/")[0]
    return url.replace(f":{port}/", f":{line.port}/")


def test_news_that_were_missed_cost_it_what_it_had(
    process: Make, line: Proxy, broker_url: str, l2: bool
) -> None:
    with line:
        one = listening(process(l2=l2))
        other = listening(process(l2=l2, broker=through(line, broker_url)))
        one.put(400)
        eventually(lambda: other.number() == 400, what="the news")
        line.turn(Mode.RESET)
        eventually(lambda: not other.cache.stats().is_listening, what="the cut")
        one.put(401)
        line.turn(Mode.PASS)
        eventually(lambda: other.number() == 401, what="the end of the cut")


def test_a_line_that_has_gone_silent_is_given_up(
    process: Make, line: Proxy, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "PING_SECONDS", 0.1)
    monkeypatch.setattr(bus, "SILENCE_SECONDS", 0.5)
    with line:
        other = listening(process(l2=False, broker=through(line, broker_url)))
        line.turn(Mode.BLACKHOLE)
        eventually(lambda: not other.cache.stats().is_listening, what="the silence")
        line.turn(Mode.PASS)
        eventually(lambda: other.cache.stats().is_listening, what="another line")


def test_what_could_not_be_told_is_told_later(
    process: Make, line: Proxy, broker_url: str, l2: bool
) -> None:
    with line:
        one = process(l2=l2, broker=through(line, broker_url))
        other = listening(process(l2=l2))
        line.turn(Mode.RESET)
        one.put(500)
        one.put(501)
        assert one.number() == 501
        line.turn(Mode.PASS)
        eventually(lambda: other.number() == 501, what="the news")


def test_who_tells_waits_for_nobody(process: Make) -> None:
    with frozen_url() as url:
        one = process(broker=url)
        for number in range(600, 620):
            one.put(number)
            assert one.number() == number
        assert not one.cache.stats().is_listening


@pytest.mark.parametrize("way", ["keys", "pattern", "all"])
def test_what_is_dropped_is_dropped_everywhere(process: Make, l2: bool, way: str) -> None:
    one, other = listening(process(l2=l2)), listening(process(l2=l2))
    drop: dict[str, Callable[[], int]] = {
        "keys": partial(one.cache.drop, ["1"]),
        "pattern": partial(one.cache.drop_matching, "?"),
        "all": one.cache.clear,
    }
    assert drop[way]() >= 1
    eventually(lambda: other.get().source != "l1", what="the news")


def test_what_nobody_understands_makes_nothing_right(process: Make, broker_url: str) -> None:
    one = listening(process(l2=False))
    with Redis.from_url(broker_url) as redis:
        for noise in (b"\xff", b"[]", b"{}", b'{"from": 1, "stamps": {"t": "x"}}'):
            one.get()
            loads = one.loads
            redis.publish(CHANNEL, noise)
            eventually(lambda n=loads: one.number() >= 0 and one.loads > n, what="doubt")  # type: ignore[misc]
    assert one.cache.stats().is_listening


def test_what_was_begun_before_a_cut_is_not_kept_after_it(process: Make) -> None:
    one = process(l2=False, broker=None)

    def load_through_a_cut() -> object:
        loaded = one.load()
        one.cache.doubt()
        return loaded

    one.cache.get("1", ("public.cached_a",), load_through_a_cut)  # type: ignore[arg-type]
    assert one.cache.stats().l1.items == 0


def test_the_sweep_comes_by_itself(process: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(levels, "life_of", lambda good, **_: Life(good, good, good))
    one = listening(process(l2=False))
    one.get(2, ttl=0.5)
    eventually(lambda: one.cache.stats().l1.expirations, what="a sweep")


def test_a_commit_that_nobody_knows_the_end_of_puts_everything_in_doubt(
    process: Make, l2: bool
) -> None:
    one, other = listening(process(l2=l2)), listening(process(l2=l2))
    loads = one.loads + other.loads
    one.cache.wrote(Written(frozenset({"public.cached_a"}), None))
    assert one.get().source != "l1"
    eventually(lambda: other.get().source != "l1", what="the news")
    eventually(lambda: one.loads + other.loads > loads, what="a load")
