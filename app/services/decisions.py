"""Decisions about an alert, written down where they can be explained later."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.domain.routing import RoutingDecision, RoutingReason
from models import Alert

MAX_NOTED = 200
# Of rules that did not match there may be many: one entry names them all.
_TOGETHER = (RoutingReason.RULE_NOT_MATCHED, RoutingReason.RULE_NOT_REACHED)


def note(alert: Alert, now: datetime, decisions: Sequence[RoutingDecision]) -> None:
    """Add to the alert's decisions what was decided now. The oldest are kept when there are too
    many: how it began explains more than how it went on.
    """
    noted = [
        {"at": now.isoformat(), "stage": "routing", "reason": reason, "rule_ids": rule_ids}
        for reason in _TOGETHER
        if (rule_ids := [one.rule_id for one in decisions if one.reason is reason])
    ]
    noted += [_shown(one, now) for one in decisions if one.reason not in _TOGETHER]
    alert.decisions = [*alert.decisions, *noted][:MAX_NOTED]


def note_news(alert: Alert, now: datetime, decision: RoutingDecision) -> None:
    """The same, unless it was the last thing that was noted: who looks again every minute and
    finds the same has nothing to say.
    """
    said = _shown(decision, now)
    last = alert.decisions[-1] if alert.decisions else {}
    if said | {"at": None} != last | {"at": None}:
        note(alert, now, [decision])


def noted(alert: Alert) -> Sequence[dict[str, Any]]:
    """What was decided about an alert, the oldest first. What follows from the alert alone was not
    written down.
    """
    if alert.decisions:
        return alert.decisions
    named = alert.webhook_ids is not None
    reason = RoutingReason.NAMED_BY_ALERT if named else RoutingReason.NO_RULE_MATCHED
    return [_shown(RoutingDecision(reason), alert.created_at)]


def _shown(decision: RoutingDecision, now: datetime) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "at": now.isoformat(),
        "stage": "routing",
        "reason": decision.reason,
        "rule_id": decision.rule_id,
        "silence_id": decision.silence_id,
        "inhibition_id": decision.inhibition_id,
        "alert_id": decision.alert_id,
        "until": decision.until.isoformat() if decision.until else None,
    }
    return {name: value for name, value in shown.items() if value is not None}
