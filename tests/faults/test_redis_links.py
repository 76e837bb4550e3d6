"""Half-open, hanging and refusing connections to the broker's Redis, and one that is full."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from app.deps import Deps
from app.domain.events import DeliveriesQueued
from app.settings import Settings
from tests.faults.lanes import running_web, running_worker
from tests.faults.proxy import Mode, Proxy
from tests.harness.client import Client
from tests.harness.receiver import Receiver
from tests.harness.waiting import eventually
from tests.services.world import World

BAD = (Mode.RESET, Mode.FROZEN, Mode.BLACKHOLE)
DELIVERED_WITHIN_SECONDS = 15.0
USED_AGAIN_WITHIN_SECONDS = 30.0
REQUESTS = 60


@pytest.fixture
def link(settings: Settings) -> Iterator[Proxy]:
    """A proxy before the broker."""
    parts = urlsplit(settings.redis_url)
    assert parts.hostname is not None
    assert parts.port is not None
    with Proxy((parts.hostname, parts.port)) as proxy:
        yield proxy


def through(link: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f":{parts.password}@127.0.0.1:{link.port}").geturl()


def test_a_worker_delivers_whatever_becomes_of_its_link_to_redis(
    world: World,
    deps: Deps,
    receiver: Receiver,
    settings: Settings,
    link: Proxy,
    tmp_path: Path,
) -> None:
    webhook = world.webhook(url=receiver.url("/hook"))
    bent = {"REDIS_URL": through(link, settings.redis_url)}
    with running_worker(settings, tmp_path, bent=bent):
        eventually(lambda: link.open > 0, USED_AGAIN_WITHIN_SECONDS, "its connection")
        for mode in BAD:
            link.turn(mode)
            (delivery_id,) = world.owe(webhook)
            require_delivered(world, delivery_id)
            link.turn(Mode.PASS)

        # Workers have been known to look alive after a reconnect, and to take nothing.
        def takes_hints() -> bool:
            with deps.unit_of_work() as work:
                work.events.append(DeliveriesQueued())
            return deps.broker.queue_depths(["deliver"]) == {"deliver": 0} and link.open > 0

        eventually(takes_hints, USED_AGAIN_WITHIN_SECONDS, "a hint that is taken")
    assert len(receiver.messages("/hook")) == len(BAD)


def require_delivered(world: World, delivery_id: int) -> None:
    eventually(
        lambda: world.delivery(delivery_id).status == "delivered",
        DELIVERED_WITHIN_SECONDS,
        "a delivery",
    )


def test_a_request_asks_a_bad_redis_once_and_then_spares_itself(
    world: World, deps: Deps, settings: Settings, link: Proxy, tmp_path: Path
) -> None:
    bent = {"REDIS_URL": through(link, settings.redis_url)}
    with running_web(settings, deps, tmp_path, bent=bent) as client:
        for mode in (Mode.FROZEN, Mode.RESET):
            eventually(lambda: asks(client, link), USED_AGAIN_WITHIN_SECONDS, "a use of Redis")
            link.turn(mode)
            # The first finds out, at the cost of its time-out, and is answered all the same.
            assert client.get("/api/v1/auth/me").status_code == 200
            # The breaker has opened: for its rest of five seconds nobody else pays. Who listens in
            # the background dials now and then; requests that paid would each have dialled.
            before = link.accepted
            for _request in range(REQUESTS):
                assert client.get("/api/v1/auth/me").status_code == 200
            assert link.accepted - before < REQUESTS / 2, mode
            link.turn(Mode.PASS)

        # What hints is a thread of its own, so no request waits for it either.
        link.turn(Mode.BLACKHOLE)
        assert {client.raise_alert()["status"] for _alert in range(5)} == {"pending"}


def asks(client: Client, link: Proxy) -> bool:
    """Whether a request asks Redis."""
    before = link.taken
    assert client.get("/api/v1/auth/me").status_code == 200
    return link.taken > before


def test_a_redis_without_memory_stops_neither_alerts_nor_deliveries(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    world.webhook(url=receiver.url("/hook"))
    with (
        Redis.from_url(settings.redis_url, decode_responses=True) as broker,
        running_worker(settings, tmp_path),
        running_web(settings, deps, tmp_path) as client,
    ):
        before = broker.config_get("maxmemory")["maxmemory"]
        broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(Exception, match="maxmemory"):
                broker.set("a", "b")
            alerts = [client.raise_alert()["id"] for _alert in range(5)]
            eventually(
                lambda: [world.told(one)[0][2] for one in alerts] == ["delivered"] * 5,
                DELIVERED_WITHIN_SECONDS,
                "the deliveries",
            )
        finally:
            broker.config_set("maxmemory", before)
    assert len(receiver.messages("/hook")) == 5
