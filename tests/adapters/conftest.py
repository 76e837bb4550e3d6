"""What several tests of adapters work with."""

from collections.abc import Iterator

import pytest

from app.adapters.database import Database
from app.adapters.embedded import Servers


@pytest.fixture
def database(servers: Servers) -> Iterator[Database]:
    """One connection, and another while the first is in use."""
    url = servers.database_url.replace("postgresql://", "postgresql+psycopg://")
    opened = Database(url, pool_min=1, pool_max=2)
    yield opened
    opened.close()
