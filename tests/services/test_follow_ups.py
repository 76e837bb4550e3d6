"""What falls due with an alert later: steps, reminders, and telling of what was muted."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from app.domain.matchers import Matcher, Op
from app.services.follow_ups import end_follow_ups_of_rule, look_again_at_muted
from models import Silence
from tests.services.world import World, at_once, delivered

DISK = Matcher("kind", Op.EQUAL, "disk")
HOST_DOWN = Matcher("kind", Op.EQUAL, "host-down")


@pytest.fixture
def hook(world: World) -> int:
    return world.webhook()


@pytest.fixture
def boss(world: World) -> int:
    return world.webhook()


def escalating(world: World, hook: int, boss: int) -> int:
    return world.rule(hook, steps=[{"after_minutes": 15, "webhook_ids": [boss]}])


def deliver_all(world: World) -> list[tuple[int, dict[str, Any]]]:
    """Who was told, and what."""
    found = []
    while claimed := world.claim():
        found += [(one.webhook_id, json.loads(one.body)) for one in claimed]
        world.complete(*[delivered(one) for one in claimed])
    return found


def told(world: World) -> list[tuple[int, str]]:
    return [(webhook_id, body["type"]) for webhook_id, body in deliver_all(world)]


def outcomes(world: World) -> list[tuple[str, str | None]]:
    return world.sql("SELECT kind, outcome FROM pggit.alert_follow_ups ORDER BY id")


class TestSteps:
    def test_without_an_acknowledgement_others_are_told_too(
        self, world: World, hook: int, boss: int
    ) -> None:
        escalating(world, hook, boss)
        alert = world.alert()
        assert told(world) == [(hook, "alert.firing")]
        world.later(minutes=14)
        world.agenda()
        assert told(world) == []
        world.later(minutes=1)
        world.agenda()
        ((webhook_id, body),) = deliver_all(world)
        assert (webhook_id, body["data"]["step"]) == (boss, 1)
        assert outcomes(world) == [("escalate", "sent")]
        # Who was told by a step is told of the end.
        world.acknowledge(alert)
        assert told(world) == [(hook, "alert.acknowledged"), (boss, "alert.acknowledged")]

    @pytest.mark.parametrize("end", ["acknowledged", "resolved"])
    def test_who_sees_to_it_in_time_ends_them(
        self, world: World, hook: int, boss: int, end: str
    ) -> None:
        escalating(world, hook, boss)
        alert = world.alert()
        (world.acknowledge if end == "acknowledged" else world.resolve)(alert)
        world.later(minutes=15)
        world.agenda()
        assert boss not in {webhook_id for webhook_id, _ in told(world)}
        assert outcomes(world) == [("escalate", end)]

    def test_an_acknowledgement_takes_back_a_step_that_has_not_left(
        self, world: World, hook: int, boss: int
    ) -> None:
        escalating(world, hook, boss)
        alert = world.alert()
        told(world)
        world.later(minutes=15)
        world.agenda()
        world.acknowledge(alert)
        assert told(world) == [(hook, "alert.acknowledged")]
        assert world.sql(
            "SELECT status, reason FROM pggit.deliveries WHERE webhook_id = :boss", boss=boss
        ) == [("cancelled", "acknowledged")]

    def test_several_who_look_at_once_tell_once(self, world: World, hook: int, boss: int) -> None:
        escalating(world, hook, boss)
        for _ in range(5):
            world.alert()
        told(world)
        world.later(minutes=15)
        at_once(*[world.agenda] * 4)
        assert told(world) == [(boss, "alert.firing")] * 5

    def test_acknowledged_while_a_step_is_taken_both_agree(
        self, world: World, hook: int, boss: int
    ) -> None:
        escalating(world, hook, boss)
        for _round in range(8):
            alert = world.alert()
            told(world)
            world.later(minutes=15)
            at_once(partial(world.acknowledge, alert), world.agenda)
            messages = [kind for webhook, kind in told(world) if webhook == boss]
            assert messages in ([], ["alert.firing", "alert.acknowledged"])

    def test_a_step_to_an_inactive_webhook_says_so(
        self, world: World, hook: int, boss: int
    ) -> None:
        escalating(world, hook, boss)
        world.alert()
        world.change_webhook(boss, is_active=False)
        world.later(minutes=15)
        world.agenda()
        assert outcomes(world) == [("escalate", "nobody_to_tell")]

    def test_they_end_with_their_rule(self, world: World, hook: int, boss: int) -> None:
        rule = escalating(world, hook, boss)
        world.alert()
        with world.deps.unit_of_work() as work:
            end_follow_ups_of_rule(work.session, rule)
        assert outcomes(world) == [("escalate", "rule_deleted")]

    def test_planned_while_the_rule_was_deleted_they_end_when_they_are_due(
        self, world: World, hook: int, boss: int
    ) -> None:
        escalating(world, hook, boss)
        world.alert()
        told(world)
        world.sql("UPDATE pggit.routing_rules SET deleted_at = now()")
        world.later(minutes=15)
        world.agenda()
        assert told(world) == []
        assert outcomes(world) == [("escalate", "rule_deleted")]


class TestReminders:
    def test_come_again_until_somebody_acknowledges(self, world: World, hook: int) -> None:
        world.rule(hook, repeat_minutes=30)
        alert = world.alert()
        told(world)
        for number in (1, 2, 3):
            world.later(minutes=30)
            world.agenda()
            ((webhook_id, body),) = deliver_all(world)
            assert (webhook_id, body["data"]["reminder"]) == (hook, number)
        world.acknowledge(alert)
        told(world)
        world.later(minutes=30)
        world.agenda()
        assert told(world) == []

    def test_who_still_waits_for_the_first_message_needs_none(
        self, world: World, hook: int
    ) -> None:
        world.rule(hook, repeat_minutes=30)
        world.alert()
        world.claim()
        world.later(minutes=30)
        world.agenda()
        assert world.one("SELECT count(*) FROM pggit.deliveries") == 1


class TestSilence:
    def test_what_it_matches_is_told_when_it_is_over(self, world: World, hook: int) -> None:
        world.silence(DISK, minutes=30)
        muted = world.alert(labels={"kind": "disk"})
        other = world.alert(labels={"kind": "cpu"})
        assert [body["data"]["id"] for _, body in deliver_all(world)] == [other]
        world.later(minutes=29)
        world.agenda()
        assert told(world) == []
        world.later(minutes=1)
        world.agenda()
        assert [body["data"]["id"] for _, body in deliver_all(world)] == [muted]
        assert outcomes(world) == [("unmute", "sent")]

    def test_resolved_meanwhile_nobody_hears_of_it(self, world: World, hook: int) -> None:
        world.silence(DISK, minutes=30)
        muted = world.alert(labels={"kind": "disk"})
        world.resolve(muted)
        world.later(minutes=30)
        world.agenda()
        assert told(world) == []

    def test_that_ends_early_lets_go_at_once(self, world: World, hook: int) -> None:
        silence = world.silence(DISK)
        world.alert(labels={"kind": "disk"})
        with world.deps.unit_of_work() as work:
            work.session.get_one(Silence, silence).ends_at = work.now
            look_again_at_muted(work.session)
        world.agenda()
        assert told(world) == [(hook, "alert.firing")]

    def test_also_mutes_what_names_its_webhooks(self, world: World, hook: int) -> None:
        world.silence(DISK)
        world.alert(labels={"kind": "disk"}, webhook_ids=[hook])
        assert told(world) == []

    def test_a_step_waits_for_its_end(self, world: World, hook: int, boss: int) -> None:
        escalating(world, hook, boss)
        world.alert(labels={"kind": "disk"})
        told(world)
        world.silence(DISK, minutes=30)
        world.later(minutes=15)
        world.agenda()
        assert told(world) == []
        world.later(minutes=15)
        world.agenda()
        assert told(world) == [(boss, "alert.firing")]


class TestInhibition:
    def test_the_children_of_what_is_down_are_mute(self, world: World, hook: int) -> None:
        world.inhibition(HOST_DOWN, DISK, "host")
        parent = world.alert(labels={"kind": "host-down", "host": "db-1"})
        child = world.alert(labels={"kind": "disk", "host": "db-1"})
        elsewhere = world.alert(labels={"kind": "disk", "host": "db-2"})
        assert [body["data"]["id"] for _, body in deliver_all(world)] == [parent, elsewhere]

        world.resolve(parent)
        world.agenda()

        assert [(body["data"]["id"], body["type"]) for _, body in deliver_all(world)] == [
            (parent, "alert.resolved"),
            (child, "alert.firing"),
        ]

    def test_it_is_noted_once_however_often_it_is_looked_at(self, world: World, hook: int) -> None:
        world.inhibition(HOST_DOWN, DISK, "host")
        world.alert(labels={"kind": "host-down", "host": "db-1"})
        child = world.alert(labels={"kind": "disk", "host": "db-1"})
        for _ in range(3):
            world.later(minutes=1)
            world.agenda()
        decisions = world.one("SELECT decisions FROM pggit.alerts WHERE id = :id", id=child)
        assert [one["reason"] for one in decisions] == ["no_rule_matched", "inhibited"]

    def test_a_parent_that_expires_lets_them_go(self, world: World, hook: int) -> None:
        world.inhibition(HOST_DOWN, DISK, "host")
        world.alert(
            labels={"kind": "host-down", "host": "db-1"},
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )
        child = world.alert(labels={"kind": "disk", "host": "db-1"})
        told(world)
        world.later(minutes=5)
        world.agenda()
        world.agenda()
        assert child in [body["data"]["id"] for _, body in deliver_all(world)]
