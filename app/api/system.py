"""The system's own state."""

import time
from typing import Any

import beat_schedule
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.operations import SystemInfoSchema
from app.services.presence import list_workers
from app.services.status import queue_depth
from app.version import VERSION

blueprint = Blueprint("system", __name__, url_prefix="/api/v1/system", description="How busy it is")

_started = time.monotonic()


@blueprint.get("/info")
@blueprint.response(200, SystemInfoSchema)
def info() -> dict[str, Any]:
    """Version, uptime, queues, pool and workers."""
    with deps().reading() as session:
        depth = queue_depth(session)
        workers = list_workers(session)
    return {
        "version": VERSION,
        "uptime_seconds": time.monotonic() - _started,
        "queue": depth,
        "broker_queues": deps().broker.queue_depths(beat_schedule.LANES),
        "database_pool": deps().database.pool_use(),
        "workers": [
            {
                "name": row.name,
                "lane": row.lane,
                "pid": row.pid,
                "is_alive": is_alive,
                "started_at": row.started_at,
                "seen_at": row.seen_at,
                "last_claim_at": row.last_claim_at,
            }
            for row, is_alive in workers
        ],
    }
