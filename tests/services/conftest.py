"""A migrated database for the services, empty at the start of each test."""

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
from tests.services.world import World

TEMPLATE = "tocsin_template"
DATABASE = "tocsin_services"
# An own Redis database: hints of these tests are nobody else's.
BROKER_NUMBER = 3


def _another(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> Iterator[str]:
    """A copy of a database that was migrated once: copying takes a blink."""
    url = servers.database_url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
        upgrade(_another(url, TEMPLATE).replace("postgresql://", "postgresql+psycopg://"))
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        yield _another(url, DATABASE)
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture(scope="session")
def settings(database_url: str, servers: Servers) -> Settings:
    return Settings(
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
        db_pool_min=5,
        db_pool_max=40,
    )


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
