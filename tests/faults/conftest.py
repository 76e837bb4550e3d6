"""A database of its own on the shared servers, and what the fault tests need around it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from cryptography.fernet import Fernet

from app.adapters.database import driver_of
from app.adapters.embedded import Servers
from app.deps import Deps, build
from app.settings import Settings
from models.migrate import upgrade
from tests.harness.emptying import empty
from tests.harness.receiver import Receiver
from tests.services.world import World

DATABASE = "tocsin_faults"
# An own Redis database: hints of these tests are nobody else's.
BROKER_NUMBER = 5


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> Iterator[str]:
    url = servers.database_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        yield urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture(scope="session")
def settings(database_url: str, servers: Servers) -> Settings:
    made = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=f"{servers.redis_url.removesuffix('/0')}/{BROKER_NUMBER}",
        cache_redis_url="",
        jwt_secret_key="j" * 32,
        encryption_keys=(Fernet.generate_key().decode(),),
        admin_password=None,
        data_dir=Path("/nonexistent"),
        egress_allow="127.0.0.0/8",
        retry_schedule_seconds=(0, 0, 0),
        request_timeout_seconds=5,
        web_concurrency=1,
        rate_limit_requests=100_000,
    )
    upgrade(made.database_url)
    return made


@pytest.fixture(scope="session")
def deps(settings: Settings) -> Iterator[Deps]:
    built = build(settings)
    yield built
    built.close()


@pytest.fixture
def world(deps: Deps) -> World:
    """The services on an empty database."""
    with deps.database.session() as session:
        empty(driver_of(session))
    return World(deps)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    listening = Receiver()
    yield listening
    listening.close()
