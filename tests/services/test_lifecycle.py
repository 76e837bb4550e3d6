"""Snoozing and expiry."""

import json
from datetime import timedelta
from functools import partial

import pytest

from tests.services.world import World, at_once, delivered, retrying


@pytest.fixture
def hook(world: World) -> int:
    return world.webhook()


def told(world: World) -> list[str]:
    found = []
    while claimed := world.claim():
        found += [json.loads(one.body)["type"] for one in claimed]
        world.complete(*[delivered(one) for one in claimed])
    return found


def expiring(world: World, minutes: float, **fields: object) -> int:
    with world.deps.unit_of_work() as work:
        at = work.now + timedelta(minutes=minutes)
    return world.alert(expires_at=at, **fields)


class TestSnooze:
    def test_holds_back_what_has_not_left(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.snooze(alert, minutes=30)
        assert told(world) == []
        world.later(minutes=30)
        assert told(world) == ["alert.firing"]

    def test_who_was_told_is_reminded_once_when_it_is_over(self, world: World, hook: int) -> None:
        alert = world.alert()
        told(world)
        world.snooze(alert, minutes=30)
        world.agenda()
        assert told(world) == []
        for expected in (["alert.firing"], []):
            world.later(minutes=30)
            world.agenda()
            assert told(world) == expected

    def test_a_retry_waits_too(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.complete(retrying(world.claim()[0], 0.0))
        world.snooze(alert, minutes=30)
        assert told(world) == []

    def test_what_is_in_flight_keeps_its_lease(self, world: World, hook: int) -> None:
        alert = world.alert()
        (claimed,) = world.claim()
        world.snooze(alert, minutes=30)
        assert world.delivery(claimed.id).seconds_left <= 10
        assert world.complete(delivered(claimed)) == {claimed.id}

    def test_a_second_one_moves_the_end(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.snooze(alert, minutes=60)
        world.snooze(alert, minutes=10)
        world.later(minutes=10)
        assert told(world) == ["alert.firing"]

    def test_unsnoozed_it_goes_on_at_once(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.snooze(alert)
        world.unsnooze(alert)
        assert told(world) == ["alert.firing"]
        world.later(minutes=60)
        world.agenda()
        assert told(world) == []

    def test_an_acknowledgement_ends_it(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.snooze(alert)
        world.acknowledge(alert)
        assert told(world) == ["alert.firing", "alert.acknowledged"]

    def test_resolved_meanwhile_nobody_hears_of_it(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.snooze(alert)
        world.resolve(alert)
        world.later(minutes=60)
        world.agenda()
        assert told(world) == []

    def test_what_somebody_has_seen_to_is_not_snoozed(self, world: World, hook: int) -> None:
        alert = world.alert()
        world.acknowledge(alert)
        world.snooze(alert)
        assert world.one("SELECT snoozed_until FROM pggit.alerts") is None

    def test_in_a_group_the_others_are_told(self, world: World, hook: int) -> None:
        world.rule(hook, group_by=[], group_wait_seconds=60)
        snoozed, other = world.alert(), world.alert()
        world.snooze(snoozed, minutes=30)
        world.later(minutes=1)
        world.agenda()
        ((first,),) = world.sql("SELECT body FROM pggit.alert_events")
        assert [one["id"] for one in json.loads(first)["data"]["group"]["alerts"]] == [other]
        world.later(minutes=29)
        world.agenda()
        assert len(told(world)) == 2

    def test_snoozed_and_acknowledged_at_once_nothing_stays_behind(
        self, world: World, hook: int
    ) -> None:
        for _round in range(8):
            alert = world.alert()
            at_once(
                partial(world.snooze, alert),
                partial(world.acknowledge, alert),
                partial(world.unsnooze, alert),
            )
            assert told(world) == ["alert.firing", "alert.acknowledged"]


class TestExpiry:
    def test_what_is_too_late_is_cancelled_and_the_alert_resolved(
        self, world: World, hook: int
    ) -> None:
        alert = expiring(world, 5)
        world.later(minutes=5)
        assert world.agenda()["alerts_expired"] == 1
        assert told(world) == []
        assert world.sql("SELECT status, reason FROM pggit.deliveries") == [
            ("cancelled", "expired")
        ]
        assert world.one(
            "SELECT status, resolved_by FROM pggit.alerts WHERE id = :id", id=alert
        ) == ("resolved", "expiry")

    def test_who_was_told_is_told_of_the_end(self, world: World, hook: int) -> None:
        expiring(world, 5)
        assert told(world) == ["alert.firing"]
        world.later(minutes=5)
        world.agenda()
        assert told(world) == ["alert.resolved"]

    def test_its_key_is_free_again_even_before_anybody_looked(
        self, world: World, hook: int
    ) -> None:
        first = expiring(world, 5, dedup_key="disk")
        told(world)
        world.later(minutes=6)
        second = world.alert(dedup_key="disk")
        assert second != first
        assert sorted(told(world)) == ["alert.firing", "alert.resolved"]

    def test_raised_again_it_lives_as_long_as_the_later_one(self, world: World, hook: int) -> None:
        first = expiring(world, 5, dedup_key="disk")
        assert expiring(world, 30, dedup_key="disk") == first
        world.later(minutes=10)
        world.agenda()
        assert told(world) == ["alert.firing"]
        assert world.alert(dedup_key="disk") == first
        assert world.one("SELECT count, expires_at FROM pggit.alerts") == (3, None)

    def test_several_who_look_at_once_end_it_once(self, world: World, hook: int) -> None:
        for _ in range(5):
            expiring(world, 5)
        told(world)
        world.later(minutes=5)
        at_once(*[world.agenda] * 4)
        assert told(world) == ["alert.resolved"] * 5
