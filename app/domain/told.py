"""Why a webhook is told of an alert, or is not: the one reason, at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.routing import MUTING, RoutingReason


class NotToldReason(StrEnum):
    """Why a webhook has no message about an alert, besides the reasons of the routing itself."""

    ABOUT_ITSELF = "alert_is_about_it"
    INACTIVE = "webhook_inactive"
    MADE_LATER = "made_after_the_alert"
    GROUP_WAITS = "group_waits"
    STEP_WAITS = "step_waits"  # it is told when nobody has acknowledged in time
    NOT_NAMED = "not_named_by_alert"
    NOT_IN_RULE = "not_in_matching_rule"
    WAS_INACTIVE = "webhook_was_inactive"  # when the alert was told


@dataclass(frozen=True, slots=True)
class WebhookFacts:
    """What is known of one webhook and one alert."""

    has_messages: bool
    alert_is_about_it: bool
    is_active: bool
    is_younger_than_alert: bool
    is_named: bool  # by the alert itself
    in_matched_rule: bool
    group_waits: bool  # news of the alert waits in a group of a rule that names it
    step_waits: bool  # a step that names it is still to come


def why_told(said: Sequence[RoutingReason], facts: WebhookFacts) -> RoutingReason | NotToldReason:
    """`said` is what the routing decided, the oldest first. The last word counts: what was
    silenced may have been told when the silence was over.
    """
    led_somewhere = [reason for reason in said if reason in _TELLING]
    if facts.has_messages:
        return led_somewhere[-1] if led_somewhere else RoutingReason.NO_RULE_MATCHED
    if facts.alert_is_about_it:
        return NotToldReason.ABOUT_ITSELF
    if not facts.is_active:
        return NotToldReason.INACTIVE
    if facts.is_younger_than_alert:
        return NotToldReason.MADE_LATER
    if facts.group_waits:
        return NotToldReason.GROUP_WAITS
    if said and said[-1] in MUTING:
        return said[-1]
    if facts.step_waits:
        return NotToldReason.STEP_WAITS
    if RoutingReason.NAMED_BY_ALERT in said and not facts.is_named:
        return NotToldReason.NOT_NAMED
    if RoutingReason.RULE_MATCHED in said and not facts.in_matched_rule:
        return NotToldReason.NOT_IN_RULE
    return NotToldReason.MADE_LATER if facts.is_younger_than_alert else NotToldReason.WAS_INACTIVE


_TELLING = frozenset(
    {
        RoutingReason.NAMED_BY_ALERT,
        RoutingReason.RULE_MATCHED,
        RoutingReason.NO_RULE_MATCHED,
    }
)
