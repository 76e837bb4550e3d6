"""The life of an alert after it was raised: acknowledged, snoozed, resolved, expired.

Who changes an alert locks its row first; see `telling` for the order of locks.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.alerts import TRANSITIONS, AlertStatus, EventType
from app.domain.events import Changed, DeliveriesQueued, Event
from app.domain.live import Kind
from app.domain.retry import Reason
from app.services import follow_ups, groups, rescheduling, telling
from app.services.alerts import get_alert
from app.services.telling import News
from models import Alert

EXPIRY = "expiry"  # in `resolved_by`, of an alert that nobody else has ended


def acknowledge(
    session: Session, now: datetime, events: list[Event], alert_id: int, by: str
) -> tuple[Alert, bool]:
    """The alert, and whether this changed it. Acknowledging twice is no error."""
    alert = get_alert(session, alert_id, lock=True)
    if not _may_become(alert, AlertStatus.ACKNOWLEDGED):
        return alert, False
    alert.acknowledged_by, alert.acknowledged_at = by, now
    _become(session, now, events, alert, AlertStatus.ACKNOWLEDGED, Reason.ACKNOWLEDGED)
    return alert, True


def resolve(
    session: Session, now: datetime, events: list[Event], alert_id: int, by: str
) -> tuple[Alert, bool]:
    """The alert, and whether this changed it."""
    alert = get_alert(session, alert_id, lock=True)
    if not _may_become(alert, AlertStatus.RESOLVED):
        return alert, False
    alert.resolved_by, alert.resolved_at = by, now
    _become(session, now, events, alert, AlertStatus.RESOLVED, Reason.SUPERSEDED)
    return alert, True


def acknowledge_batch(
    session: Session, now: datetime, events: list[Event], alert_ids: Sequence[int], by: str
) -> dict[str, list[int]]:
    """`acknowledged`, `already` (acknowledged or resolved before) and `not_found`, as ids."""
    answer: dict[str, list[int]] = {"acknowledged": [], "already": [], "not_found": []}
    wanted = sorted(set(alert_ids))
    there = set(session.scalars(select(Alert.id).where(Alert.id.in_(wanted))))
    for alert_id in wanted:
        if alert_id not in there:
            answer["not_found"].append(alert_id)
            continue
        _alert, changed = acknowledge(session, now, events, alert_id, by)
        answer["acknowledged" if changed else "already"].append(alert_id)
    return answer


def due_to_expire(session: Session, limit: int) -> Sequence[int]:
    """The ids of open alerts that are past their time, the longest past first."""
    return session.scalars(
        select(Alert.id)
        .where(Alert.expires_at <= func.now(), Alert.status != AlertStatus.RESOLVED)
        .order_by(Alert.expires_at)
        .limit(limit)
    ).all()


def expire(session: Session, now: datetime, events: list[Event], alert_id: int) -> bool:
    """Resolve an alert that is past its time; whether it was.

    An open alert inhibits others and takes up what has its key, so one that is over must end.
    """
    alert = get_alert(session, alert_id, lock=True)
    is_over = alert.expires_at is not None and alert.expires_at <= now
    if not (is_over and _may_become(alert, AlertStatus.RESOLVED)):
        return False
    alert.resolved_by, alert.resolved_at = EXPIRY, now
    _become(session, now, events, alert, AlertStatus.RESOLVED, Reason.EXPIRED)
    return True


def snooze(
    session: Session,
    now: datetime,
    events: list[Event],
    alert_id: int,
    until: datetime,
    by: str,
) -> Alert:
    """Tell nobody of it before `until`; then those who were told are reminded, once.

    Changes nothing about an alert that somebody has acknowledged or resolved.
    """
    alert = get_alert(session, alert_id, lock=True)
    if alert.status == AlertStatus.PENDING:
        _end_snooze(session, now, alert)
        alert.snoozed_until, alert.snoozed_by, alert.updated_at = until, by, now
        session.flush()
        rescheduling.put_off(session, alert.id, until)
        follow_ups.postpone(session, alert, until)
        # What was put off until an earlier time, by the snooze before, may be due now.
        events += [DeliveriesQueued(), Changed(Kind.ALERT, (alert.id,))]
    return alert


def unsnooze(session: Session, now: datetime, events: list[Event], alert_id: int) -> Alert:
    """What a snooze has put off goes on. Without a snooze it changes nothing."""
    alert = get_alert(session, alert_id, lock=True)
    if _end_snooze(session, now, alert):
        events += [DeliveriesQueued(), Changed(Kind.ALERT, (alert.id,))]
    return alert


def _end_snooze(session: Session, now: datetime, alert: Alert) -> bool:
    until = alert.snoozed_until
    if until is None:
        return False
    alert.snoozed_until, alert.snoozed_by, alert.updated_at = None, None, now
    session.flush()
    groups.end_postponement(session, alert.id, until)
    rescheduling.end_postponement(session, alert.id, until)
    follow_ups.end_postponement(session, alert, until)
    return True


def _may_become(alert: Alert, status: AlertStatus) -> bool:
    return alert.status in TRANSITIONS[status][1]


def _become(
    session: Session,
    now: datetime,
    events: list[Event],
    alert: Alert,
    status: AlertStatus,
    reason: Reason,
) -> None:
    """Tell those who were told, behind what they are still owed; what need not be sent is
    cancelled with the reason.
    """
    _end_snooze(session, now, alert)
    alert.status, alert.updated_at = status, now
    session.flush()
    event_type = TRANSITIONS[status][0]
    groups.add_news(session, now, alert, event_type, reason)
    _tell_directly(session, now, alert, event_type, reason)
    follow_ups.end_follow_ups(session, now, alert)
    events += [DeliveriesQueued(), Changed(Kind.ALERT, (alert.id,))]


def _tell_directly(
    session: Session, now: datetime, alert: Alert, event_type: EventType, reason: Reason
) -> None:
    """The news for those who were told of this alert by itself.

    A webhook that has not been sent anything yet when its alert is resolved is spared both the
    firing and the end; an acknowledgement spares it reminders. Everything still open is locked,
    so a worker that completes one meanwhile sees what is held behind it.
    """
    owed = telling.lock_owed(session, telling.DIRECT, {"alert": alert.id})
    unsent = [row for row in owed.open if row.attempts_made == 0]
    if event_type is EventType.ACKNOWLEDGED:
        unsent = [row for row in unsent if row.follow_up_id is not None]
    spared = frozenset(row.id for row in unsent)
    telling.cancel(session, spared, reason)
    behind = owed.behind(without=spared)
    if behind:
        telling.tell_behind(session, now, News(alert, event_type, list(behind)), behind)
