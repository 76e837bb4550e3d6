"""Why was I (not) told? The whole trace of an alert, for every webhook.

Nothing is decided here: the reasons are those that the rules returned when they decided, and that
attempts, gates, checks and follow-ups left on record. Only what waits now is judged now.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.retry import DeliveryStatus
from app.domain.routing import RoutingReason
from app.domain.traffic import Gate
from app.domain.waiting import WaitingDelivery, WebhookRoad, why_it_waits
from app.services.alerts import get_alert
from app.services.traffic_reports import current_pause
from models import Alert, DeliveryAttempt, FollowUp, GroupNews, TrafficChange

MAX_WEBHOOKS = 1000
# Of a delivery's changes of gate and pace, and of its checks, the newest.
MAX_CHANGES = 50
OPEN = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING})


class NotToldReason(StrEnum):
    """Why a webhook has no message about an alert. The routing's own reasons come besides."""

    MADE_LATER = "made_after_the_alert"
    INACTIVE = "webhook_inactive"
    ABOUT_ITSELF = "alert_is_about_it"
    NOT_NAMED = "not_named_by_alert"
    NOT_IN_RULE = "not_in_matching_rule"
    GROUP_WAITS = "group_waits"
    NOBODY_TOLD = "nobody_told"


_DELIVERIES = text(
    """
    SELECT d.id, d.webhook_id, d.webhook_message_id, d.status, d.reason, d.attempts_made,
        d.next_attempt_at, d.probe_holds_until, d.is_leased, d.held_behind, d.created_at,
        d.finished_at, e.type
    FROM pggit.alert_events e JOIN pggit.deliveries d ON d.event_id = e.id
    WHERE e.alert_id = :alert
        OR e.id IN (SELECT event_id FROM pggit.alert_group_news WHERE alert_id = :alert)
    ORDER BY d.id
    """
)
_ROADS = text(
    """
    SELECT w.id, w.name, w.created_at, w.is_active AND w.deleted_at IS NULL AS is_active,
        CASE WHEN t.gate = 'closed' AND t.reopens_at <= now() THEN 'half_open'
            ELSE COALESCE(t.gate, 'open') END AS gate,
        t.reopens_at, w.max_in_flight, t.pace_per_second IS NOT NULL AS is_paced,
        COALESCE(h.health_status = 'unavailable'
            AND COALESCE(t.delivered_at < h.changed_at, true), false) AS probe_holds,
        (SELECT count(*) FROM pggit.alert_delivery_queue q
            WHERE q.webhook_id = w.id AND q.lease_token IS NOT NULL
            AND q.next_attempt_at > now())::int AS in_flight,
        COALESCE(t.tokens + rate.per_second * extract(epoch FROM now() - t.refilled_at) >= 1, true)
            AS has_token
    FROM pggit.webhooks w
    LEFT JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id
    LEFT JOIN pggit.webhook_health_metrics h ON h.webhook_id = w.id
    CROSS JOIN LATERAL (
        SELECT LEAST(w.rate_limit_per_second, t.pace_per_second) AS per_second
    ) rate
    WHERE w.deleted_at IS NULL OR w.id = ANY(:told)
    ORDER BY w.id LIMIT :most
    """
)
# The checks at which a webhook's health became another.
_HEALTH_CHANGES = text(
    """
    SELECT checked_at AS at, health_status, reason FROM (
        SELECT checked_at, health_status, reason,
            lag(health_status) OVER (ORDER BY id) AS before
        FROM pggit.webhook_health_checks
        WHERE webhook_id = :webhook AND checked_at BETWEEN :since AND :until
    ) c WHERE before IS DISTINCT FROM health_status ORDER BY checked_at DESC LIMIT :most
    """
)


def explain(session: Session, now: datetime, alert_id: int) -> dict[str, Any]:
    """Everything that was decided about an alert: what holds for all webhooks, then each webhook
    with its messages, each with a trace of (at, stage, reason), the oldest first.

    Raises NotFound.
    """
    alert = get_alert(session, alert_id)
    deliveries: dict[int, list[Any]] = defaultdict(list)
    for row in session.execute(_DELIVERIES, {"alert": alert_id}):
        deliveries[row.webhook_id].append(row)
    roads = session.execute(_ROADS, {"told": list(deliveries), "most": MAX_WEBHOOKS}).all()
    attempts = _attempts(session, [row.id for rows in deliveries.values() for row in rows])
    is_paused = current_pause(session) is not None
    group_waits = _group_waits(session, alert_id)
    return {
        "alert_id": alert_id,
        "status": alert.status,
        "decisions": [_with_times(decision) for decision in alert.decisions],
        "follow_ups": _follow_ups(session, alert_id),
        "webhooks": [
            {
                "webhook_id": road.id,
                "name": road.name,
                "told": any(row.status == DeliveryStatus.DELIVERED for row in deliveries[road.id]),
                "reason": _why(alert, road, deliveries[road.id], group_waits),
                "messages": [
                    _message(session, now, alert, row, road, attempts[row.id], is_paused)
                    for row in deliveries[road.id]
                ],
            }
            for road in roads
        ],
    }


