"""A webhook's health over time: percentiles, uptime, history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.domain.check_rollups import (
    CheckRollup,
    bucket_of,
    latency_quantiles,
    merge,
)
from app.domain.rollups import RESOLUTIONS
from app.errors import Invalid
from app.services.health_rollups import KEPT, check_rollups
from app.services.paging import Page, PageRequest, paginate
from app.services.webhooks import get_row
from models import WebhookHealth, WebhookHealthCheck

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WINDOWS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
RANKS = (0.5, 0.95, 0.99)
MAX_POINTS = 2000


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A webhook's health, with latencies in ms over 24 h and uptimes as parts of one."""

    row: WebhookHealth
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    uptime_24h: float | None
    uptime_7d: float | None
    uptime_30d: float | None


def health_report(session: Session, webhook_id: int) -> HealthReport:
    """Uptimes are to the hour, and without what was in maintenance."""
    get_row(session, webhook_id)
    row = session.get_one(WebhookHealth, webhook_id)
    now = _now(session)
    day = check_rollups(session, webhook_id, 3600, now - DAY, now)
    latencies = latency_quantiles(merge(rollup for _, rollup in day), RANKS) or (None, None, None)
    return HealthReport(row, *latencies, *uptimes(session, webhook_id, now).values())


def uptimes(session: Session, webhook_id: int, now: datetime) -> dict[str, float | None]:
    """The part of the checks that passed, of those that count, by window; None without any."""
    longest = max(WINDOWS.values())
    hours = check_rollups(session, webhook_id, 3600, now - longest, now, with_sketches=False)
    return {
        name: merge(rollup for at, rollup in hours if at + HOUR > now - window).uptime
        for name, window in WINDOWS.items()
    }


@dataclass(frozen=True, slots=True)
class Badge:
    name: str
    health_status: str
    is_active: bool
    uptimes: Mapping[str, float | None]


def badge(session: Session, webhook_id: int) -> Badge:
    webhook = get_row(session, webhook_id)
    row = session.get_one(WebhookHealth, webhook_id)
    shares = uptimes(session, webhook_id, _now(session))
    return Badge(webhook.name, row.health_status, webhook.is_active, shares)


def _now(session: Session) -> datetime:
    return session.execute(select(func.now())).scalar_one()


@dataclass(frozen=True, slots=True)
class Timeline:
    """The time from `since` to `until` in steps of so many seconds, each with its checks; a step
    without any is a gap: None."""

    step: int
    since: datetime
    until: datetime
    points: Sequence[tuple[datetime, CheckRollup | None]]


def health_timeline(
    session: Session, webhook_id: int, filters: Mapping[str, Any], step: int
) -> Timeline:
    """`filters`: since (a day before the end), until (now). Raises Invalid for more steps than
    anybody can look at, and for steps finer than what is kept of that time.
    """
    get_row(session, webhook_id)
    now = _now(session)
    length = timedelta(seconds=step)
    until = filters.get("until", now)
    wanted = filters.get("since", until - DAY)
    since = bucket_of(wanted, step)
    resolution = max(one for one in RESOLUTIONS if step % one == 0)
    if until <= wanted or (until - since) / length > MAX_POINTS:
        problem = f"From since to until there must be 1 to {MAX_POINTS} steps."
        raise Invalid({"step": [problem]})
    if since < now - KEPT[resolution] - length:
        problem = f"Of so long ago nothing as fine as {resolution} s is kept."
        raise Invalid({"step": [problem]})
    found = {
        at: merge(rollup for _, rollup in rollups)
        for at, rollups in groupby(
            check_rollups(session, webhook_id, resolution, since, until),
            key=lambda one: bucket_of(one[0], step),
        )
    }
    count = -((since - until) // length)
    times = (since + number * length for number in range(count))
    return Timeline(step, since, until, [(at, found.get(at)) for at in times])


def health_history(
    session: Session, webhook_id: int, filters: Mapping[str, Any], request: PageRequest
) -> Page[WebhookHealthCheck]:
    """`filters`: since, until."""
    get_row(session, webhook_id)
    statement = select(WebhookHealthCheck).where(WebhookHealthCheck.webhook_id == webhook_id)
    if "since" in filters:
        statement = statement.where(WebhookHealthCheck.checked_at >= filters["since"])
    if "until" in filters:
        statement = statement.where(WebhookHealthCheck.checked_at < filters["until"])
    return paginate(session, statement, WebhookHealthCheck.id, request)


def latest_check(session: Session, webhook_id: int) -> WebhookHealthCheck:
    """The last check that was recorded; there must be one."""
    return session.scalars(
        select(WebhookHealthCheck)
        .where(WebhookHealthCheck.webhook_id == webhook_id)
        .order_by(WebhookHealthCheck.id.desc())
        .limit(1)
    ).one()


def count_by_status(session: Session) -> dict[str, int]:
    """Active webhooks by health status."""
    rows = session.execute(
        select(WebhookHealth.health_status, func.count())
        .where(
            text(
                "EXISTS (SELECT FROM pggit.webhooks w WHERE w.id = webhook_id"
                " AND w.is_active AND w.deleted_at IS NULL)"
            )
        )
        .group_by(WebhookHealth.health_status)
    )
    return dict(rows.all())
