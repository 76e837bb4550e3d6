"""Short words for redrives: deliveries that failed, redrives of them, and the agenda's looks."""

from collections.abc import Sequence
from typing import Any, TypeVar

from app.services import dead_letters, redrive
from app.services.agenda import Agenda
from app.services.back_pressure import BackPressure
from app.services.redrive import RedriveView
from tests.services.world import World, failed

QUEUE_LIMIT = 100_000
Answer = TypeVar("Answer")


def failures(world: World, webhook_id: int, count: int = 1) -> list[int]:
    """So many deliveries for a webhook that failed; their ids."""
    ids = world.owe(webhook_id, count)
    fail(world, ids)
    return ids


def fail(world: World, delivery_ids: Sequence[int]) -> None:
    """Attempt these, and let them fail for good."""
    wanted = set(delivery_ids)
    while wanted:
        claimed = world.claim()
        mine = [one for one in claimed if one.id in wanted]
        assert mine, "they are not due"
        world.complete(*[failed(one) for one in mine])
        world.release(*[one for one in claimed if one.id not in wanted])
        wanted -= {one.id for one in mine}


def start(world: World, **filters: Any) -> int:
    with world.deps.unit_of_work() as work:
        return redrive.start(work.session, work.now, filters, "tester").row.id


def preview(world: World, **filters: Any) -> redrive.Preview:
    with world.deps.reading() as session:
        return redrive.preview(session, filters)


def letters(world: World, **filters: Any) -> list[int]:
    """The deliveries that such a filter finds, the oldest first."""
    with world.deps.reading() as session:
        found = dead_letters.select_ended(filters)
        return sorted(row.id for row in session.scalars(found))


def seen(world: World, redrive_id: int) -> RedriveView:
    with world.deps.reading() as session:
        return redrive.get_redrive(session, redrive_id)


def cancel(world: World, redrive_id: int) -> RedriveView:
    with world.deps.unit_of_work() as work:
        return redrive.cancel_redrive(work.session, work.now, work.events, redrive_id)


def agenda(world: World, queue_limit: int = QUEUE_LIMIT) -> Agenda:
    schedule = world.deps.settings.retry_schedule_seconds
    pressure = BackPressure(world.deps.clock, queue_limit)
    return Agenda(world.deps.unit_of_work, world.deps.clock, pressure, schedule)


def look(world: World, queue_limit: int = QUEUE_LIMIT) -> int:
    """A second later, a process that has just been started looks: how many it requeued."""
    world.sql("UPDATE pggit.redrive_shares SET due_at = now() WHERE finished_at IS NULL")
    return agenda(world, queue_limit).run(lambda: True, lambda: False).get("redriven", 0)


def requeued(world: World) -> list[int]:
    """What is open and comes of a redrive, by id."""
    return [
        row[0]
        for row in world.sql(
            "SELECT id FROM pggit.alert_delivery_queue WHERE redrive_id IS NOT NULL"
            " AND status IN ('pending', 'retrying') ORDER BY id"
        )
    ]
