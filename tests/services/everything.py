"""A database in which every query finds something, and what to ask each of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.domain.matchers import Matcher, Op
from app.domain.partitions import ROLLED, partitions_for
from app.domain.rollups import rollup_of
from app.services import accounts, baseline_schedules, jobs
from app.services.partitions import make_partitions
from tests.services.checking import check_now
from tests.services.world import World, delivered, failed, retrying

Asked = dict[str, list[dict[str, Any]]]

OPERATION = "checkout.latency"
SEVERITY = Matcher("severity", Op.EQUAL, "info")

_ANALYTICS = """
    INSERT INTO pggit_analytics.baseline_versions (operation, version, status, window_since,
        window_until, left_out, left_out_hours, back_test, verdict, computed_at, sample_count, p50,
        p75, p90, p95, p99, mean, stddev, mad)
    SELECT :operation, 1, 'active', now(), now(), '[]', 0, '{}', 'first', now(), 100,
        1, 1, 1, 1, 1, 1, 1, 1;
    INSERT INTO pggit_analytics.baseline_slots
        (version_id, slot, sample_count, p50, p75, p90, p95, p99, mean, stddev, mad)
    SELECT id, 7, 20, 1, 1, 1, 1, 1, 1, 1, 1 FROM pggit_analytics.baseline_versions;
    INSERT INTO pggit_analytics.anomalies (operation, started_at, severity, score, value, low, high,
        sentence, views, odd_at, last_at, alert_id)
    SELECT :operation, now(), 'info', 1.5, 9, 1, 2, 'odd', '{"level": 1.5}', now(), now(), :alert;
    WITH made AS (
        INSERT INTO pggit_analytics.incidents (cause_operation, summary, started_at)
        VALUES (:operation, 'all slow', now()) RETURNING id
    ) INSERT INTO pggit_analytics.incident_members
        (incident_id, operation, off_since, value, usual_low, usual_high)
    SELECT id, :operation, now(), 9, 1, 2 FROM made
"""


def fill(world: World) -> Asked:
    """What can be asked of each query, by its name."""
    hook, other = world.webhook(headers={"x-team": "storage"}), world.webhook(is_active=False)
    check_now(world, 204, 500)
    alert = world.alert(title="one", source="probe", labels={"operation": OPERATION})
    world.alert(title="two", severity="info", message="Some text")
    ends = (delivered, failed, retrying)
    for claimed, end in zip(world.claim(), ends, strict=False):
        world.complete(end(claimed))
    world.alert(title="three", webhook_ids=[hook])
    delivery = world.one("SELECT min(id) FROM pggit.deliveries")
    rule, silence = world.rule(hook), world.silence(SEVERITY)
    inhibition = world.inhibition(SEVERITY, SEVERITY, "host")
    _measure(world)
    for statement in _ANALYTICS.split(";"):
        world.sql(statement, operation=OPERATION, alert=alert)
    with world.deps.unit_of_work() as work:
        schedule = baseline_schedules.create_schedule(
            work.session, work.now, {"operation": OPERATION, **baseline_schedules.DEFAULTS}
        )
        jobs.begin_tick(work.session, work.now, "health-check", 1, 1, "tester")
        user = accounts.create_user(
            work.session,
            {
                "username": "reader",
                "password_hash": "of nobody",
                "role": "viewer",
                "is_active": True,
            },
        )
    incident = world.one("SELECT id FROM pggit_analytics.incidents")
    page: dict[str, Any] = {"limit": 20, "cursor": None}
    now = datetime.now(UTC)
    day = timedelta(days=1)
    return {
        "alerts.list": [
            page,
            page | {"cursor": alert + 1},
            page | {"status": "pending", "severity": "critical", "source": "probe"},
            page | {"q": "text", "since": now - day, "until": now + day},
        ],
        "alerts.get": [{"id": alert}],
        "alerts.deliveries": [page | {"alert_id": alert}],
        "webhooks.deliveries": [page | {"webhook_id": hook}],
        "deliveries.list": [page]
        + [page | {"status": one} for one in ("pending", "delivered", "failed")],
        "deliveries.get": [{"id": delivery}],
        "webhooks.list": [page, page | {"is_active": True, "health_status": "healthy"}],
        "webhooks.get": [{"id": hook}, {"id": other}],
        "webhooks.health": [{"id": hook}],
        "webhooks.health-history": [
            page | {"id": hook},
            page | {"id": hook, "since": now - day, "until": now + day},
        ],
        "webhooks.health-timeline": [{"id": hook, "step": 300}],
        "routing-rules.list": [page],
        "routing-rules.get": [{"id": rule}],
        "inhibition-rules.list": [page],
        "inhibition-rules.get": [{"id": inhibition}],
        "silences.list": [page, page | {"kind": "silence", "status": "active"}],
        "silences.get": [{"id": silence}],
        "metrics.query": [
            {"operation": OPERATION, "labels": {"host": "web-1"}, "agg": ["avg", "p95"]}
        ],
        "metrics.operations": [page],
        "baselines.list": [page, page | {"operation": OPERATION}],
        "baselines.versions": [page, page | {"operation": OPERATION, "status": "active"}],
        "baselines.schedules": [page],
        "baselines.schedule": [{"id": schedule.id}],
        "anomalies.list": [
            page,
            page | {"operation": OPERATION, "severity": "info", "since": now - day, "until": now},
        ],
        "incidents.list": [page, page | {"status": "open", "operation": OPERATION}],
        "incidents.get": [{"id": incident}],
        "jobs.list": [page],
        "jobs.executions": [page | {"name": "health-check"}],
        "dashboard.queue": [{}],
        "dashboard.deliveries": [{}],
        "dashboard.webhooks": [{"limit": 20}],
        "dashboard.alerts": [{"limit": 20}],
        "tokens.principal": [{"user_id": user.id, "token_id": "a", "session_id": "b"}],
    }


def _measure(world: World) -> None:
    """A sample of now of an operation of somebody's, and of each outcome of deliveries."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    rollup = rollup_of([5.0])
    series = [
        (OPERATION, '{"host": "web-1"}'),
        ("tocsin.delivery.latency_ms", '{"outcome": "delivered"}'),
        ("tocsin.delivery.latency_ms", '{"outcome": "failed"}'),
    ]
    with world.deps.unit_of_work() as work:
        make_partitions(work.session, partitions_for(ROLLED[60], [minute.timestamp()]))
        for operation, labels in series:
            work.session.execute(
                text(
                    "WITH made AS (INSERT INTO pggit_analytics.metric_series"
                    " (operation, labels, unit, last_sample_at) VALUES (:operation,"
                    " CAST(:labels AS jsonb), 'ms', :at) RETURNING id)"
                    " INSERT INTO pggit_analytics.metric_rollups"
                    " (resolution, series_id, at, count, sum, m2, min, max, sketch)"
                    " SELECT 60, id, :at, 1, 5, 0, 5, 5, :sketch FROM made"
                ),
                {"operation": operation, "labels": labels, "at": minute, "sketch": rollup.sketch},
            )
