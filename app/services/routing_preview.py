"""Whom an alert would reach if it came in now, and why. Nothing is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.matchers import Subject
from app.domain.routing import Route, Rule, Verdict
from app.domain.told import NotToldReason
from app.services.explain import MAX_WEBHOOKS
from app.services.raising import Draft, check_draft, unknown_targets
from app.services.routing import load_table
from models import AlertGroup, RoutingRule, Webhook, WebhookHealth


def preview(session: Session, now: datetime, draft: Draft) -> dict[str, Any]:
    """`routes`, `targets` (whom they name, each once), `muted_by`, and all `decisions`.

    Raises Invalid for a draft that could not be raised.
    """
    check_draft(unknown_targets(session, draft.webhook_ids or ()), draft, now)
    subject = Subject(draft.severity, draft.source, dict(draft.labels))
    verdict = load_table(session, now).verdict(session, subject, draft.webhook_ids)
    return {
        "routes": [_shown(session, now, route) for route in verdict.routes],
        "targets": _targets(session, verdict),
        "muted_by": verdict.muted_by,
        "decisions": verdict.decisions,
    }


def _targets(session: Session, verdict: Verdict) -> list[dict[str, Any]]:
    statement = (
        select(Webhook.id, Webhook.name, Webhook.is_active, WebhookHealth.health_status)
        .outerjoin(WebhookHealth, WebhookHealth.webhook_id == Webhook.id)
        .order_by(Webhook.id)
    )
    wanted: Sequence[int]
    if any(route.webhook_ids is None for route in verdict.routes):
        everybody = statement.where(Webhook.is_active.is_(True)).limit(MAX_WEBHOOKS)
        found = {row.id: row for row in session.execute(everybody)}
        wanted = list(found)
    else:
        ids = [one for route in verdict.routes for one in route.webhook_ids or ()]
        found = {row.id: row for row in session.execute(statement.where(Webhook.id.in_(ids)))}
        wanted = list(dict.fromkeys(ids))
    return [_target(verdict, webhook_id, found.get(webhook_id)) for webhook_id in wanted]


def _target(verdict: Verdict, webhook_id: int, row: Any | None) -> dict[str, Any]:
    """`row` None: a rule names a webhook of which nothing is left."""
    is_active = row is not None and row.is_active
    reason: str = verdict.muted_by.reason if verdict.muted_by else verdict.routes[0].reason
    return {
        "webhook_id": webhook_id,
        "name": row and row.name,
        "is_active": is_active,
        "health_status": row and row.health_status,
        "told": is_active and verdict.muted_by is None,
        "reason": reason if is_active else NotToldReason.INACTIVE,
    }


def _shown(session: Session, now: datetime, route: Route) -> dict[str, Any]:
    rule = route.rule
    return {
        "reason": route.reason,
        "rule_id": rule and rule.id,
        "rule_name": rule and session.get_one(RoutingRule, rule.id).name,
        "webhook_ids": route.webhook_ids,
        "group": None
        if rule is None or route.group is None
        else _group(session, now, rule, route.group),
        "steps": () if rule is None else rule.steps,
        "repeat_minutes": rule and rule.repeat_minutes,
    }


def _group(
    session: Session, now: datetime, rule: Rule, labels: Mapping[str, str]
) -> dict[str, Any]:
    """`flush_at` is when the group that it would join is told."""
    group = session.scalars(
        select(AlertGroup).where(AlertGroup.rule_id == rule.id, AlertGroup.labels == labels)
    ).one_or_none()
    flush_at = now + timedelta(seconds=rule.group_wait_seconds)
    if group is not None and group.flush_at is not None:
        flush_at = group.flush_at
    elif group is not None and group.flushed_at is not None:
        interval = timedelta(seconds=rule.group_interval_seconds)
        flush_at = max(flush_at, group.flushed_at + interval)
    return {
        "labels": labels,
        "wait_seconds": rule.group_wait_seconds,
        "interval_seconds": rule.group_interval_seconds,
        "flush_at": flush_at,
    }
