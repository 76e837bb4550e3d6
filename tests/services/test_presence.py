"""Workers that say of themselves that they live."""

from datetime import datetime

import pytest

from app.services import presence
from tests.services.world import World, at_once


def here(world: World, name: str, pid: int = 1, last_claim_at: datetime | None = None) -> None:
    with world.deps.unit_of_work() as work:
        presence.i_am_here(work.session, work.now, name, "deliver", pid, last_claim_at)


def alive(world: World) -> dict[str, bool]:
    with world.deps.reading() as session:
        return {row.name: is_alive for row, is_alive in presence.list_workers(session)}


def test_who_says_so_lives(world: World) -> None:
    here(world, "deliver-1")
    here(world, "deliver-2")
    assert alive(world) == {"deliver-1": True, "deliver-2": True}


@pytest.mark.parametrize(
    ("silent_for", "expected"),
    [
        ("14 seconds", {"it": True}),
        ("16 seconds", {"it": False}),
        ("23 hours", {"it": False}),
        ("25 hours", {}),
    ],
)
def test_who_is_silent_is_gone_and_then_forgotten(
    world: World, silent_for: str, expected: dict[str, bool]
) -> None:
    here(world, "it")
    world.sql("UPDATE pggit.workers SET seen_at = now() - CAST(:age AS interval)", age=silent_for)
    assert alive(world) == expected


def test_one_silence_missed_is_no_death() -> None:
    assert presence.SEEN_EVERY_SECONDS * 2 < presence.GONE_AFTER_SECONDS


def test_who_says_goodbye_is_gone_at_once(world: World) -> None:
    here(world, "it")
    with world.deps.unit_of_work() as work:
        presence.i_am_gone(work.session, "it")
        presence.i_am_gone(work.session, "who was never here")
    assert alive(world) == {}


def test_a_successor_has_its_name_and_a_start_of_its_own(world: World) -> None:
    here(world, "it", pid=1)
    world.sql("UPDATE pggit.workers SET started_at = now() - interval '1 hour'")
    here(world, "it", pid=1)
    assert world.one("SELECT started_at < now() - interval '59 minutes' FROM pggit.workers")
    here(world, "it", pid=2)
    assert world.one("SELECT pid, started_at > now() - interval '1 minute' FROM pggit.workers") == (
        2,
        True,
    )


def test_many_who_say_so_at_once_are_all_there(world: World) -> None:
    at_once(*[lambda number=number: here(world, f"w-{number % 3}") for number in range(9)])
    assert alive(world) == {"w-0": True, "w-1": True, "w-2": True}
