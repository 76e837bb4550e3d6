"""Groups: one message for a burst, its own order, and an end that is told once."""

import json
from functools import partial
from typing import Any

import pytest

from app.domain.matchers import read_matcher
from tests.services.world import World, at_once, delivered, failed


@pytest.fixture
def hook(world: World) -> int:
    return world.webhook()


def grouping(world: World, *hooks: int, wait: int = 30, interval: int = 300, **fields: Any) -> int:
    """A rule that groups by host."""
    return world.rule(
        *hooks,
        group_by=["host"],
        group_wait_seconds=wait,
        group_interval_seconds=interval,
        **fields,
    )


def burst(world: World, count: int, host: str = "db-1", **fields: Any) -> list[int]:
    return [world.alert(labels={"host": host}, **fields) for _ in range(count)]


def bodies(world: World) -> list[dict[str, Any]]:
    rows = world.sql("SELECT body FROM pggit.alert_events ORDER BY id")
    return [json.loads(body) for (body,) in rows]


def told(world: World) -> list[tuple[str, list[int]]]:
    """The type of every message, and the alerts that it tells of."""
    return [
        (body["type"], [one["id"] for one in body["data"]["group"]["alerts"]])
        for body in bodies(world)
    ]


def deliver_all(world: World) -> None:
    while claimed := world.claim():
        world.complete(*[delivered(one) for one in claimed])


class TestBurst:
    def test_waits_for_the_group_and_is_one_message_for_each_webhook(
        self, world: World, hook: int
    ) -> None:
        other = world.webhook()
        grouping(world, hook, other)
        alerts = burst(world, 3)
        assert world.agenda().get("groups") is None
        assert world.claim() == []

        world.later(minutes=0.5)
        assert world.agenda()["groups"] == 1

        assert told(world) == [("alert.firing", alerts)]
        assert sorted(one.webhook_id for one in world.claim()) == [hook, other]

    def test_who_is_silenced_while_it_waits_is_told_when_that_is_over(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook)
        muted = world.alert(labels={"host": "db-1", "team": "storage"})
        (other,) = burst(world, 1)
        world.silence(read_matcher("team=storage"), minutes=10)
        world.later(minutes=0.5)
        world.agenda()
        assert told(world) == [("alert.firing", [other])]
        world.later(minutes=10)
        world.agenda()
        assert told(world)[1:] == [("alert.firing", [muted])]

    def test_who_is_over_by_then_is_not_told_at_all(self, world: World, hook: int) -> None:
        grouping(world, hook)
        (alert,) = burst(world, 1)
        world.silence(read_matcher("host=db-1"), minutes=10)
        world.later(minutes=0.5)
        world.agenda()
        world.resolve(alert)
        world.later(minutes=10)
        world.agenda()
        assert told(world) == []

    def test_groups_of_other_labels_are_told_apart(self, world: World, hook: int) -> None:
        grouping(world, hook)
        one, two = burst(world, 2, "db-1"), burst(world, 1, "db-2")
        world.later(minutes=0.5)
        assert world.agenda()["groups"] == 2
        assert sorted(told(world)) == sorted([("alert.firing", one), ("alert.firing", two)])

    def test_the_message_is_the_most_severe_alert_and_names_the_group(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook)
        burst(world, 1, severity="info")
        (worst,) = burst(world, 1, severity="critical")
        burst(world, 1, severity="warning")
        world.later(minutes=0.5)
        world.agenda()
        (body,) = bodies(world)
        assert body["data"]["id"] == worst
        group = body["data"]["group"]
        assert (group["labels"], group["count"], group["rule"]) == ({"host": "db-1"}, 3, "test")

    def test_what_comes_after_waits_for_the_interval(self, world: World, hook: int) -> None:
        grouping(world, hook)
        burst(world, 1)
        world.later(minutes=0.5)
        world.agenda()
        late = burst(world, 2)
        world.later(minutes=1)
        assert world.agenda().get("groups") is None
        world.later(minutes=4)
        world.agenda()
        assert told(world)[1] == ("alert.firing", late)

    def test_a_new_firing_does_not_wait_for_an_earlier_one_to_get_through(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook, wait=0, interval=0)
        burst(world, 1)
        world.agenda()
        assert len(world.claim()) == 1  # and hangs
        burst(world, 1)
        world.agenda()
        assert len(world.claim()) == 1

    def test_a_thousand_alerts_are_listed_up_to_a_hundred_and_counted(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook, wait=0)
        burst(world, 120)
        world.agenda()
        (body,) = bodies(world)
        group = body["data"]["group"]
        assert (group["count"], len(group["alerts"])) == (120, 100)

    def test_flushed_by_several_at_once_it_is_told_once(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0)
        burst(world, 5)
        at_once(*[world.agenda] * 4)
        assert len(bodies(world)) == 1

    def test_raised_while_it_is_flushed_nothing_is_forgotten(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=0)
        for _round in range(10):
            at_once(world.agenda, partial(burst, world, 2), world.agenda, partial(burst, world, 1))
        world.agenda()
        listed = [alert for _type, alerts in told(world) for alert in alerts]
        assert sorted(listed) == [
            row[0] for row in world.sql("SELECT id FROM pggit.alerts ORDER BY id")
        ]
        assert len(listed) == 30


