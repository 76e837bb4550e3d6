"""Declared queries: what they read, what they are called, what they answer, and what they cost."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from marshmallow import Schema
from sqlalchemy import event

from app.adapters.asking import Asking
from app.adapters.cache.entry import Source
from app.api.schemas import (
    alerts,
    anomalies,
    baselines,
    dashboard,
    incidents,
    inhibition_rules,
    metrics,
    operations,
    routing_rules,
    silences,
    webhooks,
)
from app.errors import NotFound
from app.services import retention
from app.services.queries import plans
from app.services.queries import routing as routing_queries
from app.services.queries.query import Query
from app.services.queries.registry import ALL, TABLES_READ, read_key
from app.services.queries.statistics import slowest
from tests.services import checking
from tests.services.everything import SEVERITY, Asked, fill
from tests.services.world import World, delivered

# What these answer changes by the clock too, so that two readings differ.
BY_THE_CLOCK = {
    "metrics.query",
    "jobs.list",
    "webhooks.health-timeline",
    "dashboard.queue",
    "dashboard.deliveries",
}
SCHEMAS: dict[str, type[Schema]] = {
    "alerts.list": alerts.AlertPage,
    "alerts.get": alerts.AlertSchema,
    "alerts.deliveries": alerts.DeliveryPage,
    "webhooks.deliveries": alerts.DeliveryPage,
    "deliveries.list": alerts.DeliveryPage,
    "deliveries.get": alerts.DeliverySchema,
    "webhooks.list": webhooks.WebhookPage,
    "webhooks.get": webhooks.WebhookSchema,
    "webhooks.health": webhooks.WebhookHealthSchema,
    "webhooks.health-history": webhooks.CheckPage,
    "webhooks.health-timeline": webhooks.TimelineSchema,
    "routing-rules.list": routing_rules.RoutingRulePage,
    "routing-rules.get": routing_rules.RoutingRuleSchema,
    "inhibition-rules.list": inhibition_rules.InhibitionRulePage,
    "inhibition-rules.get": inhibition_rules.InhibitionRuleSchema,
    "silences.list": silences.SilencePage,
    "silences.get": silences.SilenceSchema,
    "metrics.operations": metrics.OperationPage,
    "baselines.list": baselines.BaselinePage,
    "baselines.versions": baselines.VersionPage,
    "baselines.schedules": baselines.SchedulePage,
    "baselines.schedule": baselines.ScheduleSchema,
    "anomalies.list": anomalies.AnomalyPage,
    "incidents.list": incidents.IncidentPage,
    "incidents.get": incidents.IncidentSchema,
    "jobs.list": operations.JobPage,
    "jobs.executions": operations.ExecutionPage,
    "dashboard.queue": operations.QueueSchema,
    "dashboard.deliveries": dashboard.DeliveriesByMinuteSchema,
    "dashboard.webhooks": dashboard.WebhookGridSchema,
    "dashboard.alerts": dashboard.OpenAlertsSchema,
}


@pytest.fixture
def asked(world: World) -> Asked:
    return fill(world)


def ask(world: World, query: Query, arguments: dict[str, Any], *, fresh: bool = False) -> bytes:
    return world.deps.reader.get(query, arguments, fresh=fresh).entry.body


def every(asked: Asked) -> Iterator[tuple[Query, dict[str, Any]]]:
    for name, several in asked.items():
        for arguments in several:
            yield ALL[name], arguments


@pytest.fixture
def statements(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """What goes to PostgreSQL, by SQLAlchemy or by the driver."""
    seen: list[tuple[str, Any]] = []
    engine = world.deps.database.engine
    real = Asking.__call__

    def note(_connection: Any, _cursor: Any, text: str, values: Any, *_more: Any) -> None:
        seen.append((text, values))

    def asking(self: Asking, text: str, values: Any = None) -> Any:
        seen.append((text, values))
        return real(self, text, values)

    monkeypatch.setattr(Asking, "__call__", asking)
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def tables_of(world: World, statement: str, values: Any) -> set[str]:
    """Those that its plan reads, partitions by their parent."""
    with world.deps.reading() as session:
        connection = session.connection()
        plan = connection.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON, VERBOSE) {statement}", values
        ).scalar_one()
        found = {
            f"{node['Schema']}.{node['Relation Name']}"
            for node in _nodes(plan[0]["Plan"])
            if "Relation Name" in node
        }
        parents: dict[str, str] = dict(
            connection.exec_driver_sql(
                "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits"
            ).all()
        )
    return {parents.get(table, table) for table in found if not table.startswith("pg_catalog.")}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


class TestDeclared:
    def test_a_query_reads_what_it_says_and_nothing_else(
        self, world: World, asked: Asked, statements: list[tuple[str, Any]]
    ) -> None:
        assert set(asked) == set(ALL)
        for query, arguments in every(asked):
            statements.clear()
            ask(world, query, arguments, fresh=True)
            made = [
                one for one in statements if one[0].lstrip().upper().startswith(("SELECT", "WITH"))
            ]
            assert made, query.name
            found = set().union(*(tables_of(world, text, values) for text, values in made))
            assert found <= query.reads, (query.name, found - query.reads)

    def test_writes_to_all_of_them_are_heard(self) -> None:
        assert all(query.reads <= TABLES_READ for query in ALL.values())

    def test_a_key_is_read_back(self, asked: Asked) -> None:
        for query, arguments in every(asked):
            given = {name: value for name, value in arguments.items() if value is not None}
            assert read_key(query.key(arguments)) == (query, given)

    def test_the_order_of_arguments_makes_no_other_key(self) -> None:
        query = ALL["alerts.list"]
        assert query.key({"limit": 5, "status": "a&b=c"}) == query.key(
            {"status": "a&b=c", "cursor": None, "limit": 5}
        )

    @pytest.mark.parametrize(
        "key", ["nothing?limit=1", "alerts.list?limit=x", "alerts.list?limit", "", "alerts.get?id="]
    )
    def test_what_is_no_key_is_not_found(self, key: str) -> None:
        with pytest.raises(NotFound):
            read_key(key)

    def test_what_is_encrypted_at_rest_stays_in_the_process(self) -> None:
        assert not ALL["webhooks.list"].shared
        assert not ALL["webhooks.get"].shared


class TestAnswers:
    def test_they_are_as_their_schemas_show_them(self, world: World, asked: Asked) -> None:
        """Down to the text of a time: `dump` of what was read back changes nothing."""
        for query, arguments in every(asked):
            if query.name not in SCHEMAS:
                continue
            said = json.loads(ask(world, query, arguments))
            if "items" in said:
                assert said["items"], query.name
            schema = SCHEMAS[query.name]()
            assert json.loads(json.dumps(schema.dump(_with_times(said)))) == said, query.name

    def test_what_is_not_there_is_not_found_twice(self, world: World) -> None:
        for _ in range(2):
            with pytest.raises(NotFound, match="no such alert"):
                ask(world, ALL["alerts.get"], {"id": 10**15})
        world.sql("SELECT 1")

    def test_the_second_answer_is_from_the_cache_and_a_fresh_one_is_not(self, world: World) -> None:
        reader, query = world.deps.reader, ALL["routing-rules.list"]
        page = {"limit": 20, "cursor": None}
        sources = [
            reader.get(query, page, fresh=fresh).source for fresh in (True, False, False, True)
        ]
        assert sources == [Source.DATABASE, Source.L1, Source.L1, Source.DATABASE]


def _with_times(value: Any) -> Any:
    """Times as they are before they are written, wherever a schema has one."""
    if isinstance(value, dict):
        # An anomaly's row has the expected range by shorter names.
        rows = {name.removeprefix("expected_"): one for name, one in value.items()}
        return {name: _with_times(one) for name, one in (value | rows).items()}
    if isinstance(value, list):
        return [_with_times(one) for one in value]
    if isinstance(value, str) and value[4:5] == "-" and "T" in value:
        return datetime.fromisoformat(value)
    return value


def _writes(world: World, asked: Asked) -> dict[str, Callable[[], object]]:
    """Each kind of write, as the API and the workers make them."""
    hook = asked["webhooks.get"][0]["id"]
    alert = asked["alerts.get"][0]["id"]

    return {
        "an alert is raised": lambda: world.alert(title="three"),
        "it is raised again": lambda: [world.alert(dedup_key="x") for _ in range(2)],
        "somebody acknowledges": lambda: world.acknowledge(alert),
        "it is snoozed": lambda: world.snooze(world.alert()),
        "a message is delivered": lambda: _deliver(world),
        "it is resolved": lambda: world.resolve(alert),
        "a webhook is made": lambda: world.webhook(name="new"),
        "a webhook is changed": lambda: world.change_webhook(hook, name="changed"),
        "a webhook is checked": lambda: checking.check_now(world, 503, 503, 503),
        "a rule is made": lambda: world.rule(hook),
        "a silence is made": lambda: world.silence(SEVERITY),
        "an inhibition is made": lambda: world.inhibition(SEVERITY, SEVERITY),
        "an alert is gone": lambda: _purge(world, alert),
        "a webhook is deleted": lambda: world.delete_webhook(hook),
    }


def _deliver(world: World) -> None:
    world.sql("UPDATE pggit.webhooks SET is_active = true")
    while claimed := world.claim():
        world.complete(*map(delivered, claimed))


def _purge(world: World, alert_id: int) -> None:
    """Once all is told of it."""
    _deliver(world)
    world.sql(
        "UPDATE pggit.alerts SET created_at = now() - interval '9 years',"
        " updated_at = now() - interval '9 years' WHERE id = :id",
        id=alert_id,
    )
    assert retention.purge(world.deps.unit_of_work)["alerts"] == 1


def test_after_each_kind_of_write_the_cache_answers_as_the_database(
    world: World, asked: Asked
) -> None:
    questions = [one for one in every(asked) if one[0].name not in BY_THE_CLOCK]

    def answers(*, fresh: bool = False) -> list[bytes | None]:
        return [_answer(world, *question, fresh=fresh) for question in questions]

    before = answers()
    for what, write in _writes(world, asked).items():
        write()
        now, true = answers(), answers(fresh=True)
        wrong = [
            (question[0].name, cached, fresh)
            for question, cached, fresh in zip(questions, now, true, strict=True)
            if cached != fresh
        ]
        assert not wrong, (what, wrong[0])
        assert true != before, f"{what}, and no answer shows it"
        before = true


def _answer(world: World, query: Query, arguments: dict[str, Any], *, fresh: bool) -> bytes | None:
    try:
        return ask(world, query, arguments, fresh=fresh)
    except NotFound:
        return None


class TestStatistics:
    def test_they_tell_hits_from_misses_and_count_rows(self, world: World, asked: Asked) -> None:
        query, page = ALL["silences.list"], {"limit": 7, "cursor": None}
        before = {one.name: one for one in world.deps.reader.statistics()}.get(query.name)
        for _ in range(3):
            ask(world, query, page)
        with pytest.raises(NotFound):
            ask(world, ALL["silences.get"], {"id": 10**15})
        after = {one.name: one for one in world.deps.reader.statistics()}[query.name]

        def since(name: str) -> int:
            return int(getattr(after, name)) - (int(getattr(before, name)) if before else 0)

        assert [since(name) for name in ("calls", "hits_l1", "misses", "loads", "rows")] == [
            3,
            2,
            1,
            1,
            1,
        ]
        assert after.mean_ms is not None
        assert after.p95_ms is not None
        assert after.p95_ms >= 0

    def test_the_slowest_ten_come_first(self, world: World, asked: Asked) -> None:
        for query, arguments in every(asked):
            _answer(world, query, arguments, fresh=True)
        found = slowest(world.deps.reader.statistics())
        times = [one.p95_ms or 0.0 for one in found]
        assert len(found) == 10
        assert times == sorted(times, reverse=True)

    def test_the_plan_of_a_slow_load_is_kept_without_its_arguments(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slow(reading: Any, _arguments: Any) -> dict[str, Any]:
            reading.session.connection().exec_driver_sql(
                "SELECT pg_sleep(%(seconds)s), 'kept'", {"seconds": plans.SLOW_MS * 1.1 / 1000}
            )
            return {}

        query = replace(routing_queries.ROUTING_RULE, load=slow)
        ask(world, query, {"id": 1}, fresh=True)
        kept = world.deps.reader.plans()[0]
        assert kept.query == query.name
        assert kept.load_ms > plans.SLOW_MS
        assert kept.statement == "SELECT pg_sleep(%(seconds)s), 'kept'"
        assert "Result" in kept.plan[0]
