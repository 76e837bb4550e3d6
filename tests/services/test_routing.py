"""Routing by what the database holds: one question for all rules, inhibition by an index."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.domain.matchers import Matcher, Op, Subject, read_matcher
from app.domain.routing import RoutingReason, Step, Verdict
from app.services import routing_rules, silences
from app.services.routing import RoutingTable, load_table
from tests.services.world import World, stored_matcher

CRITICAL = Subject("critical", None, {"host": "db-1", "team": "storage"})
STORAGE = read_matcher("team=storage")
HOST_DOWN = read_matcher("name=HostDown")
DOWN = {"name": "HostDown", "host": "db-1", "team": "storage"}


def loaded(world: World) -> RoutingTable:
    with world.deps.unit_of_work() as work:
        return load_table(work.session, work.now)


def verdict(world: World, subject: Subject = CRITICAL, alert_id: int | None = None) -> Verdict:
    with world.deps.unit_of_work() as work:
        table = load_table(work.session, work.now)
        return table.verdict(work.session, subject, None, alert_id)


@contextmanager
def statements(world: World) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """What is sent to PostgreSQL meanwhile, with its parameters."""
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
        hook = world.webhook()
        matchers = (read_matcher("host=~db-.+"), read_matcher("severity!=info"))
        world.rule(
            hook,
            matchers=[stored_matcher(one) for one in matchers],
            continues=True,
            group_by=["host"],
            group_wait_seconds=5,
            group_interval_seconds=60,
            repeat_minutes=30,
            steps=[{"after_minutes": 10, "webhook_ids": [hook]}],
        )
        recurrence = {"days": ["sat"], "from": "22:00", "to": "06:00", "time_zone": "Asia/Kolkata"}
        world.silence(STORAGE, recurrence=recurrence, kind="maintenance", ends_at=None)
        world.inhibition(HOST_DOWN, STORAGE, "host")
        table = loaded(world)
        (rule,) = table.rules
        assert (rule.matchers, rule.webhook_ids, rule.continues) == (matchers, (hook,), True)
        assert (rule.group_by, rule.steps) == (("host",), (Step(10, (hook,)),))
        assert (rule.group_wait_seconds, rule.group_interval_seconds) == (5, 60)
        assert rule.repeat_minutes == 30
        (silence,) = table.silences
        assert (silence.kind, silence.ends_at) == ("maintenance", None)
        assert silence.starts_at <= table.now
        assert silence.recurrence is not None
        assert silence.recurrence.begins.hour == 22
        assert silence.recurrence.time_zone == "Asia/Kolkata"
        (inhibition,) = table.inhibitions
        assert (inhibition.source, inhibition.target) == ((HOST_DOWN,), (STORAGE,))
        assert inhibition.equal == ("host",)

    def test_an_empty_database_tells_everybody(self, world: World) -> None:
        found = verdict(world)
        assert [one.webhook_ids for one in found.routes] == [None]
        assert found.muted_by is None

    def test_rules_are_tried_by_position_then_by_id(self, world: World) -> None:
        last, first, second = (world.rule(1, position=at, continues=True) for at in (7, 3, 3))
        assert [one.rule_id for one in verdict(world).decisions] == [first, second, last]

    def test_what_is_inactive_deleted_over_or_not_yet_decides_nothing(self, world: World) -> None:
        world.rule(1, is_active=False)
        gone = world.rule(1)
        over = world.silence(STORAGE)
        with world.deps.unit_of_work() as work:
            routing_rules.delete_rule(work.session, work.now, gone)
            silences.expire_silence(work.session, work.now, over)
            soon = work.now + timedelta(hours=1)
        world.silence(STORAGE, starts_at=soon, ends_at=soon + timedelta(hours=1))
        table = loaded(world)
        assert (table.rules, table.silences) == ((), ())
        assert [one.reason for one in verdict(world).decisions] == [RoutingReason.NO_RULE_MATCHED]

    def test_a_thousand_rules_are_one_question(self, world: World) -> None:
        world.sql(
            "INSERT INTO pggit.routing_rules (name, webhook_ids, matchers)"
            " SELECT 'test', '{1}', jsonb_build_array(jsonb_build_object("
            "'name', 'host', 'op', '=~', 'value', format('db-%s|web-%s', n, n)))"
            " FROM generate_series(1, 1000) n"
        )
        subject = Subject("info", None, {"host": "web-1000"})
        with world.deps.unit_of_work() as work, statements(world) as sent:
            found = load_table(work.session, work.now).verdict(work.session, subject, None)
        assert len(sent) == 1
        assert len(found.decisions) == 1000
        assert found.decisions[-1].reason is RoutingReason.RULE_MATCHED


class TestInhibition:
    def rule(self, world: World, *equal: str) -> int:
        return world.inhibition(HOST_DOWN, read_matcher("severity=~warning|info"), *equal)

    def muted_by(self, world: World, **labels: str) -> int | None:
        found = verdict(world, Subject("warning", None, labels)).muted_by
        if found is None:
            return None
        assert found.reason is RoutingReason.INHIBITED
        assert found.until is None
        return found.alert_id

    def test_while_the_parent_is_open_its_children_are_muted(self, world: World) -> None:
        rule = self.rule(world, "host")
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
        self.rule(world)
        parent = world.alert(labels=DOWN)
        assert self.muted_by(world, host="web-9") == parent

    @pytest.mark.parametrize("name", ["severity", "source"])
    def test_its_own_fields_are_compared_too(self, world: World, name: str) -> None:
        self.rule(world, name)
        world.alert(labels=DOWN, severity="critical", source="node")
        same = world.alert(labels=DOWN, severity="warning", source="probe")
        found = verdict(world, Subject("warning", "probe", {})).muted_by
        assert found is not None
        assert found.alert_id == same

    def test_no_alert_inhibits_itself(self, world: World) -> None:
        world.inhibition(STORAGE, read_matcher("host=db-1"))
        own = world.alert(labels=CRITICAL.labels)
        assert verdict(world, CRITICAL, alert_id=own).muted_by is None

    def test_of_two_alike_both_are_told(self, world: World) -> None:
        """Each matches both sides of the rule; if they muted each other, nobody would hear."""
        hook = world.webhook()
        world.inhibition(STORAGE, STORAGE)
        one, two = (world.alert(labels={"team": "storage"}) for _ in range(2))
        assert world.told(one) == world.told(two) == [("alert.firing", hook, "pending")]

    @pytest.mark.parametrize(("op", "value"), [("=~", "Host(Down|Gone)"), ("!~", "Slow|Full|")])
    def test_sources_are_found_by_patterns_too(self, world: World, op: str, value: str) -> None:
        world.inhibition(Matcher("name", Op(op), value), read_matcher("name=Slow"), "host")
        world.alert(labels={"name": "Full", "host": "db-1"})
        parent = world.alert(labels=DOWN)
        world.alert(labels={"name": "Slow", "host": "db-1"})
        assert self.muted_by(world, name="Slow", host="db-1") == parent

    def test_in_a_storm_each_parent_is_asked_for_once(self, world: World) -> None:
        self.rule(world, "host")
        parent = world.alert(labels=DOWN)
        children = [
            Subject("info", None, {"host": host, "name": f"Slow{number}"})
            for number in range(20)
            for host in ("db-1", "db-2")
        ]
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
            with statements(world) as sent:
                found = [table.verdict(work.session, one, None).muted_by for one in children]
        assert [one and one.alert_id for one in found] == [parent, None] * 20
        assert len(sent) == 2

    def test_the_parent_is_found_among_many_by_the_index_on_labels(self, world: World) -> None:
        self.rule(world, "host")
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