class TestEnd:
    def test_resolved_before_it_was_told_it_is_not_told_at_all(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook)
        gone, stays = burst(world, 2)
        world.resolve(gone)
        world.later(minutes=0.5)
        world.agenda()
        assert told(world) == [("alert.firing", [stays])]
        dropped = world.sql(
            "SELECT dropped_reason FROM pggit.alert_group_news WHERE alert_id = :id", id=gone
        )
        assert dropped == [("superseded",)]

    def test_ends_are_gathered_too(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=300)
        alerts = burst(world, 3)
        world.agenda()
        deliver_all(world)
        for alert in alerts[:2]:
            world.resolve(alert)
        world.acknowledge(alerts[2])
        assert world.agenda().get("groups") is None
        world.later(minutes=5)
        world.agenda()
        assert told(world)[1:] == [
            ("alert.acknowledged", alerts[2:]),
            ("alert.resolved", alerts[:2]),
        ]
        deliver_all(world)
        assert world.sql("SELECT DISTINCT status FROM pggit.deliveries") == [("delivered",)]

    def test_an_end_waits_behind_its_firing(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=0)
        (alert,) = burst(world, 1)
        world.agenda()
        (firing,) = world.claim()
        world.resolve(alert)
        world.agenda()
        assert world.claim() == []
        world.complete(delivered(firing))
        (end,) = world.claim()
        assert json.loads(end.body)["type"] == "alert.resolved"

    def test_who_never_got_the_firing_is_not_told_of_the_end(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=0)
        (alert,) = burst(world, 1)
        world.agenda()
        world.complete(failed(world.claim()[0]))
        world.resolve(alert)
        world.agenda()
        assert world.claim() == []

    def test_who_got_it_with_another_alert_is_told_of_the_end_though_a_reminder_failed(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook, wait=0, interval=0, repeat_minutes=10)
        mild, worst = burst(world, 1, severity="info") + burst(world, 1, severity="critical")
        world.agenda()
        deliver_all(world)
        world.resolve(worst)
        world.agenda()
        deliver_all(world)
        # The reminder is of the mild one alone; the message that it was told by was of the worst.
        world.later(minutes=10)
        world.agenda()
        world.agenda()
        (reminder,) = world.claim()
        world.resolve(mild)
        world.agenda()
        world.complete(failed(reminder))
        assert [json.loads(one.body)["type"] for one in world.claim()] == ["alert.resolved"]

    def test_resolved_while_it_is_flushed_it_is_told_of_both_or_neither(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook, wait=0, interval=0)
        for _round in range(15):
            (alert,) = burst(world, 1)
            before = len(told(world))
            at_once(world.agenda, partial(world.resolve, alert))
            world.agenda()
            kinds = [kind for kind, _alerts in told(world)[before:]]
            assert kinds in ([], ["alert.firing", "alert.resolved"])

    def test_an_acknowledgement_not_yet_told_gives_way_to_the_resolution(
        self, world: World, hook: int
    ) -> None:
        grouping(world, hook, wait=0, interval=300)
        (alert,) = burst(world, 1)
        world.agenda()
        deliver_all(world)
        world.acknowledge(alert)
        world.resolve(alert)
        world.later(minutes=5)
        world.agenda()
        assert [kind for kind, _alerts in told(world)] == ["alert.firing", "alert.resolved"]

    def test_of_one_alert_of_two_webhooks_each_is_told_as_its_rule_says(
        self, world: World, hook: int
    ) -> None:
        direct = world.webhook()
        world.rule(direct, continues=True)
        grouping(world, hook, wait=0, interval=0)
        (alert,) = burst(world, 1)
        world.agenda()
        deliver_all(world)
        world.resolve(alert)
        world.agenda()
        deliver_all(world)
        assert world.sql(
            "SELECT d.webhook_id, e.type, e.group_id IS NOT NULL FROM pggit.deliveries d"
            " JOIN pggit.alert_events e ON e.id = d.event_id ORDER BY d.webhook_id, d.id"
        ) == [
            (hook, "alert.firing", True),
            (hook, "alert.resolved", True),
            (direct, "alert.firing", False),
            (direct, "alert.resolved", False),
        ]


class TestReminders:
    def test_are_told_in_the_group(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=0, repeat_minutes=10)
        alerts = burst(world, 2)
        world.agenda()
        deliver_all(world)
        world.later(minutes=10)
        world.agenda()
        world.agenda()
        assert told(world) == [("alert.firing", alerts)] * 2

    def test_one_that_waits_ends_with_the_acknowledgement(self, world: World, hook: int) -> None:
        grouping(world, hook, wait=0, interval=3000, repeat_minutes=10)
        (alert,) = burst(world, 1)
        world.agenda()
        deliver_all(world)
        world.later(minutes=10)
        world.agenda()
        world.acknowledge(alert)
        world.later(minutes=50)
        world.agenda()
        assert [kind for kind, _ in told(world)] == ["alert.firing", "alert.acknowledged"]


def test_a_webhook_is_not_told_of_its_own_illness(world: World, hook: int) -> None:
    well = world.webhook()
    world.rule(hook, well, group_by=[])
    world.alert(not_to=hook)
    world.agenda()
    assert [one.webhook_id for one in world.claim()] == [well]