def _with_times(decision: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as it was stored, in JSON, with its times as times again."""
    times = {
        name: datetime.fromisoformat(decision[name])
        for name in ("at", "until")
        if decision.get(name) is not None
    }
    return dict(decision) | times


def _why(alert: Alert, road: Any, messages: Sequence[Any], group_waits: bool) -> str:
    """The one reason, at a glance."""
    decisions: Sequence[Mapping[str, Any]] = alert.decisions
    said = [decision["reason"] for decision in decisions if decision["stage"] == "routing"]
    # The last word counts: what was silenced may have been told when the silence was over.
    positive = [RoutingReason.NAMED_BY_ALERT, RoutingReason.RULE_MATCHED]
    if messages:
        told_by = [reason for reason in said if reason in positive]
        return str(told_by[-1]) if told_by else RoutingReason.NO_RULE_MATCHED
    if alert.about_webhook_id == road.id:
        return NotToldReason.ABOUT_ITSELF
    if not road.is_active:
        return NotToldReason.INACTIVE
    if road.created_at > alert.created_at:
        return NotToldReason.MADE_LATER
    muting = [RoutingReason.SILENCED, RoutingReason.IN_MAINTENANCE, RoutingReason.INHIBITED]
    if said and said[-1] in muting:
        return str(said[-1])
    if RoutingReason.NAMED_BY_ALERT in said:
        return NotToldReason.NOT_NAMED
    if group_waits:
        return NotToldReason.GROUP_WAITS
    return NotToldReason.NOT_IN_RULE if said else NotToldReason.NOBODY_TOLD


def _message(
    session: Session,
    now: datetime,
    alert: Alert,
    row: Any,
    road: Any,
    attempts: Sequence[DeliveryAttempt],
    is_paused: bool,
) -> dict[str, Any]:
    is_open = row.status in OPEN
    trace = [{"at": row.created_at, "stage": "queued", "reason": row.type}]
    trace += [
        {
            "at": one.at,
            "stage": "attempt",
            "reason": one.reason,
            "http_status": one.http_status,
            "detail": one.error,
        }
        for one in attempts
    ]
    since, until = row.created_at, row.finished_at or now
    trace += _traffic_changes(session, row.webhook_id, since, until)
    trace += [
        {"at": one.at, "stage": "check", "reason": one.reason, "detail": one.health_status}
        for one in session.execute(
            _HEALTH_CHANGES,
            {"webhook": row.webhook_id, "since": since, "until": until, "most": MAX_CHANGES},
        )
    ]
    if not is_open:
        trace.append({"at": until, "stage": "outcome", "reason": row.reason, "detail": row.status})
    waits = None
    if is_open:
        waiting = why_it_waits(
            WaitingDelivery(
                row.next_attempt_at,
                row.attempts_made,
                row.is_leased,
                row.held_behind is not None,
                row.probe_holds_until,
                alert.snoozed_until,
            ),
            WebhookRoad(
                road.is_active,
                Gate(road.gate),
                road.reopens_at,
                road.probe_holds,
                road.in_flight,
                road.max_in_flight,
                road.has_token,
                road.is_paced,
            ),
            is_paused,
            now,
        )
        waits = {"reason": waiting.reason, "until": waiting.until}
    return {
        "delivery_id": row.id,
        "webhook_message_id": row.webhook_message_id,
        "type": row.type,
        "status": row.status,
        "reason": row.reason,
        "waits": waits,
        # Sorted by time; of two things at one time the one that was added first comes first.
        "trace": sorted(trace, key=lambda one: one["at"]),
    }


def _traffic_changes(
    session: Session, webhook_id: int, since: datetime, until: datetime
) -> list[dict[str, Any]]:
    """What happened to the gate and the pace, and how they were when it was queued."""
    of_webhook = select(TrafficChange).where(TrafficChange.webhook_id == webhook_id)
    before = session.scalars(
        of_webhook.where(TrafficChange.at < since).order_by(TrafficChange.id.desc()).limit(1)
    ).all()
    meanwhile = session.scalars(
        of_webhook.where(TrafficChange.at.between(since, until))
        .order_by(TrafficChange.id.desc())
        .limit(MAX_CHANGES)
    ).all()
    in_force = [one for one in before if one.gate != Gate.OPEN or one.pace_per_second is not None]
    return [
        {
            "at": one.at,
            "stage": "traffic",
            "reason": one.reason,
            "gate": one.gate,
            "pace_per_second": one.pace_per_second,
            "detail": one.detail,
        }
        for one in [*in_force, *meanwhile]
    ]


def _attempts(session: Session, delivery_ids: Sequence[int]) -> Mapping[int, list[DeliveryAttempt]]:
    found: dict[int, list[DeliveryAttempt]] = defaultdict(list)
    for attempt in session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id.in_(delivery_ids))
        .order_by(DeliveryAttempt.id)
    ):
        found[attempt.delivery_id].append(attempt)
    return found


def _follow_ups(session: Session, alert_id: int) -> list[FollowUp]:
    return list(
        session.scalars(select(FollowUp).where(FollowUp.alert_id == alert_id).order_by(FollowUp.id))
    )


def _group_waits(session: Session, alert_id: int) -> bool:
    """Whether news of it waits for its group to be told."""
    waiting = select(GroupNews.id).where(
        GroupNews.alert_id == alert_id,
        GroupNews.event_id.is_(None),
        GroupNews.dropped_reason.is_(None),
    )
    return session.scalar(waiting.limit(1)) is not None
