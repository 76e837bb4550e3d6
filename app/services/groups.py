"""Groups: the news of many alerts in one message.

A rule with `group_by` gathers the news of alerts that have the same values of these labels. The
first news of a burst waits for `group_wait_seconds`, what comes after a flush for
`group_interval_seconds`. A flush makes one event, and one delivery for each webhook, for all
firings that wait, one for all acknowledgements, and one for all resolutions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.alerts import EventType, Severity
from app.domain.events import DeliveriesQueued, Event
from app.domain.retry import Reason
from app.domain.routing import Rule
from app.services.telling import News, active_webhooks, lock_owed, tell_behind
from models import Alert, AlertGroup, GroupNews, RoutingRule

# An alert that is told with so many others is found by its id.
MAX_LISTED = 100
IN_ORDER = (EventType.FIRING, EventType.ACKNOWLEDGED, EventType.RESOLVED)
# The messages about these alerts, and those that may still be open.
_TOLD_OR_OWED = (
    "group_id = :group AND (created_at > now() - interval '7 days' OR id IN ("
    "SELECT event_id FROM pggit.alert_group_news"
    " WHERE group_id = :group AND alert_id = ANY(:alerts)))"
)
_SEVEREST_FIRST = list(reversed(Severity))


@dataclass(frozen=True, slots=True)
class Membership:
    """An alert and the group it belongs to: its rule's, with these values of `group_by`."""

    alert: Alert
    rule: Rule
    labels: dict[str, str]

    @property
    def key(self) -> str:
        """The canonical text of the labels."""
        return json.dumps(self.labels, sort_keys=True, ensure_ascii=False)


def join(session: Session, now: datetime, members: Sequence[Membership]) -> None:
    """Let new alerts wait in their groups to be told of."""
    # In the order of their keys: two batches with the same groups must not lock each other out.
    for member in sorted(members, key=_sort_key):
        rule = member.rule
        statement = insert(AlertGroup).values(
            rule_id=rule.id,
            key=member.key,
            labels=member.labels,
            flush_at=now + timedelta(seconds=rule.group_wait_seconds),
        )
        group_id = session.scalars(
            statement.on_conflict_do_update(
                index_elements=[AlertGroup.rule_id, AlertGroup.key],
                set_={
                    "flush_at": func.coalesce(
                        AlertGroup.flush_at,
                        func.greatest(
                            statement.excluded.flush_at,
                            AlertGroup.flushed_at + timedelta(seconds=rule.group_interval_seconds),
                        ),
                    )
                },
            ).returning(AlertGroup.id)
        ).one()
        session.add(GroupNews(group_id=group_id, alert_id=member.alert.id, type=EventType.FIRING))
    session.flush()


def _sort_key(member: Membership) -> tuple[int, str]:
    return member.rule.id, member.key


