"""What falls due with an alert later: steps, reminders, and telling of it once it is not muted.

Each is a row with a time. Who sees to an alert locks its row first, so acknowledging and following
up never cross.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.domain.alerts import AlertStatus, EventType
from app.domain.events import DeliveriesQueued, Event
from app.domain.matchers import Subject
from app.domain.routing import Route, RoutingDecision, Verdict
from app.services.decisions import note, note_news
from app.services.groups import LOOK_AGAIN, Membership, join, remind
from app.services.routing import RoutingTable, load_table
from app.services.telling import (
    DIRECT,
    DIRECT_OR_GROUPED,
    News,
    active_webhooks,
    lock_owed,
    tell,
)
from models import Alert, FollowUp, RoutingRule


class Kind(StrEnum):
    UNMUTE = "unmute"
    ESCALATE = "escalate"
    REMIND = "remind"


class Outcome(StrEnum):
    SENT = "sent"
    NOBODY_TO_TELL = "nobody_to_tell"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    RULE_DELETED = "rule_deleted"


def subject_of(alert: Alert) -> Subject:
    return Subject(alert.severity, alert.source, alert.labels)


def send_out(
    session: Session,
    now: datetime,
    alerts: Sequence[tuple[Alert, Verdict]],
    retry_schedule: Sequence[int],
) -> None:
    """Tell of alerts by their verdicts: queue, gather in groups, or wait until not muted; and plan
    what is to follow.
    """
    news: list[News] = []
    members: list[Membership] = []
    plans: list[FollowUp] = []
    active = active_webhooks(session, _named_by_rules(alerts))
    for alert, verdict in alerts:
        if verdict.muted_by is not None:
            plans.append(_unmute_later(alert, verdict.muted_by, now))
            continue
        direct = [route for route in verdict.routes if route.group is None]
        targets = _union(direct, active)
        if direct:
            news.append(News(alert, EventType.FIRING, targets, expires_at=alert.expires_at))
        members += [
            Membership(alert, route.rule, route.group)
            for route in verdict.routes
            if route.rule is not None and route.group is not None
        ]
        plans += _plan(alert, verdict.routes, now)
    tell(session, now, news, retry_schedule)
    join(session, members)
    session.add_all(plans)
    session.flush()


def _named_by_rules(alerts: Sequence[tuple[Alert, Verdict]]) -> set[int]:
    return {
        webhook_id
        for _, verdict in alerts
        for route in verdict.routes
        if route.rule is not None
        for webhook_id in route.rule.webhook_ids
    }


def _union(routes: Sequence[Route], active: Collection[int]) -> Sequence[int] | None:
    """All webhooks of the routes, each once; None: every active one. What rules name may be gone
    by now; what an alert names itself was checked when it came.
    """
    if any(route.webhook_ids is None for route in routes):
        return None
    ids = dict.fromkeys(
        webhook_id
        for route in routes
        for webhook_id in route.webhook_ids or ()
        if route.rule is None or webhook_id in active
    )
    return list(ids)


def _plan(alert: Alert, routes: Sequence[Route], now: datetime) -> list[FollowUp]:
    plans = []
    for rule in (route.rule for route in routes if route.rule is not None):
        plans += [
            FollowUp(
                alert_id=alert.id,
                rule_id=rule.id,
                kind=Kind.ESCALATE,
                number=number,
                webhook_ids=list(step.webhook_ids),
                due_at=now + timedelta(minutes=step.after_minutes),
            )
            for number, step in enumerate(rule.steps, 1)
        ]
        if rule.repeat_minutes is not None:
            plans.append(
                FollowUp(
                    alert_id=alert.id,
                    rule_id=rule.id,
                    kind=Kind.REMIND,
                    number=0,
                    repeat_minutes=rule.repeat_minutes,
                    due_at=now + timedelta(minutes=rule.repeat_minutes),
                )
            )
    return plans


def _unmute_later(alert: Alert, muted_by: RoutingDecision, now: datetime) -> FollowUp:
    return FollowUp(
        alert_id=alert.id,
        kind=Kind.UNMUTE,
        number=0,
        waits_for_alert_id=muted_by.alert_id,
        due_at=muted_by.until or now + LOOK_AGAIN,
    )


def alerts_with_follow_ups_due(session: Session, limit: int) -> Sequence[int]:
    """The ids of alerts with something due, the longest due first."""
    return session.scalars(
        select(FollowUp.alert_id)
        .where(FollowUp.done_at.is_(None), FollowUp.due_at <= func.now())
        .group_by(FollowUp.alert_id)
        .order_by(func.min(FollowUp.due_at))
        .limit(limit)
    ).all()


def follow_up(
    session: Session,
    now: datetime,
    events: list[Event],
    alert_id: int,
    retry_schedule: Sequence[int],
) -> int:
    """Do what is due with one alert, unless somebody has it right now: how much was done."""
    alert = session.scalars(
        select(Alert).where(Alert.id == alert_id).with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if alert is None:
        return 0
    due = session.scalars(
        select(FollowUp)
        .where(FollowUp.alert_id == alert_id, FollowUp.done_at.is_(None), FollowUp.due_at <= now)
        .order_by(FollowUp.due_at, FollowUp.id)
    ).all()
    if not due:
        return 0
    table = load_table(session, now)
    for one in due:
        _do(session, now, alert, one, table, retry_schedule)
    session.flush()
    events.append(DeliveriesQueued())
    return len(due)


def _do(
    session: Session,
    now: datetime,
    alert: Alert,
    one: FollowUp,
    table: RoutingTable,
    retry_schedule: Sequence[int],
) -> None:
    if _is_of_deleted_rule(session, one):
        _done(one, now, Outcome.RULE_DELETED)
    elif alert.snoozed_until is not None and alert.snoozed_until > now:
        one.due_at = alert.snoozed_until
    else:
        verdict = table.verdict(session, subject_of(alert), alert.webhook_ids, alert.id)
        if verdict.muted_by is not None:
            note_news(alert, now, verdict.muted_by)
            one.due_at = verdict.muted_by.until or now + LOOK_AGAIN
            one.waits_for_alert_id = verdict.muted_by.alert_id
        elif one.kind == Kind.UNMUTE:
            note(alert, now, verdict.decisions)
            _done(one, now, Outcome.SENT)
            send_out(session, now, [(alert, verdict)], retry_schedule)
        else:
            told = _tell_again(session, now, alert, one, retry_schedule)
            if one.repeat_minutes is not None:
                one.due_at = now + timedelta(minutes=one.repeat_minutes)
            else:
                _done(one, now, Outcome.SENT if told else Outcome.NOBODY_TO_TELL)


def _is_of_deleted_rule(session: Session, one: FollowUp) -> bool:
    """An alert that was routed while its rule was deleted has planned what it should not have."""
    rule = session.get(RoutingRule, one.rule_id) if one.rule_id is not None else None
    return rule is not None and rule.deleted_at is not None


def _tell_again(
    session: Session, now: datetime, alert: Alert, one: FollowUp, retry_schedule: Sequence[int]
) -> bool:
    """Tell the webhooks of a step, or remind those who were told; whether there were any."""
    if one.kind == Kind.ESCALATE:
        return _tell_directly(session, now, alert, one, one.webhook_ids or (), retry_schedule)
    one.number += 1
    grouped = remind(session, now, alert, one.rule_id)
    if grouped and one.rule_id is not None:
        return True  # it is a rule's reminder, and the rule tells in groups
    told = lock_owed(session, DIRECT, {"alert": alert.id}).told
    return _tell_directly(session, now, alert, one, sorted(told), retry_schedule) or grouped


def _tell_directly(
    session: Session,
    now: datetime,
    alert: Alert,
    one: FollowUp,
    webhook_ids: Sequence[int],
    retry_schedule: Sequence[int],
) -> bool:
    owed = lock_owed(session, DIRECT_OR_GROUPED, {"alert": alert.id})
    # Who has not had the message before needs no second one to wait behind it.
    busy = {row.webhook_id for row in owed.open}
    active = active_webhooks(session, webhook_ids)
    targets = [target for target in webhook_ids if target in active and target not in busy]
    if targets:
        news = News(
            alert,
            EventType.FIRING,
            targets,
            extra={"step" if one.kind == Kind.ESCALATE else "reminder": one.number},
            follow_up_id=one.id,
            expires_at=alert.expires_at,
        )
        tell(session, now, [news], retry_schedule)
    return bool(targets)


def _done(one: FollowUp, now: datetime, outcome: Outcome) -> None:
    one.done_at, one.outcome = now, outcome


def end_follow_ups(session: Session, now: datetime, alert: Alert) -> None:
    """Somebody has seen to the alert: nothing follows. Of one that is resolved, what it inhibited
    is looked at at once.
    """
    session.execute(
        update(FollowUp)
        .where(FollowUp.alert_id == alert.id, FollowUp.done_at.is_(None))
        .values(done_at=now, outcome=Outcome(alert.status))
        .execution_options(synchronize_session=False)
    )
    if alert.status == AlertStatus.RESOLVED:
        # Whose alert is being seen to right now looks again by itself, within a minute.
        session.execute(
            text(
                "UPDATE pggit.alert_follow_ups SET due_at = now() WHERE id IN ("
                "SELECT id FROM pggit.alert_follow_ups"
                " WHERE waits_for_alert_id = :alert AND done_at IS NULL FOR UPDATE SKIP LOCKED)"
            ),
            {"alert": alert.id},
        )


def end_follow_ups_of_rule(session: Session, rule_id: int) -> None:
    """A rule is deleted: its steps and reminders end with it."""
    session.execute(
        text(
            # In the order of their alerts: who acknowledges many of them is after these, too.
            "WITH mine AS MATERIALIZED ("
            "SELECT id FROM pggit.alert_follow_ups"
            " WHERE rule_id = :rule AND done_at IS NULL ORDER BY alert_id, id FOR UPDATE"
            ") UPDATE pggit.alert_follow_ups f SET done_at = now(), outcome = :outcome"
            " FROM mine WHERE f.id = mine.id"
        ),
        {"rule": rule_id, "outcome": Outcome.RULE_DELETED},
    )


def look_again_at_muted(session: Session) -> None:
    """Silences or inhibition rules have changed: what they muted is routed again at once."""
    session.execute(
        text(
            "UPDATE pggit.alert_follow_ups SET due_at = now() WHERE id IN ("
            "SELECT id FROM pggit.alert_follow_ups"
            " WHERE kind = 'unmute' AND done_at IS NULL AND due_at > now()"
            " FOR UPDATE SKIP LOCKED)"
        )
    )


def postpone(session: Session, alert: Alert, until: datetime) -> None:
    """Nothing follows before `until`; then who was told is reminded, once."""
    _drop_snooze_reminder(session, alert)
    session.execute(
        update(FollowUp)
        .where(FollowUp.alert_id == alert.id, FollowUp.done_at.is_(None), FollowUp.due_at < until)
        .values(due_at=until)
        .execution_options(synchronize_session=False)
    )
    session.add(FollowUp(alert_id=alert.id, kind=Kind.REMIND, number=0, due_at=until))
    session.flush()


def end_postponement(session: Session, alert: Alert, until: datetime) -> None:
    """What was put off until then may follow now."""
    _drop_snooze_reminder(session, alert)
    session.execute(
        update(FollowUp)
        .where(FollowUp.alert_id == alert.id, FollowUp.done_at.is_(None), FollowUp.due_at == until)
        .values(due_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _drop_snooze_reminder(session: Session, alert: Alert) -> None:
    session.execute(
        text(
            "DELETE FROM pggit.alert_follow_ups WHERE alert_id = :alert AND done_at IS NULL"
            " AND kind = 'remind' AND rule_id IS NULL AND repeat_minutes IS NULL"
        ),
        {"alert": alert.id},
    )
