"""The dead man's switch: it calls while all is well, and for nothing in the world otherwise."""

import pytest

import beat_schedule
from app.errors import Unavailable
from app.services import dead_mans_switch, status
from app.services.parts import Part, PartStatus
from tests.harness.receiver import Answer, Receiver
from tests.services.world import World

SECRET = "/ping/a-secret-path"


@pytest.fixture
def well(world: World) -> World:
    """A system whose beat and workers have just shown that they live."""
    for lane in beat_schedule.LANES:
        world.sql("INSERT INTO pggit.workers (name, lane, pid) VALUES (:lane, :lane, 1)", lane=lane)
    ran(world, "beat-heartbeat", "succeeded")
    return world


def ran(world: World, job: str, how: str, minutes_ago: int = 0) -> None:
    world.sql(
        "INSERT INTO pggit.scheduled_job_execution (job_name, slot, trigger, status,"
        " scheduled_for, started_at, finished_at, created_at, error)"
        " SELECT :job, (SELECT count(*) FROM pggit.scheduled_job_execution), 'schedule', :how,"
        " t, t, t, t, CAST(:error AS text)"
        " FROM (SELECT now() - make_interval(mins => CAST(:ago AS int)) AS t) AS at",
        job=job,
        how=how,
        error="Not called: why." if how == "failed" else None,
        ago=minutes_ago,
    )


def call(world: World, url: str | None) -> dict[str, object]:
    deps = world.deps
    return dead_mans_switch.call(deps.reading, deps.guard, url, beat_schedule.LANES)


def test_while_all_is_well_it_calls(well: World, receiver: Receiver) -> None:
    result = call(well, receiver.url(SECRET))
    assert (result["called"], result["http_status"]) == (True, 204)
    assert receiver.probes(SECRET) == 1


def test_without_a_url_there_is_nobody_to_call(well: World) -> None:
    assert call(well, None) == {"called": False, "reason": "HEARTBEAT_URL is not set"}


ILLS = {
    "no worker in lane health": "DELETE FROM pggit.workers WHERE lane = 'health'",
    "no worker in lane deliver": (
        "UPDATE pggit.workers SET seen_at = now() - interval '1 minute' WHERE lane = 'deliver'"
    ),
    "no heartbeat of beat": (
        "UPDATE pggit.scheduled_job_execution SET started_at = now() - interval '1 minute'"
    ),
    "delivery is paused": (
        "INSERT INTO pggit_traffic.delivery_pause (id, paused_by) VALUES (1, 'ada')"
    ),
}


@pytest.mark.parametrize(("said", "ill"), ILLS.items(), ids=ILLS)
def test_when_a_part_is_ill_it_does_not(
    well: World, receiver: Receiver, said: str, ill: str
) -> None:
    well.sql(ill)
    with pytest.raises(Unavailable, match=said):
        call(well, receiver.url(SECRET))
    assert receiver.probes(SECRET) == 0


def test_not_while_what_is_free_to_go_waits_and_no_worker_takes_it(
    well: World, receiver: Receiver
) -> None:
    well.owe(well.webhook())
    well.later(minutes=2)
    with pytest.raises(Unavailable, match="deliveries wait"):
        call(well, receiver.url(SECRET))
    # A backlog that is being worked off is no illness.
    well.sql("UPDATE pggit.workers SET last_claim_at = now() WHERE lane = 'deliver'")
    assert call(well, receiver.url(SECRET))["called"]


HELD = {
    "a closed gate": (
        "UPDATE pggit_traffic.webhook_traffic SET gate = 'closed', reopens_at = now()"
    ),
    "a red probe": "UPDATE pggit.alert_delivery_queue SET probe_holds_until = now()",
    "a webhook that is inactive": "UPDATE pggit.webhooks SET is_active = false",
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_one_receiver_that_is_down_is_not_tocsin_being_down(
    well: World, receiver: Receiver, hold: str
) -> None:
    well.owe(well.webhook())
    well.later(minutes=2)
    well.sql(hold)
    assert call(well, receiver.url(SECRET))["called"]


def test_a_call_that_nobody_took_is_a_failure_and_tells_no_secret(
    well: World, receiver: Receiver
) -> None:
    receiver.plan(SECRET, Answer(404))
    with pytest.raises(Unavailable, match="answered 404") as refused:
        call(well, receiver.url(SECRET))
    assert SECRET not in str(refused.value)
    with pytest.raises(Unavailable, match=r"not answered \(refused\)") as guarded:
        call(well, f"http://10.0.0.1{SECRET}")
    assert SECRET not in str(guarded.value)


def seen(world: World, *, calls_out: bool = True) -> Part:
    deps = world.deps
    parts = status.look_at_parts(
        deps.database, deps.broker, deps.cache_redis, beat_schedule.LANES, calls_out=calls_out
    )
    return parts["heartbeat"]


def test_deep_health_shows_it(well: World) -> None:
    assert seen(well, calls_out=False).detail == "HEARTBEAT_URL is not set"
    assert seen(well).detail == "not called yet"
    ran(well, dead_mans_switch.JOB, "failed", minutes_ago=1)
    assert seen(well).status is PartStatus.HEALTHY
    ran(well, dead_mans_switch.JOB, "succeeded")
    assert seen(well).status is PartStatus.HEALTHY
    assert seen(well).data["last_call_seconds"] < 60


def test_deep_health_is_degraded_when_it_was_not_called_for_long(well: World) -> None:
    ran(well, dead_mans_switch.JOB, "succeeded", minutes_ago=10)
    ran(well, dead_mans_switch.JOB, "failed", minutes_ago=1)
    part = seen(well)
    assert part.status is PartStatus.DEGRADED
    assert part.detail == "not called lately. Not called: why."
