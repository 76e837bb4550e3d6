"""Traffic: what deliveries and checks show of a webhook, and what follows for its gate and pace.

Outcomes are counted in the process that saw them; only what changes is written, one row of
history for each change. All such changes, and the claims, go one after another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.domain.retry import Reason
from app.domain.traffic import (
    GENTLE_PACE_PER_SECOND,
    PACE_STEP_SECONDS,
    Evidence,
    Gate,
    Standing,
    TrafficReason,
    Window,
    evidence_of,
    faster,
    rest_seconds,
    slower,
)
from app.services.claims import CLAIM_LOCK
from models import TrafficChange, Webhook, WebhookTraffic

# Webhooks whose outcomes are kept in mind; the ones heard of longest ago are forgotten.
WATCHED = 10_000
# A success while the checks say "unavailable" is written down at most this often.
NOTED_EVERY_SECONDS = 5.0


@dataclass
class _Watched:
    """One webhook as this process sees it; times are of the monotonic clock."""

    window: Window = field(default_factory=Window)
    since: float = 0.0
    told: int = 0
    overloaded: Reason | None = None
    paced: bool = False
    paced_at: float = -PACE_STEP_SECONDS
    noted_at: float = -NOTED_EVERY_SECONDS
    trial: bool | None = None  # how a trial went
    delivered: bool = False
    failing: bool | None = None  # what `failing_since` is to say, where it says otherwise


class TrafficWatch:
    """For one thread: hears of every outcome, and writes what changes."""

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._touched: set[int] = set()

    def hear(self, webhook_id: int, standing: Standing, cause: Reason, at: float) -> None:
        """One outcome of an attempt that was recorded. `at` is monotonic, in seconds."""
        one = self._watched.pop(webhook_id, None) or _Watched(since=at)
        # Put back at the end, so that the first is the one heard of longest ago.
        self._watched[webhook_id] = one
        if len(self._watched) > WATCHED:
            self._watched.pop(next(iter(self._watched)))
        self._touched.add(webhook_id)
        evidence = evidence_of(cause)
        # Asked first, as it is nearly always so: to ask flags takes longer than the rest of this.
        is_normal = standing is Standing.NORMAL
        if not is_normal and Standing.TRIAL in standing:
            # Any answer to it, a refusal of this message too, is a sign of life.
            one.trial = evidence in {Evidence.GOOD, Evidence.NONE}
            return
        one.window = one.window.after(evidence, at)
        one.told += 1
        one.paced = not is_normal and Standing.PACED in standing
        if evidence is Evidence.GOOD:
            if is_normal:
                return
            if Standing.UNAVAILABLE in standing and at >= one.noted_at + NOTED_EVERY_SECONDS:
                one.delivered, one.noted_at = True, at
            if Standing.FAILING in standing:
                one.failing = False
        elif evidence is not Evidence.NONE:
            if evidence is Evidence.OVERLOADED:
                one.overloaded = cause
            if Standing.FAILING not in standing and one.window.succeeded == 0:
                one.failing = True

    def write_changes(self, session: Session, at: float) -> int:
        """Write what changes by all that was heard since; how many webhooks changed."""
        changes = {
            webhook_id: change
            for webhook_id in sorted(self._touched)
            if webhook_id in self._watched and (change := self._change(webhook_id, at))
        }
        self._touched.clear()
        if not changes:
            return 0
        lock_traffic(session)
        for webhook_id, change in changes.items():
            row = session.get(WebhookTraffic, webhook_id, with_for_update=True)
            if row is not None:
                _apply(session, row, change)
        session.flush()
        return len(changes)

    def _change(self, webhook_id: int, at: float) -> Mapping[str, Any]:
        one = self._watched[webhook_id]
        change: dict[str, Any] = {}
        if one.trial is not None:
            change["trial"], one.trial = one.trial, None
            one.window = Window()
        elif one.window.closes_gate:
            change["close"] = f"{one.window.failed} of {one.window.succeeded + one.window.failed}"
            one.window = Window()
        if one.delivered:
            change["delivered"], one.delivered = True, False
        if one.failing is not None:
            change["failing"], one.failing = one.failing, None
        # A burst of signs is one sign: what is in flight was sent at the old pace.
        if one.overloaded is not None or one.paced:
            elapsed = at - max(one.since, one.paced_at)
            if one.overloaded is not None and at >= one.paced_at + PACE_STEP_SECONDS:
                change["slower"] = (one.overloaded, one.told / max(elapsed, PACE_STEP_SECONDS))
                one.since, one.told, one.paced_at, one.overloaded = at, 0, at, None
            elif one.overloaded is None and elapsed >= PACE_STEP_SECONDS:
                change["faster"] = True
                one.since, one.told, one.paced_at = at, 0, at
        elif at - one.since >= PACE_STEP_SECONDS:
            one.since, one.told = at, 0
        return change


def _apply(session: Session, row: WebhookTraffic, change: Mapping[str, Any]) -> None:
    if "delivered" in change:
        row.delivered_at = func.statement_timestamp()
    if "failing" in change:
        row.failing_since = func.statement_timestamp() if change["failing"] else None
    is_closed = row.gate == Gate.CLOSED
    if change.get("trial") is True and is_closed:
        _open(session, row, TrafficReason.TRIAL_SUCCEEDED)
    elif change.get("trial") is False and is_closed:
        _close(session, row, TrafficReason.TRIAL_FAILED, None)
    elif "close" in change and not is_closed:
        _close(session, row, TrafficReason.HALF_FAILED, f"{change['close']} failed")
    if row.gate == Gate.CLOSED:
        return
    if "slower" in change:
        cause, seen_per_second = change["slower"]
        reason = (
            TrafficReason.TIMED_OUT
            if cause is Reason.TIMED_OUT
            else TrafficReason.ASKED_TO_SLOW_DOWN
        )
        _pace(session, row, slower(row.pace_per_second, seen_per_second), reason)
    elif "faster" in change and row.pace_per_second is not None:
        limit = session.scalar(
            select(Webhook.rate_limit_per_second).where(Webhook.id == row.webhook_id)
        )
        _pace(session, row, faster(row.pace_per_second, limit), TrafficReason.STEADY_SUCCESS)


def _close(
    session: Session, row: WebhookTraffic, reason: TrafficReason, detail: str | None
) -> None:
    row.closings += 1
    rest = rest_seconds(row.closings)
    row.gate = Gate.CLOSED
    row.reopens_at = func.statement_timestamp() + timedelta(seconds=rest)
    _note(session, row, reason, f"{detail or 'the trial failed'}; it rests for {rest:g} s")


def _open(
    session: Session, row: WebhookTraffic, reason: TrafficReason, *, gently: bool = True
) -> None:
    """Gently, unless somebody says otherwise: what has gathered must not fell it again."""
    row.gate, row.reopens_at, row.closings = Gate.OPEN, None, 0
    gentle = min(row.pace_per_second or GENTLE_PACE_PER_SECOND, GENTLE_PACE_PER_SECOND)
    row.pace_per_second = gentle if gently else None
    _refill(row)
    _note(session, row, reason, None)


def _pace(session: Session, row: WebhookTraffic, pace: float | None, reason: TrafficReason) -> None:
    if row.pace_per_second == pace:
        return
    if row.pace_per_second is None:
        _refill(row)
    row.pace_per_second = pace
    _note(session, row, reason, None)


def _refill(row: WebhookTraffic) -> None:
    """A bucket that was not in use has no old times to make up for."""
    row.tokens, row.refilled_at = 1.0, func.statement_timestamp()


def _note(session: Session, row: WebhookTraffic, reason: TrafficReason, detail: str | None) -> None:
    row.reason, row.changed_at = reason, func.statement_timestamp()
    session.add(
        TrafficChange(
            webhook_id=row.webhook_id,
            at=func.statement_timestamp(),
            gate=row.gate,
            pace_per_second=row.pace_per_second,
            reason=reason,
            detail=detail,
        )
    )


def lock_traffic(session: Session) -> None:
    """Before any change of traffic rows: claims draw tokens from them in an order of their own.

    The last lock of a transaction. Who holds it waits for no other, so nobody waits in a circle.
    """
    session.flush()
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CLAIM_LOCK})


def recovered(session: Session, webhook_ids: Sequence[int]) -> None:
    """Checks found webhooks recovered: their gates open, and what has gathered drains gently."""
    lock_traffic(session)
    for row in _rows(session, webhook_ids):
        _open(session, row, TrafficReason.CHECK_RECOVERED)
    session.flush()


def open_by_hand(session: Session, webhook_id: int) -> None:
    """Open a gate without a trial, at no pace but the webhook's own limit."""
    lock_traffic(session)
    for row in _rows(session, [webhook_id]):
        _open(session, row, TrafficReason.BY_HAND, gently=False)
    session.flush()


