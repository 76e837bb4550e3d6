"""Routing by what the database holds: one question for all rules, inhibition by an index."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.domain.matchers import Matcher, Op, Subject
from app.domain.routing import RoutingReason, Step, Verdict
from app.domain.silences import Recurrence
from app.services import inhibition_rules, routing_rules, silences
from app.services.routing import load_table
from tests.services.world import World

CRITICAL = Subject("critical", None, {"host": "db-1", "team": "storage"})
STORAGE = [{"name": "team", "op": "=", "value": "storage"}]
DOWN = {"name": "HostDown", "host": "db-1", "team": "storage"}
# As the API fills them in.
RULE: dict[str, Any] = {
    "name": "test",
    "position": 0,
    "is_active": True,
    "matchers": [],
    "continues": False,
    "group_by": None,
    "group_wait_seconds": 30,
    "group_interval_seconds": 300,
    "repeat_minutes": None,
    "steps": [],
}


def make_rule(world: World, **fields: Any) -> int:
    with world.deps.unit_of_work() as work:
        return routing_rules.create_rule(work.session, RULE | fields).id


def make_silence(world: World, hours: float = 1, **fields: Any) -> int:
    with world.deps.unit_of_work() as work:
        data = {
            "kind": "silence",
            "comment": None,
            "matchers": STORAGE,
            "starts_at": work.now,
            "ends_at": work.now + timedelta(hours=hours),
            "recurrence": None,
        }
        return silences.create_silence(work.session, work.now, data | fields, "tester").row.id


def make_inhibition(world: World, source: Any, target: Any, equal: tuple[str, ...] = ()) -> int:
    data = {
        "name": "test",
        "is_active": True,
        "source_matchers": source,
        "target_matchers": target,
        "equal": list(equal),
    }
    with world.deps.unit_of_work() as work:
        return inhibition_rules.create_rule(work.session, data).id


def change_rule(world: World, rule: int, **changes: Any) -> None:
    with world.deps.unit_of_work() as work:
        routing_rules.change_rule(work.session, work.now, rule, changes)


def matcher(name: str, op: str, value: str) -> dict[str, str]:
    return {"name": name, "op": op, "value": value}


def verdict(
    world: World, subject: Subject = CRITICAL, alert_id: int | None = None, **fields: Any
) -> Verdict:
    with world.deps.unit_of_work() as work:
        table = load_table(work.session, work.now)
        return table.verdict(work.session, subject, fields.get("named"), alert_id)


@contextmanager
def statements(world: World) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """What was sent to PostgreSQL meanwhile, with its parameters."""
    sent: list[tuple[str, Mapping[str, Any]]] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    engine = world.deps.database.engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", listen)


class TestTable:
    def test_everything_comes_back_as_it_was_stored(self, world: World) -> None:
        webhook = world.webhook()
        make_rule(
            world,
            matchers=[matcher("host", "=~", "db-.+"), matcher("severity", "!=", "info")],
            webhook_ids=[webhook],
            continues=True,
            group_by=["host"],
            group_wait_seconds=5,
            group_interval_seconds=60,
            repeat_minutes=30,
            steps=[{"after_minutes": 10, "webhook_ids": [webhook]}],
        )
        recurrence = {"days": ["sat"], "from": "22:00", "to": "06:00", "time_zone": "Asia/Kolkata"}
        make_silence(world, recurrence=recurrence, kind="maintenance", ends_at=None)
        make_inhibition(world, STORAGE, STORAGE, ("host",))
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
        (rule,) = table.rules
        assert rule.matchers == (
            Matcher("host", Op.MATCHES, "db-.+"),
            Matcher("severity", Op.NOT_EQUAL, "info"),
        )
        assert (rule.webhook_ids, rule.continues, rule.group_by) == ((webhook,), True, ("host",))
        assert (rule.group_wait_seconds, rule.group_interval_seconds) == (5, 60)
        assert (rule.repeat_minutes, rule.steps) == (30, (Step(10, (webhook,)),))
        (silence,) = table.silences
        assert (silence.kind, silence.ends_at) == ("maintenance", None)
        assert silence.starts_at <= table.now
        assert silence.recurrence is not None
        assert isinstance(silence.recurrence, Recurrence)
        assert silence.recurrence.begins.hour == 22
        assert silence.recurrence.time_zone == "Asia/Kolkata"
        (inhibition,) = table.inhibitions
        assert inhibition.source == inhibition.target == (Matcher("team", Op.EQUAL, "storage"),)
        assert inhibition.equal == ("host",)

    def test_an_empty_database_tells_everybody(self, world: World) -> None:
        found = verdict(world)
        assert [one.webhook_ids for one in found.routes] == [None]
        assert found.muted_by is None

    def test_rules_are_tried_by_position_then_by_id(self, world: World) -> None:
        webhook = world.webhook()
        last, first, second = (
            make_rule(world, position=position, webhook_ids=[webhook], continues=True)
            for position in (7, 3, 3)
        )
        tried = [one.rule_id for one in verdict(world).decisions]
        assert tried == [first, second, last]

    def test_what_is_inactive_deleted_over_or_not_yet_decides_nothing(self, world: World) -> None:
        webhook = world.webhook()
        make_rule(world, webhook_ids=[webhook], is_active=False)
        gone = make_rule(world, webhook_ids=[webhook])
        with world.deps.unit_of_work() as work:
            routing_rules.delete_rule(work.session, work.now, gone)
            soon = work.now + timedelta(hours=1)
        make_silence(world, starts_at=soon, ends_at=soon + timedelta(hours=1))
        over = make_silence(world)
        with world.deps.unit_of_work() as work:
            silences.expire_silence(work.session, work.now, over)
        found = verdict(world)
        assert [one.reason for one in found.decisions] == [RoutingReason.NO_RULE_MATCHED]
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
        assert (table.rules, table.silences) == ((), ())

    def test_a_thousand_rules_are_one_question(self, world: World) -> None:
        webhook = world.webhook()
        with world.deps.unit_of_work() as work:
            for number in range(1000):
                matchers = [matcher("host", "=~", f"db-{number}|web-{number}")]
                routing_rules.create_rule(
                    work.session, RULE | {"matchers": matchers, "webhook_ids": [webhook]}
                )
        subject = Subject("info", None, {"host": "web-999"})
        with world.deps.unit_of_work() as work, statements(world) as sent:
            found = load_table(work.session, work.now).verdict(work.session, subject, None)
        assert len(sent) == 1
        assert len(found.decisions) == 1000
        assert found.decisions[-1].reason is RoutingReason.RULE_MATCHED


class TestInhibition:
    def rule(self, world: World, equal: tuple[str, ...] = ("host",)) -> int:
        return make_inhibition(
            world,
            [matcher("name", "=", "HostDown")],
            [matcher("severity", "=~", "warning|info"), matcher("name", "!=", "HostDown")],
            equal,
        )

    def muted_by(self, world: World, **labels: str) -> int | None:
        found = verdict(world, Subject("warning", None, labels)).muted_by
        if found is None:
            return None
        assert found.reason is RoutingReason.INHIBITED
        assert found.until is None
        return found.alert_id

    def test_while_the_parent_is_open_its_children_are_muted(self, world: World) -> None:
        rule = self.rule(world)
        parent = world.alert(labels=DOWN)
        found = verdict(world, Subject("warning", None, {"host": "db-1", "name": "Slow"})).muted_by
        assert found is not None
        assert (found.inhibition_id, found.alert_id) == (rule, parent)
        assert self.muted_by(world, host="db-2") is None
        # Somebody knows of it, but it is not over.
        world.acknowledge(parent)
        assert self.muted_by(world, host="db-1") == parent
        world.resolve(parent)
        assert self.muted_by(world, host="db-1") is None

    def test_without_labels_to_compare_one_source_is_enough(self, world: World) -> None:
        self.rule(world, equal=())
        parent = world.alert(labels=DOWN)
        assert self.muted_by(world, host="web-9") == parent

    @pytest.mark.parametrize("name", ["severity", "source"])
    def test_its_own_fields_are_compared_too(self, world: World, name: str) -> None:
        self.rule(world, equal=(name,))
        world.alert(labels=DOWN, severity="critical", source="node")
        same = world.alert(labels=DOWN, severity="warning", source="probe")
        subject = Subject("warning", "probe", {})
        found = verdict(world, subject).muted_by
        assert found is not None
        assert found.alert_id == same

    def test_no_alert_inhibits_itself(self, world: World) -> None:
        make_inhibition(world, STORAGE, STORAGE)
        own = world.alert(labels={"team": "storage"})
        assert verdict(world, CRITICAL, alert_id=own).muted_by is None

    def test_of_two_alike_both_are_told(self, world: World) -> None:
        """Each matches both sides of the rule; if they muted each other, nobody would hear."""
        make_inhibition(world, STORAGE, STORAGE)
        world.alert(labels={"team": "storage"})
        assert verdict(world, CRITICAL).muted_by is None

    @pytest.mark.parametrize(("op", "value"), [("=~", "Host(Down|Gone)"), ("!~", "Slow|Full|")])
    def test_sources_are_found_by_patterns_too(self, world: World, op: str, value: str) -> None:
        make_inhibition(
            world, [matcher("name", op, value)], [matcher("name", "=", "Slow")], ("host",)
        )
        world.alert(labels={"name": "Full", "host": "db-1"})
        parent = world.alert(labels=DOWN)
        world.alert(labels={"name": "Slow", "host": "db-1"})
        assert self.muted_by(world, name="Slow", host="db-1") == parent

    def test_the_parent_is_found_among_many_by_the_index_on_labels(self, world: World) -> None:
        self.rule(world)
        parent = world.alert(labels=DOWN)
        world.sql(
            "INSERT INTO pggit.alerts (title, severity, labels, created_by) SELECT 'child', 'info',"
            " jsonb_build_object('host', 'host-' || n, 'name', 'Slow'), 'tester'"
            " FROM generate_series(1, 5000) n"
        )
        world.sql("ANALYZE pggit.alerts")
        with statements(world) as sent:
            assert self.muted_by(world, host="db-1") == parent
        (statement, parameters) = sent[-1]
        assert "FROM pggit.alerts" in statement
        with world.deps.reading() as session:
            plan = session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters)
            assert "ix_alerts_open_labels" in "\n".join(row[0] for row in plan)