def add_news(session: Session, now: datetime, alert: Alert, event_type: EventType) -> None:
    """News of an alert for the groups that it is in.

    The end of one whose firing has not been told yet takes both out: nobody hears of either.
    """
    groups = session.scalars(
        select(AlertGroup)
        .where(AlertGroup.id.in_(select(GroupNews.group_id).where(GroupNews.alert_id == alert.id)))
        .order_by(AlertGroup.id)
        # Who flushes one of them now is waited for.
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for group in groups:
        firing = session.scalars(
            select(GroupNews)
            .where(
                GroupNews.group_id == group.id,
                GroupNews.alert_id == alert.id,
                GroupNews.type == EventType.FIRING,
            )
            .order_by(GroupNews.id.desc())
            .limit(1)
            .execution_options(populate_existing=True)
        ).one()
        if event_type is EventType.RESOLVED and firing.event_id is None:
            session.execute(
                update(GroupNews)
                .where(
                    GroupNews.group_id == group.id,
                    GroupNews.alert_id == alert.id,
                    GroupNews.event_id.is_(None),
                    GroupNews.dropped_reason.is_(None),
                )
                .values(dropped_reason=Reason.SUPERSEDED)
            )
        elif firing.dropped_reason is None:
            rule = session.get_one(RoutingRule, group.rule_id)
            if group.flush_at is None:
                interval = timedelta(seconds=rule.group_interval_seconds)
                group.flush_at = func.greatest(now, AlertGroup.flushed_at + interval)
            session.add(GroupNews(group_id=group.id, alert_id=alert.id, type=event_type))
    session.flush()


def due_groups(session: Session, limit: int) -> Sequence[int]:
    """The ids of groups whose news is due, the longest due first."""
    return session.scalars(
        select(AlertGroup.id)
        .where(AlertGroup.flush_at <= func.now())
        .order_by(AlertGroup.flush_at)
        .limit(limit)
    ).all()


def flush_group(
    session: Session, now: datetime, events: list[Event], group_id: int, *, even_early: bool = False
) -> bool:
    """Tell the news of a group, unless somebody else does right now. Whether there was any."""
    group = session.scalars(
        select(AlertGroup)
        .where(AlertGroup.id == group_id)
        .with_for_update(skip_locked=not even_early)
    ).one_or_none()
    if group is None or group.flush_at is None or (group.flush_at > now and not even_early):
        return False
    rows = session.execute(
        select(GroupNews, Alert)
        .join(Alert, Alert.id == GroupNews.alert_id)
        .where(
            GroupNews.group_id == group_id,
            GroupNews.event_id.is_(None),
            GroupNews.dropped_reason.is_(None),
        )
        .order_by(GroupNews.id)
    ).all()
    ready = [(news, alert) for news, alert in rows if not _is_snoozed(alert, now)]
    snoozes = [alert.snoozed_until for _, alert in rows if alert.snoozed_until is not None]
    rule = session.get_one(RoutingRule, group.rule_id)
    told = False
    for event_type in IN_ORDER:
        members = [(news, alert) for news, alert in ready if news.type == event_type]
        if members:
            told |= _tell_group(session, now, group, rule, event_type, members)
    group.flush_at = min((until for until in snoozes if until > now), default=None)
    if ready:
        group.flushed_at = now
    if told:
        events.append(DeliveriesQueued())
    session.flush()
    return told


def _is_snoozed(alert: Alert, now: datetime) -> bool:
    return alert.snoozed_until is not None and alert.snoozed_until > now


def _tell_group(
    session: Session,
    now: datetime,
    group: AlertGroup,
    rule: RoutingRule,
    event_type: EventType,
    members: Sequence[tuple[GroupNews, Alert]],
) -> bool:
    """One message for every webhook of the rule (of a firing) or that was told (of its end)."""
    alert_ids = [alert.id for _, alert in members]
    owed = lock_owed(session, _TOLD_OR_OWED, {"group": group.id, "alerts": alert_ids})
    behind = owed.behind()
    targets = (
        sorted(active_webhooks(session, rule.webhook_ids))
        if event_type is EventType.FIRING
        else sorted(behind)
    )
    severest = min(
        (alert for _, alert in members),
        key=lambda alert: (_SEVEREST_FIRST.index(Severity(alert.severity)), alert.id),
    )
    listed = [
        {name: getattr(alert, name) for name in ("id", "title", "severity", "status", "labels")}
        for _, alert in members[:MAX_LISTED]
    ]
    about = {
        "group": {
            "rule": rule.name,
            "labels": group.labels,
            "count": len(members),
            "alerts": listed,
        }
    }
    expiries = [alert.expires_at for _, alert in members]
    ends = [expiry for expiry in expiries if expiry is not None]
    expires_at = max(ends) if len(ends) == len(members) else None
    news = News(
        severest,
        event_type,
        targets,
        extra=about,
        group_id=group.id,
        expires_at=expires_at if event_type is EventType.FIRING else None,
    )
    event_id = tell_behind(session, now, news, {target: behind.get(target) for target in targets})
    session.execute(
        update(GroupNews)
        .where(GroupNews.id.in_([one.id for one, _ in members]))
        .values(event_id=event_id)
    )
    return bool(targets)


def flush_all_of_rule(session: Session, now: datetime, events: list[Event], rule_id: int) -> None:
    """Tell at once what a rule's groups still gather: before the rule goes, and they with it."""
    waiting = session.scalars(
        select(AlertGroup.id)
        .where(AlertGroup.rule_id == rule_id, AlertGroup.flush_at.is_not(None))
        .order_by(AlertGroup.id)
    ).all()
    for group_id in waiting:
        flush_group(session, now, events, group_id, even_early=True)


def purge_groups(session: Session) -> int:
    """Delete groups that have gathered nothing for long, with no news left; how many."""
    gone = session.execute(
        text(
            "DELETE FROM pggit.alert_groups g WHERE g.flush_at IS NULL"
            " AND COALESCE(g.flushed_at, g.created_at) < now() - interval '7 days'"
            " AND NOT EXISTS (SELECT FROM pggit.alert_group_news n WHERE n.group_id = g.id)"
            " RETURNING g.id"
        )
    )
    return len(gone.all())
