"""Routing with the rules, silences and inhibition as they are in the database now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from itertools import repeat
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.matchers import Matcher, Op, Subject, all_match, parse_matchers
from app.domain.routing import (
    Inhibition,
    RoutingDecision,
    RoutingReason,
    Rule,
    Step,
    Verdict,
    route,
    silenced,
)
from app.domain.silences import Recurrence, Silence, SilenceKind
from models import Alert
from models import Silence as SilenceRow

# Of the open alerts that may inhibit one, the newest are looked at.
MAX_SOURCES = 200
# All in one question: an alert that comes in alone asks it each time.
_LOAD = text(
    """
    SELECT
        (SELECT json_agg(r ORDER BY r.position, r.id) FROM pggit.routing_rules r
            WHERE r.is_active),
        (SELECT json_agg(s) FROM pggit.silences s
            WHERE s.starts_at <= :now AND (s.ends_at IS NULL OR s.ends_at > :now)),
        (SELECT json_agg(i ORDER BY i.id) FROM pggit.inhibition_rules i WHERE i.is_active)
    """
)


@dataclass(slots=True)
class RoutingTable:
    """What decides at `now`; good for one transaction."""

    now: datetime
    rules: tuple[Rule, ...]
    silences: tuple[Silence, ...]
    inhibitions: tuple[Inhibition, ...]
    _held: set[int | None] = field(default_factory=set)
    # Alerts that may inhibit, by the rule and the values of `equal`: a storm asks for each once.
    _sources: dict[tuple[int, tuple[str, ...]], Sequence[tuple[int, Subject]]] = field(
        default_factory=dict
    )

    def verdict(
        self,
        session: Session,
        subject: Subject,
        named: Sequence[int] | None,
        alert_id: int | None = None,
    ) -> Verdict:
        """Whom an alert reaches, and why. `alert_id` is its own, if it has one already: no alert
        inhibits itself.
        """
        routes, decisions = route(subject, named, self.rules)
        muted_by = self.muted_by(session, subject, alert_id)
        return Verdict(routes, muted_by, decisions + ((muted_by,) if muted_by else ()))

    def muted_by(
        self, session: Session, subject: Subject, alert_id: int | None
    ) -> RoutingDecision | None:
        """What keeps it from being told of now; None: nothing does."""
        return self._silenced(session, subject) or self._inhibited(session, subject, alert_id)

    def _silenced(self, session: Session, subject: Subject) -> RoutingDecision | None:
        found = silenced(subject, self.silences, self.now)
        while found is not None and found.silence_id not in self._held:
            self._hold(session, found.silence_id)
            found = silenced(subject, self.silences, self.now)
        return found

    def _hold(self, session: Session, silence_id: int | None) -> None:
        """See a silence as it is now, and keep it so until the commit: who ends it must find the
        alerts that it mutes here, or they would wait for an end that was taken back.
        """
        fresh = session.scalars(
            select(SilenceRow)
            .where(SilenceRow.id == silence_id)
            .with_for_update(read=True)
            .execution_options(populate_existing=True)
        )
        others = tuple(one for one in self.silences if one.id != silence_id)
        self.silences = others + tuple(silence_of_row(row) for row in fresh)
        self._held.add(silence_id)

    def _inhibited(
        self, session: Session, subject: Subject, alert_id: int | None
    ) -> RoutingDecision | None:
        for rule in self.inhibitions:
            if not all_match(rule.target, subject):
                continue
            equal = tuple(subject.value(name) for name in rule.equal)
            if (rule.id, equal) not in self._sources:
                self._sources[rule.id, equal] = _open_sources(session, rule, equal)
            for source_id, source in self._sources[rule.id, equal]:
                if source_id != alert_id and rule.mutes(source, subject):
                    return RoutingDecision(
                        RoutingReason.INHIBITED, inhibition_id=rule.id, alert_id=source_id
                    )
        return None


def load_table(session: Session, now: datetime) -> RoutingTable:
    rules, silences, inhibitions = session.execute(_LOAD, {"now": now}).one()
    return RoutingTable(
        now,
        tuple(rule_of(row) for row in rules or ()),
        tuple(silence_of(row) for row in silences or ()),
        tuple(
            Inhibition(
                row["id"],
                parse_matchers(row["source_matchers"]),
                parse_matchers(row["target_matchers"]),
                tuple(row["equal"]),
            )
            for row in inhibitions or ()
        ),
    )


def rule_of(row: Mapping[str, Any]) -> Rule:
    """A rule from its columns."""
    return Rule(
        id=row["id"],
        matchers=parse_matchers(row["matchers"]),
        webhook_ids=tuple(row["webhook_ids"]),
        continues=row["continues"],
        group_by=None if row["group_by"] is None else tuple(row["group_by"]),
        group_wait_seconds=row["group_wait_seconds"],
        group_interval_seconds=row["group_interval_seconds"],
        repeat_minutes=row["repeat_minutes"],
        steps=tuple(
            Step(step["after_minutes"], tuple(step["webhook_ids"])) for step in row["steps"]
        ),
    )


def silence_of(row: Mapping[str, Any]) -> Silence:
    """A silence from its columns; times may be texts, as they are in JSON."""
    recurrence = row["recurrence"]
    return Silence(
        id=row["id"],
        kind=SilenceKind(row["kind"]),
        matchers=parse_matchers(row["matchers"]),
        starts_at=_time(row["starts_at"]),
        ends_at=None if row["ends_at"] is None else _time(row["ends_at"]),
        recurrence=None
        if recurrence is None
        else Recurrence(
            frozenset(recurrence["days"]),
            time.fromisoformat(recurrence["from"]),
            time.fromisoformat(recurrence["to"]),
            recurrence["time_zone"],
        ),
    )


def silence_of_row(row: SilenceRow) -> Silence:
    return silence_of({column.name: getattr(row, column.name) for column in SilenceRow.__table__.c})


def _time(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _open_sources(
    session: Session, rule: Inhibition, equal: Sequence[str]
) -> Sequence[tuple[int, Subject]]:
    """Open alerts that the rule's source matches and that may have these values of its `equal`,
    the newest first. What can be asked by the index of labels is; the caller judges the rest.
    """
    wanted = [one for one in rule.source if one.op is Op.EQUAL]
    wanted += map(Matcher, rule.equal, repeat(Op.EQUAL), equal)
    statement = select(Alert.id, Alert.severity, Alert.source, Alert.labels).where(
        Alert.status != "resolved"
    )
    labels: dict[str, str] = {}
    for one in wanted:
        if one.name in {"severity", "source"}:
            # A missing source and an empty one are the same to a matcher: left to the caller.
            if one.value:
                statement = statement.where(getattr(Alert, one.name) == one.value)
        elif one.value:
            labels[one.name] = one.value
    if labels:
        statement = statement.where(Alert.labels.contains(labels))
    rows = session.execute(statement.order_by(Alert.id.desc()).limit(MAX_SOURCES))
    found = ((row.id, Subject(row.severity, row.source, row.labels)) for row in rows)
    return [(alert_id, source) for alert_id, source in found if all_match(rule.source, source)]
