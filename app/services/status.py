"""How the whole is doing: the parts, each with its own status."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.adapters.database import Database
from app.adapters.quick_redis import QuickRedis
from app.domain.health import HealthStatus
from app.services.health_reports import count_by_status
from app.services.parts import (
    BROKER_POLICY,
    CACHE_POLICY,
    Part,
    PartStatus,
    measured,
    redis_part,
)
from app.services.presence import list_workers
from models.migrate import current, head


def is_migrated(session: Session) -> bool:
    """Whether the database is at this code's newest revision."""
    return current(session.connection()) == head()


def worst(parts: Mapping[str, Part]) -> PartStatus:
    """The whole is down only without the database; anything else degrades it."""
    if parts["database"].status is PartStatus.UNAVAILABLE:
        return PartStatus.UNAVAILABLE
    if any(part.status is not PartStatus.HEALTHY for part in parts.values()):
        return PartStatus.DEGRADED
    return PartStatus.HEALTHY


BEAT_SILENT_AFTER_SECONDS = 35
_LAST_HEARTBEAT = text(
    "SELECT extract(epoch FROM now() - max(started_at))::float8"
    " FROM pggit.scheduled_job_execution WHERE job_name = 'beat-heartbeat' AND slot IS NOT NULL"
)


# Whoever listens at the other end gives it some minutes, too.
CALLS_SILENT_AFTER_SECONDS = 300
# When a call last succeeded, when the first was tried, and why the last one failed, if it did.
_CALLS = text(
    """
    SELECT
        (SELECT extract(epoch FROM now() - finished_at)::float8
            FROM pggit.scheduled_job_execution
            WHERE job_name = 'dead-mans-switch' AND status = 'succeeded'
            ORDER BY id DESC LIMIT 1),
        (SELECT extract(epoch FROM now() - created_at)::float8
            FROM pggit.scheduled_job_execution
            WHERE job_name = 'dead-mans-switch' ORDER BY id LIMIT 1),
        (SELECT error FROM pggit.scheduled_job_execution
            WHERE job_name = 'dead-mans-switch' AND finished_at IS NOT NULL
            ORDER BY id DESC LIMIT 1)
    """
)


_QUEUE = text(
    "SELECT count(*), count(*) FILTER (WHERE lease_token IS NOT NULL),"
    " COALESCE(extract(epoch FROM now() - min(next_attempt_at) FILTER"
    " (WHERE next_attempt_at <= now())), 0)::float8"
    " FROM pggit.alert_delivery_queue WHERE status IN ('pending', 'retrying')"
)


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Undelivered, of those in flight, and for how long the oldest has been due, in seconds."""

    undelivered: int
    in_flight: int
    oldest_due_seconds: float


def queue_depth(session: Session) -> QueueDepth:
    return QueueDepth(*session.execute(_QUEUE).one())


def beat_silence_seconds(session: Session) -> float | None:
    """How long ago beat's last heartbeat came through; None when there was none."""
    age: float | None = session.scalar(_LAST_HEARTBEAT)
    return age


def look_at_parts(
    database: Database,
    broker: QuickRedis,
    cache: QuickRedis | None,
    lanes: Sequence[str],
    *,
    calls_out: bool,
) -> dict[str, Part]:
    """Every part of the system, looked at now. `calls_out`: whether there is a HEARTBEAT_URL."""
    looks: dict[str, Callable[[], Part]] = {
        "broker": lambda: redis_part(broker, BROKER_POLICY),
        "cache": lambda: _cache(cache),
    }
    try:
        with database.session() as session:
            looks = {
                "database": lambda: _database(session),
                "workers": lambda: _workers(session, lanes),
                "beat": lambda: _beat(session),
                "webhooks": lambda: _webhooks(session),
                "heartbeat": lambda: _heartbeat(session, calls_out),
                **looks,
            }
            return {name: measured(look) for name, look in looks.items()}
    except SQLAlchemyError:
        away = Part(PartStatus.UNAVAILABLE, detail="it does not answer")
        unknown = Part(PartStatus.UNAVAILABLE, detail="not known while the database is away")
        return {
            "database": away,
            "workers": unknown,
            "beat": unknown,
            "webhooks": unknown,
            "heartbeat": unknown,
            "broker": measured(lambda: redis_part(broker, BROKER_POLICY)),
            "cache": measured(lambda: _cache(cache)),
        }


def _database(session: Session) -> Part:
    if not is_migrated(session):
        return Part(PartStatus.UNAVAILABLE, detail="its migrations are not this release's")
    depth = queue_depth(session)
    return Part(
        PartStatus.HEALTHY,
        data={
            "undelivered": depth.undelivered,
            "in_flight": depth.in_flight,
            "oldest_due_seconds": round(depth.oldest_due_seconds, 1),
        },
    )


def _cache(server: QuickRedis | None) -> Part:
    if server is None:
        return Part(PartStatus.HEALTHY, detail="no second level is set")
    return redis_part(server, CACHE_POLICY)


def _alive(session: Session) -> Counter[str]:
    return Counter(row.lane for row, is_alive in list_workers(session) if is_alive)


def missing_lanes(session: Session, lanes: Sequence[str]) -> list[str]:
    """Those of the lanes in which no worker lives."""
    alive = _alive(session)
    return [lane for lane in lanes if not alive[lane]]


def _workers(session: Session, lanes: Sequence[str]) -> Part:
    alive = _alive(session)
    missing = [lane for lane in lanes if not alive[lane]]
    return Part(
        PartStatus.UNAVAILABLE if missing else PartStatus.HEALTHY,
        detail=f"no worker in lane {', '.join(missing)}" if missing else None,
        data=dict(alive),
    )


def _beat(session: Session) -> Part:
    age = beat_silence_seconds(session)
    if age is None or age > BEAT_SILENT_AFTER_SECONDS:
        return Part(PartStatus.UNAVAILABLE, detail="no heartbeat of beat came through lately")
    return Part(PartStatus.HEALTHY, data={"last_heartbeat_seconds": round(age, 1)})


def _heartbeat(session: Session, calls_out: bool) -> Part:
    """Of the dead man's switch: whether it was called lately."""
    if not calls_out:
        return Part(PartStatus.HEALTHY, detail="HEARTBEAT_URL is not set")
    succeeded, first, error = session.execute(_CALLS).one()
    if succeeded is None and (first is None or first < CALLS_SILENT_AFTER_SECONDS):
        return Part(PartStatus.HEALTHY, detail="not called yet")
    if succeeded is None or succeeded > CALLS_SILENT_AFTER_SECONDS:
        return Part(PartStatus.DEGRADED, detail=f"not called lately. {error or ''}".strip())
    return Part(PartStatus.HEALTHY, data={"last_call_seconds": round(succeeded, 1)})


def _webhooks(session: Session) -> Part:
    counts = count_by_status(session)
    sick = counts.get(HealthStatus.UNAVAILABLE, 0) + counts.get(HealthStatus.DEGRADED, 0)
    return Part(
        PartStatus.DEGRADED if sick else PartStatus.HEALTHY,
        detail=f"{sick} sick" if sick else None,
        data=counts,
    )
