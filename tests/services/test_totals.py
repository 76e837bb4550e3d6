"""Totals: what every process has counted, added up, and never less than before."""

import pytest
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.clock import Clock
from app.adapters.database import Database
from app.domain.samples import Series
from app.domain.totals import EDGES, Total, total_of
from app.services import meter
from app.services.exposition import families
from app.services.meter import DELIVERIES, DELIVERY_LATENCY, Meter
from app.services.series import SeriesBook
from app.services.totals import all_totals
from tests.services.world import World, at_once

DELIVERED = Series(DELIVERIES, (("outcome", "delivered"),))
LATENCY = Series(DELIVERY_LATENCY, (("outcome", "delivered"),))


@pytest.fixture(autouse=True)
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "WRITE_EVERY_SECONDS", 3600.0)


def a_meter(database: Database) -> Meter:
    clock = Clock()
    return Meter(database, clock, SeriesBook(clock))


def total(world: World, series: Series) -> Total:
    with world.deps.reading() as session:
        (found,) = [
            total
            for labels, total in all_totals(session)[series.operation]
            if labels == dict(series.labels)
        ]
    return found


def test_a_value_is_in_the_bucket_of_the_first_edge_that_is_not_below_it() -> None:
    """As `le` says: less than or equal."""
    found = total_of([0.5, 1, 1.1, 30_000, 30_001])
    assert found.buckets is not None
    assert dict(zip([*EDGES, None], found.buckets, strict=True)) == dict.fromkeys(
        [*EDGES, None], 0
    ) | {1: 2, 2.5: 1, 30_000: 1, None: 1}
    assert (found.count, found.sum) == (5, 60_003.6)


def test_all_processes_add_to_one_total(world: World) -> None:
    meters = [a_meter(world.deps.database) for _ in range(4)]

    def work(one: Meter) -> int:
        for _ in range(10):
            one.note(LATENCY, [2.0, 700.0])
            one.count(DELIVERED, 2)
            one.write()
        return 0

    at_once(*[lambda one=one: work(one) for one in meters])
    assert total(world, DELIVERED) == Total(80)
    latency = total(world, LATENCY)
    assert (latency.count, latency.sum) == (80, 40 * 702.0)
    assert latency.buckets is not None
    assert sum(latency.buckets) == 80
    assert latency.buckets[EDGES.index(2.5)] == latency.buckets[EDGES.index(1000)] == 40


def test_while_the_database_is_away_counts_wait(world: World) -> None:
    gone = Database("postgresql+psycopg://127.0.0.1:9/none", pool_min=1, pool_max=1)
    one = a_meter(gone)
    for _ in range(3):
        one.count(DELIVERED)
        with pytest.raises(SQLAlchemyError):
            one.write()
    gone.close()
    one._database = world.deps.database
    one.write()
    one.write()
    assert total(world, DELIVERED) == Total(3)


def test_what_a_scraper_sees_is_cumulated_and_in_seconds(world: World) -> None:
    one = a_meter(world.deps.database)
    one.note(LATENCY, [2.0, 700.0, 60_000.0])
    one.write()
    with world.deps.reading() as session:
        found = {family.name: family for family in families(session)}
    samples = found["tocsin_delivery_duration_seconds"].samples
    buckets = {
        sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")
    }
    assert (buckets["0.001"], buckets["0.0025"], buckets["1.0"]) == (0, 1, 2)
    assert (buckets["30.0"], buckets["+Inf"]) == (2, 3)
    (in_all,) = [sample.value for sample in samples if sample.name.endswith("_sum")]
    assert in_all == pytest.approx(60.702)
