"""Why a webhook is told, or not: the first reason that holds."""

from dataclasses import replace

import pytest

from app.domain.routing import RoutingReason as Routing
from app.domain.told import NotToldReason as NotTold
from app.domain.told import WebhookFacts, why_told

FACTS = WebhookFacts(
    has_messages=False,
    alert_is_about_it=False,
    is_active=True,
    is_younger_than_alert=False,
    is_named=False,
    in_matched_rule=False,
    group_waits=False,
    step_waits=False,
)
MATCHED = [Routing.RULE_NOT_MATCHED, Routing.RULE_MATCHED]


@pytest.mark.parametrize(
    ("said", "facts", "reason"),
    [
        ([Routing.NO_RULE_MATCHED], {"has_messages": True}, Routing.NO_RULE_MATCHED),
        (MATCHED, {"has_messages": True}, Routing.RULE_MATCHED),
        ([Routing.NAMED_BY_ALERT], {"has_messages": True}, Routing.NAMED_BY_ALERT),
        # What was silenced and told later was told by what matched then.
        (
            [Routing.NO_RULE_MATCHED, Routing.SILENCED, Routing.RULE_MATCHED],
            {"has_messages": True},
            Routing.RULE_MATCHED,
        ),
        (MATCHED, {"alert_is_about_it": True, "is_active": False}, NotTold.ABOUT_ITSELF),
        (MATCHED, {"is_active": False, "in_matched_rule": True}, NotTold.INACTIVE),
        (MATCHED, {"is_younger_than_alert": True}, NotTold.MADE_LATER),
        (MATCHED, {"group_waits": True, "in_matched_rule": True}, NotTold.GROUP_WAITS),
        ([*MATCHED, Routing.SILENCED], {"in_matched_rule": True}, Routing.SILENCED),
        ([*MATCHED, Routing.INHIBITED], {"step_waits": True}, Routing.INHIBITED),
        ([*MATCHED, Routing.IN_MAINTENANCE], {}, Routing.IN_MAINTENANCE),
        (MATCHED, {"step_waits": True}, NotTold.STEP_WAITS),
        ([Routing.NAMED_BY_ALERT], {}, NotTold.NOT_NAMED),
        ([Routing.NAMED_BY_ALERT], {"is_named": True}, NotTold.WAS_INACTIVE),
        (MATCHED, {}, NotTold.NOT_IN_RULE),
        (MATCHED, {"in_matched_rule": True}, NotTold.WAS_INACTIVE),
        ([Routing.NO_RULE_MATCHED], {}, NotTold.WAS_INACTIVE),
    ],
)
def test_the_first_reason_that_holds(
    said: list[Routing], facts: dict[str, bool], reason: Routing | NotTold
) -> None:
    assert why_told(said, replace(FACTS, **facts)) == reason