def enabled(session: Session, webhook_id: int, *, was_disabled: bool) -> None:
    """A webhook is active again: how it failed before counts no more. Where it did, or was disabled
    for it, what has gathered drains gently; who was only switched off goes on as before.
    """
    lock_traffic(session)
    for row in _rows(session, [webhook_id]):
        has_failed = row.failing_since is not None or row.gate == Gate.CLOSED
        row.failing_since = None
        if was_disabled or has_failed:
            _open(session, row, TrafficReason.ENABLED)
    session.flush()


def _rows(session: Session, webhook_ids: Sequence[int]) -> Sequence[WebhookTraffic]:
    return session.scalars(
        select(WebhookTraffic)
        .where(WebhookTraffic.webhook_id.in_(webhook_ids))
        .order_by(WebhookTraffic.webhook_id)
        .with_for_update()
    ).all()


def end_overdue_holds(session: Session) -> int:
    """Let go what a red probe has held for as long as its whole schedule: how many.

    So what is held ends too, whether or not the webhook is ever seen healthy again.
    """
    let_go = session.execute(
        text(
            "WITH overdue AS MATERIALIZED ("
            "SELECT id FROM pggit.alert_delivery_queue"
            " WHERE status IN ('pending', 'retrying') AND probe_holds_until <= now()"
            " AND lease_token IS NULL ORDER BY id FOR UPDATE SKIP LOCKED"
            ") UPDATE pggit.alert_delivery_queue q SET probe_holds_until = NULL"
            " FROM overdue WHERE q.id = overdue.id RETURNING q.id"
        )
    )
    return len(let_go.all())
