"""Why was I (not) told? The whole trace of an alert, for every webhook.

Nothing is decided here: the reasons are those that the rules returned when they decided, and that
attempts, gates, checks and follow-ups left on record. Only what waits now is judged now.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.domain.alerts import AlertStatus
from app.domain.retry import DeliveryStatus
from app.domain.routing import GroupReason, RoutingReason
from app.domain.told import WebhookFacts, why_told
from app.domain.traffic import Gate
from app.domain.waiting import WaitingDelivery, WaitingReason, WebhookRoad, why_it_waits
from app.services.alerts import get_alert
from app.services.decisions import noted
from app.services.groups import WAITING
from app.services.traffic_reports import current_pause
from models import (
    Alert,
    AlertEvent,
    AlertGroup,
    DeliveryAttempt,
    FollowUp,
    GroupNews,
    RoutingRule,
    TrafficChange,
)

MAX_WEBHOOKS = 1000
# Of a delivery's changes of gate and pace, and of its checks, the newest.
MAX_CHANGES = 50
OPEN = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING})


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
    SELECT checked_at AS at, health_status, reason, decision FROM (
        SELECT checked_at, health_status, reason, decision,
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
    decisions, follow_ups = noted(alert), _follow_ups(session, alert_id)
    said = [RoutingReason(one["reason"]) for one in decisions if one["stage"] == "routing"]
    context = _context(session, alert, decisions, follow_ups)
    return {
        "alert_id": alert_id,
        "status": alert.status,
        "decisions": sorted(
            [
                *_of_its_life(alert),
                *(_with_times(decision) for decision in decisions),
                *_of_its_groups(session, alert_id),
            ],
            key=lambda one: one["at"],
        ),
        "follow_ups": follow_ups,
        "webhooks": [
            {
                "webhook_id": road.id,
                "name": road.name,
                "told": any(row.status == DeliveryStatus.DELIVERED for row in deliveries[road.id]),
                "reason": why_told(said, _facts(alert, road, context, bool(deliveries[road.id]))),
                "messages": [
                    _message(session, now, alert, row, road, attempts[row.id], is_paused)
                    for row in deliveries[road.id]
                ],
            }
            for road in roads
        ],
    }


def _of_its_life(alert: Alert) -> Iterator[dict[str, Any]]:
    moments: tuple[tuple[datetime | None, str, str | None, dict[str, Any]], ...] = (
        (alert.created_at, "raised", alert.created_by, {}),
        (alert.acknowledged_at, AlertStatus.ACKNOWLEDGED, alert.acknowledged_by, {}),
        (alert.resolved_at, AlertStatus.RESOLVED, alert.resolved_by, {}),
        (
            alert.updated_at if alert.snoozed_until is not None else None,
            WaitingReason.SNOOZED,
            alert.snoozed_by,
            {"until": alert.snoozed_until},
        ),
    )
    for at, reason, by, more in moments:
        if at is not None:
            yield {"at": at, "stage": "alert", "reason": reason, "detail": f"by {by}", **more}


def _of_its_groups(session: Session, alert_id: int) -> Iterator[dict[str, Any]]:
    rows = session.execute(
        select(GroupNews, AlertGroup, AlertEvent.created_at)
        .join(AlertGroup, AlertGroup.id == GroupNews.group_id)
        .outerjoin(AlertEvent, AlertEvent.id == GroupNews.event_id)
        .where(GroupNews.alert_id == alert_id)
        .order_by(GroupNews.id)
    )
    for news, group, told_at in rows:
        common = {"stage": "group", "rule_id": group.rule_id, "detail": news.type}
        waits = news.event_id is None and news.dropped_reason is None
        yield common | {
            "at": news.created_at,
            "reason": GroupReason.GATHERED,
            "until": group.flush_at if waits else told_at,
        }
        if news.dropped_reason is not None:
            yield common | {"at": news.dropped_at, "reason": news.dropped_reason}
        elif news.event_id is not None:
            yield common | {"at": told_at, "reason": GroupReason.TOLD}


def _with_times(decision: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as it was stored, in JSON, with its times as times again."""
    times = {
        name: datetime.fromisoformat(decision[name])
        for name in ("at", "until")
        if decision.get(name) is not None
    }
    return dict(decision) | times


def _facts(alert: Alert, road: Any, context: "_Context", has_messages: bool) -> WebhookFacts:
    return WebhookFacts(
        has_messages=has_messages,
        alert_is_about_it=alert.about_webhook_id == road.id,
        is_active=road.is_active,
        is_younger_than_alert=road.created_at > alert.created_at,
        is_named=road.id in (alert.webhook_ids or ()),
        in_matched_rule=road.id in context.in_rules,
        group_waits=road.id in context.in_waiting_groups,
        step_waits=road.id in context.in_waiting_steps,
    )


@dataclass(frozen=True, slots=True)
class _Context:
    """Webhooks that the alert's rules, groups and steps name."""

    in_rules: frozenset[int]
    in_waiting_groups: frozenset[int]
    in_waiting_steps: frozenset[int]


def _context(
    session: Session,
    alert: Alert,
    decisions: Sequence[Mapping[str, Any]],
    follow_ups: Sequence[FollowUp],
) -> _Context:
    matched = [one["rule_id"] for one in decisions if one["reason"] == RoutingReason.RULE_MATCHED]
    named = select(func.unnest(RoutingRule.webhook_ids))
    in_rules = session.scalars(named.where(RoutingRule.id.in_(matched)))
    waiting = (
        select(AlertGroup.rule_id)
        .join(GroupNews, GroupNews.group_id == AlertGroup.id)
        .where(GroupNews.alert_id == alert.id, *WAITING)
    )
    in_groups = session.scalars(named.where(RoutingRule.id.in_(waiting)))
    in_steps = [
        webhook_id
        for one in follow_ups
        if one.done_at is None
        for webhook_id in one.webhook_ids or ()
    ]
    return _Context(frozenset(in_rules), frozenset(in_groups), frozenset(in_steps))


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
        {
            "at": one.at,
            "stage": "check",
            "reason": one.reason,
            "detail": one.health_status,
            "decision": one.decision,
        }
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
