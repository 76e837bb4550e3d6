"""A small database of its own, and caches of several processes on the session's servers."""

import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from redis import Redis

from app.adapters import quick_redis
from app.adapters.cache import bus, redis_level
from app.adapters.cache.cache import Cache
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.clock import Clock
from app.adapters.database import Database
from app.adapters.embedded import Servers
from tests.adapters.cache.process import A, B, Process

DATABASE = "tocsin_cache"
# Numbers of their own: what is flushed and published here is nobody else's.
BROKER_NUMBER, CACHE_NUMBER = 5, 5


def numbered(url: str, number: int) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


@pytest.fixture(scope="session")
def cache_database_url(servers: Servers) -> Iterator[str]:
    url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{DATABASE}"))
    with psycopg.connect(servers.database_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(url, autocommit=True) as connection:
            for table in (A, B):
                connection.execute(f"CREATE TABLE {table} (id int, number int DEFAULT 0)")
            connection.cursor().executemany(
                "INSERT INTO public.cached_a (id) VALUES (%s)", [(id_,) for id_ in range(1, 10)]
            )
        yield url.replace("postgresql://", "postgresql+psycopg://")
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def broker_url(servers: Servers) -> str:
    return numbered(servers.redis_url, BROKER_NUMBER)


@pytest.fixture
def cache_url(servers: Servers) -> Iterator[str]:
    url = numbered(servers.cache_redis_url, CACHE_NUMBER)
    with Redis.from_url(url) as redis:
        redis.flushdb()
        yield url
        redis.flushdb()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that works is waited for, however busy this machine is."""
    for module, name in (
        (quick_redis, "CONNECT_TIMEOUT_SECONDS"),
        (quick_redis, "ANSWER_TIMEOUT_SECONDS"),
        (redis_level, "BUDGET_SECONDS"),
        (redis_level, "BATCH_BUDGET_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 20.0)


@pytest.fixture
def second_level(patient: None, cache_url: str) -> Iterator[Callable[[], RedisLevel]]:
    """Makes the L2 of a process; those of one test share their entries, and nobody else's."""
    made: list[RedisLevel] = []
    database = uuid.uuid4().hex

    def make() -> RedisLevel:
        made.append(RedisLevel(cache_url, release="1", database=database))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def process(
    cache_database_url: str,
    broker_url: str,
    second_level: Callable[[], RedisLevel],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Process]]:
    """Makes what one process of several works with. `l2`: whether it has one."""
    monkeypatch.setattr(bus, "PING_SECONDS", 0.1)  # who listens looks up that often, also to end
    made: list[Process] = []

    def make(*, l2: bool = True, broker: str | None = broker_url, l1_items: int = 100) -> Process:
        clock = Clock()
        second = second_level() if l2 else None
        cache = Cache(clock, ttl=60, max_items=l1_items, second=second, broker_url=broker)
        database = Database(
            cache_database_url,
            pool_min=1,
            pool_max=20,
            watched=(A, B),
            on_written=cache.wrote,
            clock=clock,
        )
        made.append(Process(cache, database))
        return made[-1]

    yield make
    for one in made:
        one.cache.close()
        one.database.close()
