"""The stock receivers, each started once."""

from collections.abc import Iterator

import pytest

from tests.conformance.receivers import (
    StockReceiver,
    Unavailable,
    node_receiver,
    python_receiver,
)


@pytest.fixture(scope="session", params=["python", "node"])
def stock(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StockReceiver]:
    """A receiver that checks with a stock library: every test is done with each of them."""
    make = python_receiver() if request.param == "python" else None
    try:
        with make or node_receiver(tmp_path_factory.mktemp("npm")) as receiver:
            yield receiver
    except Unavailable as why:
        pytest.skip(str(why))
