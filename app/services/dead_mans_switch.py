"""The dead man's switch: while all is well, Tocsin calls a URL of yours each minute.

Whoever listens there raises an alarm when the calls stop, whatever it is that has stopped: this
machine, its network, or a part of Tocsin. So one call too many is worse than one too few.

All is well when the database answers and is of this release, beat's ticks come through, each lane
has a worker, delivery is not paused, and nothing that is free to go has waited for a minute in
which no worker took anything. What a gate or a pace holds is not free to go: that is its business.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.guard import Guard
from app.adapters.http import fetch
from app.adapters.http_messages import Request, Response
from app.errors import Unavailable
from app.services.messages import USER_AGENT
from app.services.status import (
    BEAT_SILENT_AFTER_SECONDS,
    beat_silence_seconds,
    is_migrated,
    missing_lanes,
)

JOB = "dead-mans-switch"
TIMEOUT_SECONDS = 10.0
STUCK_AFTER_SECONDS = 60

_IS_PAUSED = text("SELECT EXISTS (SELECT FROM pggit_traffic.delivery_pause)")
# In the order of what is due, so that the first that is free to go is found at once.
_WAITS = text(
    """
    SELECT q.id FROM pggit.alert_delivery_queue q
    JOIN pggit.webhooks w ON w.id = q.webhook_id AND w.is_active AND w.deleted_at IS NULL
    JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id AND t.gate = 'open'
    WHERE q.status IN ('pending', 'retrying') AND q.probe_holds_until IS NULL
        AND q.next_attempt_at <= now() - make_interval(secs => :stuck)
    ORDER BY q.next_attempt_at LIMIT 1
    """
)
_CLAIMS_LATELY = text(
    "SELECT COALESCE(max(last_claim_at) > now() - make_interval(secs => :stuck), false)"
    " FROM pggit.workers WHERE lane = 'deliver'"
)


def what_is_wrong(session: Session, lanes: Sequence[str]) -> list[str]:
    """Why not all is well, in words for people; nothing when it is."""
    if not is_migrated(session):
        return ["the database's migrations are not this release's"]
    wrong = []
    age = beat_silence_seconds(session)
    if age is None or age > BEAT_SILENT_AFTER_SECONDS:
        wrong.append("no heartbeat of beat came through lately")
    missing = missing_lanes(session, lanes)
    if missing:
        wrong.append(f"no worker in lane {', '.join(missing)}")
    if session.scalar(_IS_PAUSED):
        wrong.append("delivery is paused")
    elif _is_stuck(session):
        wrong.append(f"deliveries wait for {STUCK_AFTER_SECONDS} s, and no worker takes any")
    return wrong


def _is_stuck(session: Session) -> bool:
    stuck = {"stuck": STUCK_AFTER_SECONDS}
    waits = session.scalar(_WAITS, stuck) is not None
    return waits and not session.scalar(_CLAIMS_LATELY, stuck)


def call(
    reading: Callable[[], AbstractContextManager[Session]],
    guard: Guard,
    url: str | None,
    lanes: Sequence[str],
) -> dict[str, Any]:
    """Call the URL if all is well: `called`, and what was answered.

    Raises Unavailable when it was not called, or not answered with 2xx. The URL is a secret of its
    owner's, so it is in none of the texts.
    """
    if url is None:
        return {"called": False, "reason": "HEARTBEAT_URL is not set"}
    with reading() as session:
        wrong = what_is_wrong(session, lanes)
    if wrong:
        raise Unavailable(f"Not called: {'; '.join(wrong)}.")
    response = fetch(
        guard, Request("GET", url, (("user-agent", USER_AGENT),), None, TIMEOUT_SECONDS)
    )
    if response.failure is not None or not 200 <= (response.status or 0) < 300:
        raise Unavailable(f"Called, and {_in_words(response)}.")
    return {
        "called": True,
        "http_status": response.status,
        "latency_ms": round(response.latency_ms, 1),
    }


def _in_words(response: Response) -> str:
    if response.failure is not None:
        return f"not answered ({response.failure})"
    return f"answered {response.status}"
