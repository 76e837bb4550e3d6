"""Routing rules: whom they may name, and what is left when one is deleted."""

from typing import Any

import pytest

from app.errors import Invalid, NotFound
from app.services import routing_rules
from app.services.groups import Membership, join
from app.services.routing import load_table
from models import Alert
from tests.services.test_routing import CRITICAL
from tests.services.world import World, delivered


def change_rule(world: World, rule: int, **changes: Any) -> None:
    with world.deps.unit_of_work() as work:
        routing_rules.change_rule(work.session, work.now, rule, changes)


def delete_rule(world: World, rule: int) -> None:
    with world.deps.unit_of_work() as work:
        routing_rules.delete_rule(work.session, work.now, rule)


def all_types(world: World, webhook: int) -> list[str]:
    """All that a webhook was told, or is to be."""
    return [
        row[0]
        for row in world.sql(
            "SELECT e.type FROM pggit.deliveries d JOIN pggit.alert_events e"
            " ON e.id = d.event_id WHERE d.webhook_id = :webhook ORDER BY e.id",
            webhook=webhook,
        )
    ]


class TestDeletion:
    """A rule that goes leaves its groups: what they gather is told, and how it ends too."""

    @pytest.fixture
    def hook(self, world: World) -> int:
        return world.webhook()

    @pytest.fixture
    def rule(self, world: World, hook: int) -> int:
        return world.rule(hook, group_by=["host"], group_wait_seconds=600)

    def test_what_it_gathers_is_told_in_its_time(self, world: World, hook: int, rule: int) -> None:
        world.alert()
        delete_rule(world, rule)
        world.agenda()
        assert all_types(world, hook) == []
        world.later(minutes=10)
        world.agenda()
        assert all_types(world, hook) == ["alert.firing"]

    def test_who_was_told_hears_how_it_ends(self, world: World, hook: int, rule: int) -> None:
        alert = world.alert()
        world.later(minutes=10)
        world.agenda()
        world.complete(*map(delivered, world.claim()))
        delete_rule(world, rule)
        world.resolve(alert)
        world.later(minutes=10)
        world.agenda()
        assert all_types(world, hook) == ["alert.firing", "alert.resolved"]

    def test_an_alert_that_is_joining_meanwhile_is_not_lost(
        self, world: World, hook: int, rule: int
    ) -> None:
        """It was routed by the rule, and joins when the rule is gone already."""
        elsewhere = world.webhook()
        alert = world.alert(webhook_ids=[elsewhere])
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
            (taken,) = table.verdict(work.session, CRITICAL, None).routes
            delete_rule(world, rule)
            assert taken.rule is not None
            assert taken.group is not None
            row = work.session.get_one(Alert, alert)
            join(work.session, [Membership(row, taken.rule, taken.group)])
        world.later(minutes=10)
        world.agenda()
        assert all_types(world, hook) == ["alert.firing"]

    def test_its_steps_and_reminders_end(self, world: World, hook: int) -> None:
        steps = [{"after_minutes": 15, "webhook_ids": [hook]}]
        rule = world.rule(hook, steps=steps, repeat_minutes=5)
        world.alert()
        delete_rule(world, rule)
        world.later(minutes=60)
        world.agenda()
        assert all_types(world, hook) == ["alert.firing"]
        outcomes = world.sql("SELECT DISTINCT outcome FROM pggit.alert_follow_ups")
        assert outcomes == [("rule_deleted",)]

    def test_it_is_gone(self, world: World, rule: int) -> None:
        delete_rule(world, rule)
        with pytest.raises(NotFound):
            change_rule(world, rule, name="again")
        with pytest.raises(NotFound):
            delete_rule(world, rule)

    def test_another_group_by_leaves_what_is_gathered(
        self, world: World, hook: int, rule: int
    ) -> None:
        world.alert()
        change_rule(world, rule, group_by=["team"])
        world.alert()
        change_rule(world, rule, group_by=None)
        world.later(minutes=10)
        assert world.agenda()["groups"] == 2
        assert all_types(world, hook) == ["alert.firing"] * 2


def test_a_rule_names_webhooks_that_are_there(world: World) -> None:
    here, gone = world.webhook(is_active=False), world.webhook()
    world.delete_webhook(gone)
    steps = [
        {"after_minutes": 1, "webhook_ids": [here]},
        {"after_minutes": 2, "webhook_ids": [gone]},
    ]
    changes = {"webhook_ids": [here, gone, 10**15], "steps": steps}
    with pytest.raises(Invalid) as refusal:
        change_rule(world, world.rule(here), **changes)
    assert refusal.value.errors == {
        "webhook_ids": [f"There is no webhook {gone}, {10**15}."],
        "steps.1.webhook_ids": [f"There is no webhook {gone}."],
    }
