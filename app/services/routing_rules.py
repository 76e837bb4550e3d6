"""Routing rules: make, find, change, remove."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Invalid, NotFound
from app.services.follow_ups import end_follow_ups_of_rule
from app.services.paging import Page, PageRequest, paginate
from models import RoutingRule, Webhook


def create_rule(session: Session, data: Mapping[str, Any]) -> RoutingRule:
    """Raises Invalid when it names a webhook that is not there."""
    _check_webhooks(session, data)
    rule = RoutingRule(**data)
    session.add(rule)
    session.flush()
    return rule


def get_rule(session: Session, rule_id: int, *, lock: bool = False) -> RoutingRule:
    # An alert that joins one of its groups refers to it, and does not wait for who changes it.
    rule = session.get(RoutingRule, rule_id, with_for_update={"key_share": True} if lock else None)
    if rule is None or rule.deleted_at is not None:
        raise NotFound("There is no such routing rule.")
    return rule


def list_rules(session: Session, request: PageRequest) -> Page[RoutingRule]:
    return paginate(
        session,
        select(RoutingRule).where(RoutingRule.deleted_at.is_(None)),
        RoutingRule.id,
        request,
    )


def change_rule(
    session: Session, now: datetime, rule_id: int, changes: Mapping[str, Any]
) -> RoutingRule:
    """Apply the fields that are there. What groups gather already goes out by their own labels."""
    rule = get_rule(session, rule_id, lock=True)
    _check_webhooks(session, changes)
    for name, value in changes.items():
        setattr(rule, name, value)
    rule.updated_at = now
    session.flush()
    return rule


def delete_rule(session: Session, now: datetime, rule_id: int) -> None:
    """It routes nothing any more, and its steps and reminders end. Its groups stay: what they
    gather is told in its time, and so is the end of what they have told.
    """
    rule = get_rule(session, rule_id, lock=True)
    rule.deleted_at = rule.updated_at = now
    rule.is_active = False
    session.flush()
    end_follow_ups_of_rule(session, rule_id)


def _check_webhooks(session: Session, data: Mapping[str, Any]) -> None:
    """An inactive webhook may be named: it is told as soon as it is active."""
    named = {"webhook_ids": data.get("webhook_ids", [])} | {
        f"steps.{index}.webhook_ids": step["webhook_ids"]
        for index, step in enumerate(data.get("steps", []))
    }
    wanted = {webhook_id for ids in named.values() for webhook_id in ids}
    there = set(
        session.scalars(
            select(Webhook.id).where(Webhook.id.in_(wanted), Webhook.deleted_at.is_(None))
        )
    )
    errors = {
        field: [f"There is no webhook {', '.join(map(str, sorted(missing)))}."]
        for field, ids in named.items()
        if (missing := set(ids) - there)
    }
    if errors:
        raise Invalid(errors)
