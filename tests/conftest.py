"""What tests share: servers, started once a session, and only when a test asks for them."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from app.adapters.embedded import Servers, temporary_servers
from tests.harness.system import data_dir

# How long an example takes is the machine's business, and what else it does.
settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")

pytest_plugins = ["tests.harness.fixtures"]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A PostgreSQL and two Redis servers without anything else."""
    with data_dir() as folder, temporary_servers(folder) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What holds every processor comes first, what looks back at the whole session last."""
    items.sort(key=lambda item: (not item.get_closest_marker("first"), _is_last(item)))


def _is_last(item: pytest.Item) -> bool:
    return item.get_closest_marker("last") is not None
