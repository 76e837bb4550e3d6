"""Inhibition rules: make, find, change, remove."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.services.follow_ups import look_again_at_muted
from app.services.paging import Page, PageRequest, paginate
from models import InhibitionRule


def create_rule(session: Session, data: Mapping[str, Any]) -> InhibitionRule:
    rule = InhibitionRule(**data)
    session.add(rule)
    session.flush()
    return rule


def get_rule(session: Session, rule_id: int, *, lock: bool = False) -> InhibitionRule:
    rule = session.get(InhibitionRule, rule_id, with_for_update=lock)
    if rule is None:
        raise NotFound("There is no such inhibition rule.")
    return rule


def list_rules(session: Session, request: PageRequest) -> Page[InhibitionRule]:
    return paginate(session, select(InhibitionRule), InhibitionRule.id, request)


def change_rule(
    session: Session, now: datetime, rule_id: int, changes: Mapping[str, Any]
) -> InhibitionRule:
    """Apply the fields that are there. What it muted is looked at again."""
    rule = get_rule(session, rule_id, lock=True)
    for name, value in changes.items():
        setattr(rule, name, value)
    rule.updated_at = now
    session.flush()
    look_again_at_muted(session)
    return rule


def delete_rule(session: Session, rule_id: int) -> None:
    """What it muted is looked at again."""
    session.delete(get_rule(session, rule_id, lock=True))
    session.flush()
    look_again_at_muted(session)
