"""The whole at a glance: what a dashboard shows."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.ranges import resolve
from app.errors import NotFound
from app.services import alert_lists, metrics
from app.services.meter import DELIVERY_LATENCY
from app.services.paging import PageRequest

HOUR = timedelta(hours=1)
BARS = 24
OUTCOMES = ("delivered", "failed")
OPEN = ("pending", "acknowledged")
MINUTE_AGGREGATES = ("count", "p50", "p95", "p99")

_WEBHOOKS = text(
    """
    SELECT w.id, w.name, w.is_active, h.health_status, h.changed_at, h.last_check_at
    FROM pggit.webhooks w JOIN pggit.webhook_health_metrics h ON h.webhook_id = w.id
    WHERE w.deleted_at IS NULL ORDER BY w.id DESC LIMIT :limit
    """
)
# Hours that are not folded yet are still in minutes; the finer is taken where the coarser is not.
_BARS = text(
    """
    SELECT webhook_id, date_trunc('hour', at, 'UTC') AS hour, sum(checks) - sum(in_maintenance),
        sum(failed)
    FROM pggit.webhook_health_rollups r
    WHERE webhook_id = ANY(:ids) AND at >= :since AND (
        resolution = 3600 OR resolution = 60 AND NOT EXISTS (
            SELECT FROM pggit.webhook_health_rollups coarse
            WHERE coarse.webhook_id = r.webhook_id AND coarse.resolution = 3600
                AND coarse.at = date_trunc('hour', r.at, 'UTC')
        )
    )
    GROUP BY webhook_id, hour
    """
)


def webhook_grid(session: Session, now: datetime, limit: int) -> list[dict[str, Any]]:
    """The newest webhooks, each with 24 `bars`: the part of an hour's checks that passed, the
    oldest first; None where nothing counts. `uptime_24h` is that of `health_reports`.
    """
    rows = session.execute(_WEBHOOKS, {"limit": limit}).mappings().all()
    hours = _hours(session, now, [row["id"] for row in rows])
    return [dict(row) | _shown(hours[row["id"]]) for row in rows]


# Checks of an hour that count, and of these the failed ones.
Hour = tuple[int, int]


def _hours(session: Session, now: datetime, ids: Sequence[int]) -> dict[int, list[Hour]]:
    """From the hour of 24 hours ago to the one that goes on."""
    first = (now - BARS * HOUR).replace(minute=0, second=0, microsecond=0)
    hours: dict[int, list[Hour]] = defaultdict(lambda: [(0, 0)] * (BARS + 1))
    for webhook_id, hour, counted, failed in session.execute(
        _BARS, {"ids": list(ids), "since": first}
    ):
        hours[webhook_id][(hour - first) // HOUR] = (int(counted), int(failed))
    return hours


def _shown(hours: Sequence[Hour]) -> dict[str, Any]:
    counted = sum(checks for checks, _failed in hours)
    failed = sum(failed for _checks, failed in hours)
    return {
        "uptime_24h": _passed(counted, failed),
        "bars": [_passed(*hour) for hour in hours[1:]],
    }


def _passed(counted: int, failed: int) -> float | None:
    return 1 - failed / counted if counted else None


def deliveries_by_minute(session: Session, now: datetime) -> dict[str, Any]:
    """Of the last hour, attempts by outcome and their latency in ms, minute by minute."""
    range_ = resolve(now - HOUR, now, 60, now)
    by_outcome = {}
    for outcome in OUTCOMES:
        try:
            series = metrics.series_of(session, DELIVERY_LATENCY, {"outcome": outcome})
        except NotFound:
            series = []
        ids = [one for one, _unit in series]
        by_outcome[outcome] = list(metrics.points_of(session, ids, range_, MINUTE_AGGREGATES))
    return {"since": range_.first, "until": now, "step": 60, "outcomes": by_outcome}


def open_alerts(session: Session, limit: int) -> dict[str, Any]:
    """The newest that nobody has resolved, and how many there are by status."""
    pages = {
        status: alert_lists.list_alerts(session, {"status": status}, PageRequest(limit))
        for status in OPEN
    }
    found = [alert for page in pages.values() for alert in page.items]
    newest = sorted(found, key=lambda alert: int(alert["id"]), reverse=True)[:limit]
    return {
        "items": newest,
        "totals": {
            status: {"count": page.total, "is_exact": page.total_is_exact}
            for status, page in pages.items()
        },
    }
