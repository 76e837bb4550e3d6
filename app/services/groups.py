"""Groups: the news of many alerts in one message.

A rule with `group_by` gathers the news of alerts that have the same values of these labels. The
first news of a burst waits for `group_wait_seconds`, what comes after a flush for
`group_interval_seconds`. A flush makes one event, and one delivery for each webhook, for all
firings that wait, one for all acknowledgements, and one for all resolutions. Who is muted by then
waits until that is over.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.domain.alerts import EventType, Severity
from app.domain.events import DeliveriesQueued, Event
from app.domain.matchers import Subject
from app.domain.retry import Reason
from app.domain.routing import Rule
from app.services.routing import load_table
from app.services.telling import News, active_webhooks, lock_owed, tell_behind
from models import Alert, AlertGroup, GroupNews, RoutingRule

# An alert that is told with so many others is found by its id.
MAX_LISTED = 100
# How often a muted alert is looked at again.
LOOK_AGAIN = timedelta(seconds=60)
IN_ORDER = (EventType.FIRING, EventType.ACKNOWLEDGED, EventType.RESOLVED)
# Which messages of a group some alerts were told by.
_ABOUT_THESE = (
    "id IN (SELECT event_id FROM pggit.alert_group_news"
    " WHERE group_id = :group AND alert_id = ANY(:alerts))"
)
_SEVEREST_FIRST = list(reversed(Severity))


# Of news that is still to be told.
WAITING = (GroupNews.event_id.is_(None), GroupNews.dropped_reason.is_(None))


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


# In the order of their keys: two batches with the same groups must not lock each other out.
_JOIN = text(
    """
    INSERT INTO pggit.alert_groups AS g (rule_id, key, labels, flush_at)
    SELECT t.rule_id, t.key, CAST(t.key AS jsonb), now() + make_interval(secs => t.wait)
    FROM unnest(CAST(:rules AS bigint[]), CAST(:keys AS text[]), CAST(:waits AS int[]))
        AS t (rule_id, key, wait)
    ORDER BY t.rule_id, t.key
    ON CONFLICT (rule_id, key) DO UPDATE SET flush_at = COALESCE(
        g.flush_at,
        GREATEST(excluded.flush_at, g.flushed_at + (
            SELECT make_interval(secs => r.group_interval_seconds)
            FROM pggit.routing_rules r WHERE r.id = g.rule_id
        ))
    )
    RETURNING g.rule_id, g.key, g.id
    """
)


def join(session: Session, members: Sequence[Membership]) -> None:
    """Let new alerts wait in their groups to be told of."""
    if not members:
        return
    distinct = {(one.rule.id, one.key): one.rule for one in members}
    rows = session.execute(
        _JOIN,
        {
            "rules": [rule_id for rule_id, _ in distinct],
            "keys": [key for _, key in distinct],
            "waits": [rule.group_wait_seconds for rule in distinct.values()],
        },
    )
    groups = {(rule_id, key): group_id for rule_id, key, group_id in rows}
    session.add_all(
        GroupNews(
            group_id=groups[one.rule.id, one.key], alert_id=one.alert.id, type=EventType.FIRING
        )
        for one in members
    )
    session.flush()


def add_news(
    session: Session, now: datetime, alert: Alert, event_type: EventType, reason: Reason
) -> None:
    """News of the end of an alert for the groups that it is in; what it makes needless is dropped
    with the reason.

    Where the firing has not been told, its resolution takes both out: nobody hears of either.
    """
    for group in _lock_groups_of(session, alert.id):
        news = session.scalars(
            select(GroupNews)
            .where(GroupNews.group_id == group.id, GroupNews.alert_id == alert.id)
            .order_by(GroupNews.id)
            # Who flushed the group meanwhile was waited for: see what he wrote.
            .execution_options(populate_existing=True)
        ).all()
        waiting = [one for one in news if one.event_id is None and one.dropped_reason is None]
        was_told = any(one.event_id is not None for one in news)
        if was_told or event_type is EventType.RESOLVED:
            for one in waiting:
                one.dropped_reason, one.dropped_at = reason, now
        if was_told or (waiting and event_type is not EventType.RESOLVED):
            session.add(GroupNews(group_id=group.id, alert_id=alert.id, type=event_type))
            _flush_soon(session, now, group)
    session.flush()


def remind(session: Session, now: datetime, alert: Alert, rule_id: int | None) -> bool:
    """Tell the firing of an alert again in its groups (of one rule, if that is given). Whether
    there are any.
    """
    groups = [
        group for group in _lock_groups_of(session, alert.id) if rule_id in {None, group.rule_id}
    ]
    for group in groups:
        firing_waits = select(GroupNews.id).where(
            GroupNews.group_id == group.id,
            GroupNews.alert_id == alert.id,
            GroupNews.type == EventType.FIRING,
            *WAITING,
        )
        if session.scalar(firing_waits.limit(1)) is None:
            session.add(GroupNews(group_id=group.id, alert_id=alert.id, type=EventType.FIRING))
            _flush_soon(session, now, group)
    session.flush()
    return bool(groups)


def _lock_groups_of(session: Session, alert_id: int) -> Sequence[AlertGroup]:
    return session.scalars(
        select(AlertGroup)
        .where(AlertGroup.id.in_(select(GroupNews.group_id).where(GroupNews.alert_id == alert_id)))
        .order_by(AlertGroup.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _flush_soon(session: Session, now: datetime, group: AlertGroup) -> None:
    """As soon as its interval lets it."""
    if group.flush_at is None:
        rule = session.get_one(RoutingRule, group.rule_id)
        interval = timedelta(seconds=rule.group_interval_seconds)
        group.flush_at = max(now, group.flushed_at + interval) if group.flushed_at else now


def end_postponement(session: Session, alert_id: int, until: datetime) -> None:
    """Groups that wait until then, for this alert to be told, tell its news now."""
    for group in _lock_groups_of(session, alert_id):
        if group.flush_at == until:
            group.flush_at = func.now()
    session.flush()


def due_groups(session: Session, limit: int) -> Sequence[int]:
    """The ids of groups whose news is due, the longest due first."""
    return session.scalars(
        select(AlertGroup.id)
        .where(AlertGroup.flush_at <= func.now())
        .order_by(AlertGroup.flush_at)
        .limit(limit)
    ).all()


def flush_group(session: Session, now: datetime, events: list[Event], group_id: int) -> bool:
    """Tell the news of a group, unless somebody else does right now. Whether there was any."""
    group = session.scalars(
        select(AlertGroup)
        .where(AlertGroup.id == group_id)
        .with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if group is None or group.flush_at is None or group.flush_at > now:
        return False
    rows = session.execute(
        select(GroupNews, Alert)
        .join(Alert, Alert.id == GroupNews.alert_id)
        .where(GroupNews.group_id == group_id, *WAITING)
        .order_by(GroupNews.id)
    ).all()
    waits = _waits(session, now, [(news, alert) for news, alert in rows])
    ready = [(news, alert) for news, alert in rows if news.id not in waits]
    rule = session.get_one(RoutingRule, group.rule_id)
    told = False
    for event_type in IN_ORDER:
        members = [(news, alert) for news, alert in ready if news.type == event_type]
        if members:
            told |= _tell_group(session, now, group, rule, event_type, members)
    group.flush_at = min(waits.values(), default=None)
    if ready:
        group.flushed_at = now
    if told:
        events.append(DeliveriesQueued())
    session.flush()
    return told


def _waits(
    session: Session, now: datetime, waiting: Sequence[tuple[GroupNews, Alert]]
) -> dict[int, datetime]:
    """What is not told yet, and when to look again: all news of what is snoozed, and the firing of
    what is muted by now, though it was not when it was gathered.
    """
    waits = {
        news.id: alert.snoozed_until
        for news, alert in waiting
        if alert.snoozed_until is not None and alert.snoozed_until > now
    }
    firing = [
        (news, alert)
        for news, alert in waiting
        if news.type == EventType.FIRING and news.id not in waits
    ]
    if firing:
        table = load_table(session, now)
        for news, alert in firing:
            subject = Subject(alert.severity, alert.source, alert.labels)
            muted_by = table.muted_by(session, subject, alert.id)
            if muted_by is not None:
                # The silence may be ended before, or what inhibits it: nobody would say so here.
                waits[news.id] = min(muted_by.until or now + LOOK_AGAIN, now + LOOK_AGAIN)
    return waits


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
    owed = lock_owed(session, _ABOUT_THESE, {"group": group.id, "alerts": alert_ids})
    behind = owed.behind()
    targets = sorted(behind)
    if event_type is EventType.FIRING:
        # A webhook is not told of its own illness, unless there is more to tell.
        about = {alert.about_webhook_id for _, alert in members}
        itself = about if len(about) == 1 else set()
        targets = sorted(active_webhooks(session, rule.webhook_ids) - itself)
    severest = min(
        (alert for _, alert in members),
        key=lambda alert: (_SEVEREST_FIRST.index(Severity(alert.severity)), alert.id),
    )
    listed = [
        {name: getattr(alert, name) for name in ("id", "title", "severity", "status", "labels")}
        for _, alert in members[:MAX_LISTED]
    ]
    shown = {
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
        extra=shown,
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
