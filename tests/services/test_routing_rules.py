"""Routing rules: whom they may name, and what is left when one is deleted."""

import pytest

from app.domain.alerts import EventType
from app.errors import Invalid, NotFound
from app.services import routing_rules
from app.services.groups import Membership, add_news, flush_group, join
from app.services.routing import load_table
from models import Alert
from tests.services.test_routing import CRITICAL, change_rule, make_rule
from tests.services.world import World, delivered


class TestDeletedRule:
    """A rule that goes leaves its groups: what they gather is told, and how it ends too."""

    @pytest.fixture
    def webhook(self, world: World) -> int:
        return world.webhook()

    @pytest.fixture
    def rule(self, world: World, webhook: int) -> int:
        return make_rule(world, webhook_ids=[webhook], group_by=["host"], group_wait_seconds=600)

    def gather(self, world: World) -> int:
        """An alert of which a group waits to tell."""
        alert = world.alert(webhook_ids=[world.webhook(is_active=False)])
        with world.deps.unit_of_work() as work:
            (taken,) = (
                load_table(work.session, work.now).verdict(work.session, CRITICAL, None).routes
            )
            assert taken.rule is not None
            assert taken.group is not None
            row = work.session.get_one(Alert, alert)
            join(work.session, work.now, [Membership(row, taken.rule, taken.group)])
        return alert

    @staticmethod
    def flush(world: World) -> None:
        with world.deps.unit_of_work() as work:
            for (group_id,) in world.sql("SELECT id FROM pggit.alert_groups"):
                flush_group(work.session, work.now, work.events, group_id, even_early=True)

    @staticmethod
    def delete(world: World, rule: int) -> None:
        with world.deps.unit_of_work() as work:
            routing_rules.delete_rule(work.session, work.now, rule)

    @staticmethod
    def told(world: World, webhook: int) -> list[str]:
        return [
            row[0]
            for row in world.sql(
                "SELECT e.type FROM pggit.deliveries d JOIN pggit.alert_events e"
                " ON e.id = d.event_id WHERE d.webhook_id = :webhook ORDER BY e.id",
                webhook=webhook,
            )
        ]

    def test_what_it_gathers_is_told_in_its_time(
        self, world: World, webhook: int, rule: int
    ) -> None:
        self.gather(world)
        self.delete(world, rule)
        assert self.told(world, webhook) == []
        self.flush(world)
        assert self.told(world, webhook) == ["alert.firing"]

    def test_who_was_told_hears_how_it_ends(self, world: World, webhook: int, rule: int) -> None:
        alert = self.gather(world)
        self.flush(world)
        (claimed,) = world.claim()
        world.complete(delivered(claimed))
        self.delete(world, rule)
        with world.deps.unit_of_work() as work:
            row = work.session.get_one(Alert, alert)
            add_news(work.session, work.now, row, EventType.RESOLVED)
        self.flush(world)
        assert self.told(world, webhook) == ["alert.firing", "alert.resolved"]

    def test_an_alert_that_is_joining_when_it_goes_is_not_lost(
        self, world: World, webhook: int, rule: int
    ) -> None:
        alert = world.alert(webhook_ids=[world.webhook(is_active=False)])
        with world.deps.unit_of_work() as work:
            (taken,) = (
                load_table(work.session, work.now).verdict(work.session, CRITICAL, None).routes
            )
            assert taken.rule is not None
            self.delete(world, rule)
            row = work.session.get_one(Alert, alert)
            join(work.session, work.now, [Membership(row, taken.rule, taken.group or {})])
        self.flush(world)
        assert self.told(world, webhook) == ["alert.firing"]

    def test_other_labels_to_group_by_leave_what_is_gathered(
        self, world: World, webhook: int, rule: int
    ) -> None:
        self.gather(world)
        for group_by in (["team"], None):
            change_rule(world, rule, group_by=group_by)
            if group_by:
                self.gather(world)
        self.flush(world)
        assert self.told(world, webhook) == ["alert.firing"] * 2

    def test_it_is_gone(self, world: World, rule: int) -> None:
        self.delete(world, rule)
        with world.deps.unit_of_work() as work:
            for call in (
                lambda: routing_rules.get_rule(work.session, rule),
                lambda: routing_rules.change_rule(work.session, work.now, rule, {"name": "x"}),
                lambda: routing_rules.delete_rule(work.session, work.now, rule),
            ):
                with pytest.raises(NotFound):
                    call()


def test_a_rule_names_webhooks_that_are_there(world: World) -> None:
    here, gone = world.webhook(is_active=False), world.webhook()
    world.delete_webhook(gone)
    rule = make_rule(world, webhook_ids=[here])
    bad = {
        "webhook_ids": [here, gone, 10**15],
        "steps": [
            {"after_minutes": 1, "webhook_ids": [here]},
            {"after_minutes": 2, "webhook_ids": [gone]},
        ],
    }
    for call in (
        lambda: make_rule(world, **bad),
        lambda: change_rule(world, rule, **bad),
    ):
        with pytest.raises(Invalid) as refusal:
            call()
        assert refusal.value.errors == {
            "webhook_ids": [f"There is no webhook {gone}, {10**15}."],
            "steps.1.webhook_ids": [f"There is no webhook {gone}."],
        }
