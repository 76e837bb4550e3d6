"""Warming: what was asked for lately is there before somebody asks again; nobody waits for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from redis import Redis

from app.adapters.cache import board, redis_level
from app.adapters.cache.entry import Source
from app.adapters.embedded import Servers
from app.deps import Deps, build
from app.services import warm_threads
from app.services.queries.query import Priority, Query
from app.services.queries.registry import ALL
from app.settings import Settings
from tests.adapters.away import frozen_url
from tests.harness.waiting import eventually
from tests.services.world import World

LIST, WEBHOOKS = ALL["alerts.list"], ALL["webhooks.list"]
PAGE = {"limit": 5, "cursor": None}
KEY = LIST.key(PAGE)
OLD_KEY = LIST.key({"limit": 6})
# Of Redis databases that nobody else uses.
NUMBER = 8

Make = Callable[..., Deps]


@pytest.fixture
def make(
    world: World, settings: Settings, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """Processes beside each other: `worker`, and settings of their own, on a cache of theirs."""
    # How quickly L2 gives up is not what this is about, and the machine may be busy.
    monkeypatch.setattr(redis_level, "BUDGET_SECONDS", 5.0)
    monkeypatch.setattr(board, "TIMEOUT_SECONDS", 5.0)
    shared = {
        "redis_url": f"{servers.redis_url.removesuffix('/0')}/{NUMBER}",
        "cache_redis_url": f"{servers.cache_redis_url.removesuffix('/0')}/{NUMBER}",
    }
    for url in shared.values():
        with Redis.from_url(url) as server:
            server.flushdb()
    with ExitStack() as stack:

        def make_one(*, worker: bool = False, **bent: object) -> Deps:
            one = build(settings.model_copy(update=shared | bent), worker=worker)
            stack.callback(one.close)
            return one

        yield make_one


def source(deps: Deps, query: Query = LIST) -> Source:
    return deps.reader.get(query, PAGE).source


def told(deps: Deps) -> None:
    """What this process was asked for is known to all."""
    assert deps.reporter.tell()


def test_a_round_brings_into_l2_what_somebody_asked_for(make: Make) -> None:
    web, jobs = make(), make(worker=True)
    assert LIST.priority is not None
    assert source(web) is Source.DATABASE
    told(web)
    web.cache.clear()

    priority = LIST.priority
    warmed = jobs.warmer.warm_round(priority)
    assert [(one.name, one.entries) for one in warmed.queries] == [("alerts.list", 1)]
    assert warmed.bytes > 0
    assert source(web) is Source.L2


def test_what_nobody_asked_for_lately_stays_cold(make: Make) -> None:
    web, jobs = make(), make(worker=True)
    source(web)
    told(web)
    for priority in set(Priority) - {LIST.priority}:
        assert jobs.warmer.warm_round(priority).entries == 0
    # Nor what was asked for long ago.
    now = web.clock.now().timestamp()
    assert web.board.tell("somebody", b"{}", {OLD_KEY: now - 3000}, now)
    assert OLD_KEY in (web.board.asked_since(now - 3600) or [])
    assert LIST.priority is not None
    assert jobs.warmer.asked_lately(LIST.priority) == [KEY]


def test_what_is_good_until_the_next_round_is_left_alone(make: Make, world: World) -> None:
    web, jobs = make(), make(worker=True)
    assert LIST.priority is not None
    source(web)
    told(web)
    assert jobs.warmer.warm_round(LIST.priority).still_good == 1
    # And what is not right any more is loaded, be it young.
    world.alert()
    eventually(
        lambda: jobs.warmer.warm_round(LIST.priority or Priority.LOW).entries == 1,
        what="news of the alert",
    )


def test_without_l2_the_web_processes_warm_themselves(make: Make) -> None:
    web, other, jobs = (
        make(cache_redis_url=""),
        make(cache_redis_url=""),
        make(cache_redis_url="", worker=True),
    )
    assert LIST.priority is not None
    eventually(other.cache.listens, what="somebody who listens")
    source(web)
    told(web)
    warmed = jobs.warmer.warm_round(LIST.priority)
    assert (warmed.entries, warmed.for_others) == (0, 1)
    eventually(lambda: other.cache.holds(KEY), what="the answer in the other process")
    assert source(other) is Source.L1


def test_what_must_not_leave_a_process_never_reaches_l2(make: Make) -> None:
    """Headers of webhooks are encrypted at rest."""
    assert not WEBHOOKS.shared
    web, other, jobs = make(), make(), make(worker=True)
    assert WEBHOOKS.priority is not None
    eventually(other.cache.listens, what="somebody who listens")
    source(web, WEBHOOKS)
    told(web)
    assert jobs.warmer.warm_round(WEBHOOKS.priority).for_others == 1
    eventually(lambda: other.cache.holds(WEBHOOKS.key(PAGE)), what="the answer by itself")
    third = make()
    assert source(third, WEBHOOKS) is Source.DATABASE


def test_by_hand_everything_is_loaded_anew(make: Make) -> None:
    web = make()
    source(web)
    warmed = web.warmer.warm_by_hand([KEY, "nothing?limit=1"])
    assert (warmed.entries, warmed.still_good, warmed.left) == (1, 0, 0)
    assert [one.key for one in warmed.errors] == ["nothing?limit=1"]


def test_what_there_is_no_time_for_is_left(make: Make) -> None:
    keys = [LIST.key({"limit": number}) for number in range(1, 4)]
    assert make().warmer.warm(keys, within=0.0).left == 3


def test_a_process_is_warm_before_it_is_ready(make: Make) -> None:
    web = make()
    source(web)
    source(web, WEBHOOKS)
    told(web)
    new = make()
    eventually(new.warm_start.is_over, what="readiness")
    assert source(new) is Source.L1
    assert source(new, WEBHOOKS) is Source.L1


def test_a_redis_that_hangs_holds_no_start(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "TIMEOUT_SECONDS", 0.1)
    with frozen_url() as url:
        new = make(redis_url=url, cache_redis_url="")
        eventually(new.warm_start.is_over, what="readiness")


def test_a_start_that_takes_too_long_is_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_threads, "START_SECONDS", 0.0)
    with frozen_url() as url:
        assert make(redis_url=url, cache_redis_url="").warm_start.is_over()


def test_only_the_latest_are_remembered(make: Make) -> None:
    web = make()
    for number in range(6_000):
        web.reader._asked.note(f"alerts.list?limit={number}")
    assert LIST.priority is not None
    known = web.reader._asked.since(0.0)
    assert len(known) <= 5_000
    assert "alerts.list?limit=5999" in known
