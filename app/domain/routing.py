"""Routing: whom an alert reaches, and why. Rules, silences and inhibition as frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.matchers import Matcher, Subject, all_match
from app.domain.silences import Silence, SilenceKind, in_force_until


class RoutingReason(StrEnum):
    """Why somebody is told of an alert, or is not."""

    NAMED_BY_ALERT = "named_by_alert"  # the alert's own webhook_ids decide
    RULE_MATCHED = "rule_matched"
    RULE_NOT_MATCHED = "rule_not_matched"
    RULE_NOT_REACHED = "rule_not_reached"  # a rule before it matched and does not continue
    NO_RULE_MATCHED = "no_rule_matched"  # so every active webhook is told
    SILENCED = "silenced"
    IN_MAINTENANCE = "in_maintenance"
    INHIBITED = "inhibited"


class GroupReason(StrEnum):
    """What became of news in a group. What was dropped has the reason that dropped it."""

    GATHERED = "gathered"
    TOLD = "told_with_group"


PLAIN = frozenset({RoutingReason.NAMED_BY_ALERT, RoutingReason.NO_RULE_MATCHED})
MUTING = frozenset({RoutingReason.SILENCED, RoutingReason.IN_MAINTENANCE, RoutingReason.INHIBITED})


@dataclass(frozen=True, slots=True)
class Step:
    """Whom to tell as well when nobody has acknowledged after so many minutes."""

    after_minutes: int
    webhook_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """`group_by` None: each alert is told by itself. `repeat_minutes` None: no reminders."""

    id: int
    matchers: tuple[Matcher, ...]
    webhook_ids: tuple[int, ...]
    continues: bool = False
    group_by: tuple[str, ...] | None = None
    group_wait_seconds: int = 0
    group_interval_seconds: int = 0
    repeat_minutes: int | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One way that an alert takes. `webhook_ids` None: every active webhook; `rule` None: no
    rule made it. `group` holds the values of the rule's `group_by`; None: it is not grouped.
    """

    webhook_ids: tuple[int, ...] | None
    rule: Rule | None = None
    group: dict[str, str] | None = None

    @property
    def reason(self) -> RoutingReason:
        if self.rule is not None:
            return RoutingReason.RULE_MATCHED
        if self.webhook_ids is not None:
            return RoutingReason.NAMED_BY_ALERT
        return RoutingReason.NO_RULE_MATCHED


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert that `source` matches is open, those that `target` matches are muted, if
    they have the same values of `equal`. Two that both match both sides don't mute each other:
    else of two alike nobody would hear.
    """

    id: int
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Subject, target: Subject) -> bool:
        return (
            all_match(self.target, target)
            and all_match(self.source, source)
            and all(source.value(name) == target.value(name) for name in self.equal)
            and not (all_match(self.target, source) and all_match(self.source, target))
        )


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """One thing that was decided, with what decided it."""

    reason: RoutingReason
    rule_id: int | None = None
    silence_id: int | None = None
    inhibition_id: int | None = None
    alert_id: int | None = None  # the open alert that inhibits
    until: datetime | None = None  # when a silence is over


@dataclass(frozen=True, slots=True)
class Verdict:
    """`routes` are the ways it takes if it is not muted. `muted_by` is the decision that mutes it
    now; None: nothing does. `decisions` are all, in the order they were made.
    """

    routes: tuple[Route, ...]
    muted_by: RoutingDecision | None
    decisions: tuple[RoutingDecision, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it follows from the alert alone, so that nobody needs to write it down."""
        return all(decision.reason in PLAIN for decision in self.decisions)


def route(
    subject: Subject, named: Sequence[int] | None, rules: Sequence[Rule]
) -> tuple[tuple[Route, ...], tuple[RoutingDecision, ...]]:
    """The ways of an alert, and why. `named` are the webhooks that it names itself, if it does.

    Rules are tried in their order; the first that matches is the last, unless it continues.
    Where none matches, every active webhook is told: who is told too much can mend it, who
    is not told does not know.
    """
    if named is not None:
        chosen = Route(tuple(dict.fromkeys(named)))
        return (chosen,), (RoutingDecision(chosen.reason),)
    routes: list[Route] = []
    decisions: list[RoutingDecision] = []
    is_over = False
    for rule in rules:
        if is_over:
            decisions.append(RoutingDecision(RoutingReason.RULE_NOT_REACHED, rule.id))
        elif all_match(rule.matchers, subject):
            decisions.append(RoutingDecision(RoutingReason.RULE_MATCHED, rule.id))
            group = (
                None
                if rule.group_by is None
                else {name: subject.value(name) for name in rule.group_by}
            )
            routes.append(Route(rule.webhook_ids, rule, group))
            is_over = not rule.continues
        else:
            decisions.append(RoutingDecision(RoutingReason.RULE_NOT_MATCHED, rule.id))
    if not routes:
        routes.append(Route(None))
        decisions.append(RoutingDecision(routes[0].reason))
    return tuple(routes), tuple(decisions)


def silenced(
    subject: Subject, silences: Sequence[Silence], now: datetime
) -> RoutingDecision | None:
    """What silences it now; of several, the one that lasts longest."""
    found = [
        (until, silence)
        for silence in silences
        if (until := in_force_until(silence, now)) is not None
        and all_match(silence.matchers, subject)
    ]
    if not found:
        return None
    until, silence = max(found, key=lambda one: (one[0], one[1].id))
    reason = (
        RoutingReason.IN_MAINTENANCE
        if silence.kind is SilenceKind.MAINTENANCE
        else RoutingReason.SILENCED
    )
    return RoutingDecision(reason, silence_id=silence.id, until=until)
