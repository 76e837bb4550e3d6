"""Routing: the order of rules, groups, silences that win, and inhibition."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.matchers import Subject, read_matcher
from app.domain.routing import (
    MUTING,
    Inhibition,
    Route,
    RoutingDecision,
    RoutingReason,
    Rule,
    route,
    silenced,
)
from app.domain.silences import Silence, SilenceKind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALERT = Subject("critical", None, {"host": "db-1", "team": "storage"})

NAMED = RoutingReason.NAMED_BY_ALERT
MATCHED = RoutingReason.RULE_MATCHED
NOT_MATCHED = RoutingReason.RULE_NOT_MATCHED
NOT_REACHED = RoutingReason.RULE_NOT_REACHED
NO_RULE = RoutingReason.NO_RULE_MATCHED


def rule(rule_id: int, *matchers: str, **fields: Any) -> Rule:
    """A rule that tells the webhook of its own number."""
    read = tuple(read_matcher(text) for text in matchers)
    return Rule(rule_id, read, **({"webhook_ids": (rule_id,)} | fields))


STORAGE, NETWORK = "team=storage", "team=network"


@pytest.mark.parametrize(
    ("rules", "told", "reasons"),
    [
        ([], [None], [(NO_RULE, None)]),
        ([rule(1)], [(1,)], [(MATCHED, 1)]),
        ([rule(1, STORAGE)], [(1,)], [(MATCHED, 1)]),
        ([rule(1, NETWORK)], [None], [(NOT_MATCHED, 1), (NO_RULE, None)]),
        ([rule(1, STORAGE, "severity=info")], [None], [(NOT_MATCHED, 1), (NO_RULE, None)]),
        # The first that matches ends it.
        (
            [rule(1, NETWORK), rule(2, STORAGE), rule(3)],
            [(2,)],
            [(NOT_MATCHED, 1), (MATCHED, 2), (NOT_REACHED, 3)],
        ),
        # In the order given, whatever their ids.
        ([rule(2), rule(1)], [(2,)], [(MATCHED, 2), (NOT_REACHED, 1)]),
        # One that continues lets the rest be tried.
        (
            [rule(1, continues=True), rule(2, NETWORK), rule(3), rule(4)],
            [(1,), (3,)],
            [(MATCHED, 1), (NOT_MATCHED, 2), (MATCHED, 3), (NOT_REACHED, 4)],
        ),
        # That nothing comes after it is no reason to tell everybody.
        (
            [rule(1, continues=True), rule(2, NETWORK)],
            [(1,)],
            [(MATCHED, 1), (NOT_MATCHED, 2)],
        ),
        # One that continues but does not match changes nothing.
        (
            [rule(1, NETWORK, continues=True), rule(2)],
            [(2,)],
            [(NOT_MATCHED, 1), (MATCHED, 2)],
        ),
    ],
)
def test_the_order_of_rules(
    rules: Sequence[Rule],
    told: Sequence[tuple[int, ...] | None],
    reasons: Sequence[tuple[RoutingReason, int | None]],
) -> None:
    routes, decisions = route(ALERT, None, rules)
    assert [one.webhook_ids for one in routes] == told
    assert [(one.reason, one.rule_id) for one in decisions] == reasons
    # Every rule is accounted for.
    assert {one.rule_id for one in decisions} >= {one.id for one in rules}


def test_an_alert_that_names_its_webhooks_asks_no_rule() -> None:
    routes, decisions = route(ALERT, [7, 5, 7], [rule(1)])
    assert routes == (Route((7, 5)),)
    assert decisions == (RoutingDecision(NAMED),)


def test_a_route_says_why_it_is_there() -> None:
    (named,), _ = route(ALERT, [7], [])
    (matched,), _ = route(ALERT, None, [rule(1)])
    (everybody,), _ = route(ALERT, None, [])
    assert [one.reason for one in (named, matched, everybody)] == [NAMED, MATCHED, NO_RULE]


@pytest.mark.parametrize(
    ("group_by", "group"),
    [
        (None, None),
        ((), {}),
        (("host",), {"host": "db-1"}),
        (("severity", "absent"), {"severity": "critical", "absent": ""}),
    ],
)
def test_groups_have_the_values_of_their_labels(
    group_by: tuple[str, ...] | None, group: dict[str, str] | None
) -> None:
    (taken,), _ = route(ALERT, None, [rule(1, group_by=group_by)])
    assert taken.group == group


class TestSilenced:
    @staticmethod
    def silence(
        silence_id: int, hours: float, *matchers: str, kind: SilenceKind = SilenceKind.SILENCE
    ) -> Silence:
        read = tuple(read_matcher(text) for text in matchers)
        return Silence(
            silence_id, kind, read, NOW - timedelta(hours=1), NOW + timedelta(hours=hours)
        )

    def test_nothing_silences_it(self) -> None:
        assert silenced(ALERT, [], NOW) is None
        others = [self.silence(1, 1, NETWORK), self.silence(2, 0, STORAGE)]
        assert silenced(ALERT, others, NOW) is None

    def test_of_several_the_one_that_lasts_longest(self) -> None:
        several = [
            self.silence(1, 1, STORAGE),
            self.silence(2, 3, STORAGE),
            self.silence(3, 2, STORAGE),
            self.silence(4, 9, NETWORK),
        ]
        for order in (several, several[::-1]):
            assert silenced(ALERT, order, NOW) == RoutingDecision(
                RoutingReason.SILENCED, silence_id=2, until=NOW + timedelta(hours=3)
            )

    def test_maintenance_is_called_so(self) -> None:
        window = self.silence(1, 1, 'severity=~".*"', kind=SilenceKind.MAINTENANCE)
        found = silenced(ALERT, [window], NOW)
        assert found is not None
        assert found.reason is RoutingReason.IN_MAINTENANCE
        assert found.reason in MUTING


class TestInhibition:
    RULE = Inhibition(
        1,
        source=(read_matcher("name=HostDown"),),
        target=(read_matcher('severity=~"warning|critical"'),),
        equal=("host",),
    )
    DOWN = Subject("critical", None, {"name": "HostDown", "host": "db-1"})

    @pytest.mark.parametrize(
        ("target", "muted"),
        [
            (Subject("warning", None, {"host": "db-1"}), True),
            (Subject("warning", None, {"host": "db-2"}), False),
            (Subject("info", None, {"host": "db-1"}), False),
            (Subject("warning", None, {}), False),
        ],
    )
    def test_targets_with_the_same_labels_are_muted(self, target: Subject, muted: bool) -> None:
        assert self.RULE.mutes(self.DOWN, target) is muted

    def test_an_alert_that_is_no_source_mutes_nobody(self) -> None:
        target = Subject("warning", None, {"host": "db-1"})
        assert not self.RULE.mutes(Subject("critical", None, {"host": "db-1"}), target)

    def test_a_label_that_both_lack_is_the_same(self) -> None:
        down = Subject("critical", None, {"name": "HostDown"})
        assert self.RULE.mutes(down, Subject("warning", None, {"host": ""}))

    def test_two_of_a_kind_do_not_mute_each_other(self) -> None:
        """Else of two hosts that are down in one rack neither would be told of."""
        other = Subject("critical", None, self.DOWN.labels | {"rack": "7"})
        assert not self.RULE.mutes(self.DOWN, other)
        assert not self.RULE.mutes(other, self.DOWN)
        # One that could mute, but can't be muted, does.
        info = Subject("info", None, self.DOWN.labels)
        assert self.RULE.mutes(info, other)
        assert not self.RULE.mutes(other, info)
