"""SIGKILL between what the inbox loses and what the rollups gain: no sample is lost or doubled."""

import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain.rollups import RESOLUTIONS
from app.domain.samples import read_samples
from app.services.rolling import Roller
from app.settings import Settings, as_environment
from tests.harness.programs import running_program
from tests.harness.waiting import eventually
from tests.services.world import World

DIES_WITHIN_SECONDS = 30.0
KILLED = -9
REQUESTS, SIZE = 20, 50
ALL = REQUESTS * SIZE


def send(world: World) -> None:
    """So many requests, as the API takes them in."""
    for _ in range(REQUESTS):
        raw = [{"operation": "op", "value": random.random()} for _ in range(SIZE)]
        with world.deps.unit_of_work() as work:
            samples = read_samples(raw, datetime.now(UTC))
            assert world.deps.intake.accept(work.session, samples) == {}


def places(world: World) -> tuple[int, int, list[int]]:
    """How many samples wait, are kept raw, and are in the rollups of each resolution."""
    waiting, raw = world.one(
        "SELECT (SELECT COALESCE(sum(samples), 0) FROM pggit_analytics.metric_inbox),"
        " (SELECT count(*) FROM pggit_analytics.metric_samples)"
    )
    rolled = world.sql(
        "SELECT COALESCE(sum(count), 0) FROM unnest(CAST(:every AS int[])) AS one (resolution)"
        " LEFT JOIN pggit_analytics.metric_rollups USING (resolution) GROUP BY resolution",
        every=list(RESOLUTIONS),
    )
    return waiting, raw, [row[0] for row in rolled]


@pytest.mark.parametrize(
    ("step", "is_rolled"),
    [("rolling-taken", False), ("rolling-written", False), ("rolling-committed", True)],
)
def test_a_roller_that_dies_has_done_all_of_a_batch_or_nothing(
    world: World, settings: Settings, tmp_path: Path, step: str, is_rolled: bool
) -> None:
    send(world)
    log = tmp_path / "dying.log"
    command = [sys.executable, "-m", "tests.faults.dying", step]
    with running_program(command, as_environment(settings), log) as process:
        assert process.wait(DIES_WITHIN_SECONDS) == KILLED, log.read_text()
    nothing, everything = (ALL, 0, [0] * 3), (0, ALL, [ALL] * 3)
    assert places(world) == (everything if is_rolled else nothing)

    roller = Roller(world.deps.unit_of_work, world.deps.clock)

    def is_there() -> bool:
        """PostgreSQL may take a moment to see that who held the locks is dead."""
        roller.roll()
        return places(world) == everything

    eventually(is_there, what="every sample once")
