"""Checks without a network: claimed, answered as a test says, and recorded."""

from datetime import datetime
from typing import Any

from app.adapters.http_messages import Failure, Response, Timings
from app.services import health_checks, health_records
from app.services.check_plans import Plans
from app.services.health_checks import Check, CheckResult
from tests.services.world import World

ONCE = {"failure_threshold": 1, "recovery_threshold": 1}


def claim(world: World, limit: int = 100) -> list[Check]:
    with world.deps.unit_of_work() as work:
        return health_checks.claim_due(work.session, Plans(world.deps.cipher, 5), limit)


def response(
    status: int = 204,
    latency_ms: float = 1.0,
    certificate: datetime | None = None,
    failure: Failure | None = None,
) -> Response:
    timings = Timings(0.0, 0.0, 0.0, 0.0, latency_ms)
    given = None if failure else status
    return Response(given, latency_ms, failure, failure, None, b"", timings, certificate)


def answer(check: Check, *statuses: int, **fields: Any) -> CheckResult:
    """What came of a check; with two statuses the second is the answer to the confirmation."""
    first, *second = [response(status, **fields) for status in statuses or (204,)]
    result = health_checks.judge_response(check, first)
    if not result.wants_confirmation:
        return result
    return health_checks.confirm(result, second[0] if second else first)


def record(world: World, *results: CheckResult) -> set[int]:
    with world.deps.unit_of_work() as work:
        return set(health_records.record(work.session, work.now, work.events, results, [0]))


def make_due(world: World) -> None:
    world.sql("UPDATE pggit.webhook_health_metrics SET next_check_at = now()")


def check_now(world: World, *statuses: int) -> None:
    """Check every webhook, as often as there are answers, whether or not it is due."""
    for status in statuses:
        make_due(world)
        record(world, *[answer(check, status) for check in claim(world)])


def check(world: World, webhook_id: int, *statuses: int, **fields: Any) -> None:
    """Check this webhook alone, once."""
    with world.deps.unit_of_work() as work:
        one = health_checks.claim_one(work.session, Plans(world.deps.cipher, 5), webhook_id)
    record(world, answer(one, *statuses, **fields))


def status(world: World, webhook_id: int) -> str:
    found: str = world.one(
        "SELECT health_status FROM pggit.webhook_health_metrics WHERE webhook_id = :id",
        id=webhook_id,
    )
    return found


def decisions(world: World, webhook_id: int) -> list[tuple[str, str | None]]:
    """Of its checks, the oldest first: the status after each, and what was decided."""
    return world.sql(
        "SELECT health_status, decision FROM pggit.webhook_health_checks"
        " WHERE webhook_id = :id ORDER BY id",
        id=webhook_id,
    )


def alerts(world: World) -> list[tuple[str, str]]:
    """What each alert is about, and its status, the oldest first."""
    return world.sql("SELECT dedup_key, status FROM pggit.alerts ORDER BY id")
