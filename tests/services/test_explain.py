"""The trace of an alert, for every webhook."""

from typing import Any

import pytest

from app.domain.matchers import Matcher, Op
from app.domain.retry import Reason
from app.errors import NotFound
from app.services import traffic_reports
from app.services.explain import explain
from app.services.traffic import TrafficWatch
from tests.services.checking import ONCE, check_now
from tests.services.test_traffic import hear
from tests.services.world import World, delivered, failed, retrying, stored_matcher


def explained(world: World, alert: int) -> dict[str, Any]:
    with world.deps.unit_of_work() as work:
        return explain(work.session, work.now, alert)


def of_webhook(world: World, alert: int, webhook: int) -> dict[str, Any]:
    (found,) = [one for one in explained(world, alert)["webhooks"] if one["webhook_id"] == webhook]
    return dict(found)


def stages(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["stage"], one["reason"]) for one in message["trace"]]


def waits(world: World, alert: int, webhook: int) -> str:
    (message,) = of_webhook(world, alert, webhook)["messages"]
    return str(message["waits"]["reason"])


def test_of_an_alert_that_is_not_there_nothing_is_explained(world: World) -> None:
    with pytest.raises(NotFound):
        explained(world, 1)


def test_the_whole_way_of_a_delivery(world: World) -> None:
    webhook = world.webhook()
    alert = world.alert(webhook_ids=[webhook])
    (one,) = world.claim()
    world.complete(retrying(one))
    (two,) = world.claim()
    world.complete(delivered(two))
    found = of_webhook(world, alert, webhook)
    assert found["told"] is True
    (message,) = found["messages"]
    assert stages(message) == [
        ("queued", "alert.firing"),
        ("attempt", "server_error"),
        ("attempt", "accepted"),
        ("outcome", "accepted"),
    ]
    assert message["waits"] is None
    times = [one["at"] for one in message["trace"]]
    assert times == sorted(times)


def test_what_a_gate_and_the_checks_did_meanwhile(world: World) -> None:
    webhook = world.webhook(check=ONCE)
    alert = world.alert(webhook_ids=[webhook])
    hear(world, TrafficWatch(), webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
    check_now(world, 503, 204)
    (message, *_others) = of_webhook(world, alert, webhook)["messages"]
    seen = stages(message)
    assert ("traffic", "half_of_outcomes_failed") in seen
    assert ("traffic", "check_recovered") in seen
    assert [one for one in seen if one[0] == "check"] == [
        ("check", "unexpected_status"),
        ("check", "as_expected"),
    ]
    of_checks = [one for one in message["trace"] if one["stage"] == "check"]
    assert [(one["detail"], one["decision"]) for one in of_checks] == [
        ("unavailable", "state_changed"),
        ("healthy", "state_changed"),
    ]


def test_a_gate_that_was_closed_before_is_told_too(world: World) -> None:
    webhook = world.webhook()
    hear(world, TrafficWatch(), webhook, 1.0, *[Reason.SERVER_ERROR] * 10)
    alert = world.alert(webhook_ids=[webhook])
    (message,) = of_webhook(world, alert, webhook)["messages"]
    assert stages(message)[0] == ("traffic", "half_of_outcomes_failed")
    assert message["waits"]["reason"] == "gate_closed"
    assert message["waits"]["until"] is not None


class TestWaiting:
    """What the claim does not take, it says why; what it takes, it does not."""

    def test_reasons(self, world: World) -> None:
        webhook = world.webhook(max_in_flight=1)
        alert = world.alert(webhook_ids=[webhook])
        assert waits(world, alert, webhook) == "in_turn"
        with world.deps.unit_of_work() as work:
            traffic_reports.pause(work.session, "tester", None)
        assert waits(world, alert, webhook) == "paused"
        assert world.claim() == []
        with world.deps.unit_of_work() as work:
            traffic_reports.resume(work.session, work.events, "tester")
        (one,) = world.claim()
        assert waits(world, alert, webhook) == "in_flight"
        other = world.alert(webhook_ids=[webhook])
        assert waits(world, other, webhook) == "in_flight_cap"
        assert world.claim() == []
        world.complete(retrying(one, 100.0))
        assert waits(world, alert, webhook) == "backing_off"
        world.change_webhook(webhook, is_active=False)
        assert waits(world, other, webhook) == "webhook_inactive"

    def test_a_rate_and_a_red_probe(self, world: World) -> None:
        slow = world.webhook(rate_limit_per_second=0.01)
        _first, second = (world.alert(webhook_ids=[slow]) for _ in range(2))
        (one,) = world.claim()
        world.complete(delivered(one))
        assert waits(world, second, slow) == "rate_limited"
        sick = world.webhook(check=ONCE, retry_schedule_seconds=[0, 0, 0, 0])
        alert = world.alert(webhook_ids=[sick])
        (one,) = world.claim()
        world.complete(retrying(one))
        world.sql(
            "UPDATE pggit.alert_delivery_queue SET probe_holds_until = now() + interval '1 hour'"
            " WHERE webhook_id = :id",
            id=sick,
        )
        world.sql("UPDATE pggit.webhook_health_metrics SET health_status = 'unavailable'")
        assert waits(world, alert, sick) == "probe_red"
        assert world.claim() == []

    def test_news_behind_what_is_owed(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        world.acknowledge(alert)
        messages = of_webhook(world, alert, webhook)["messages"]
        assert [one["waits"]["reason"] for one in messages] == ["in_turn", "held_behind_earlier"]


class TestNotTold:
    def test_by_name(self, world: World) -> None:
        named, other = world.webhook(), world.webhook()
        inactive = world.webhook(is_active=False)
        alert = world.alert(webhook_ids=[named])
        later = world.webhook()
        found = {one["webhook_id"]: one for one in explained(world, alert)["webhooks"]}
        assert found[inactive]["reason"] == "webhook_inactive"
        assert found[later]["reason"] == "made_after_the_alert"
        assert found[other]["messages"] == []
        assert found[other]["told"] is found[named]["told"] is False

    def test_of_its_own_illness(self, world: World) -> None:
        sick = world.webhook(check=ONCE)
        check_now(world, 503)
        alert = world.one("SELECT id FROM pggit.alerts")
        assert of_webhook(world, alert, sick)["reason"] == "alert_is_about_it"

    def test_what_failed_is_not_told(self, world: World) -> None:
        webhook = world.webhook()
        alert = world.alert(webhook_ids=[webhook])
        world.complete(*map(failed, world.claim()))
        found = of_webhook(world, alert, webhook)
        assert found["told"] is False
        assert stages(found["messages"][0])[-1] == ("outcome", "rejected")


def test_the_whole_way_of_an_alert_through_rules_silences_and_groups(world: World) -> None:
    hook, boss, other = world.webhook(), world.webhook(), world.webhook()
    disk = Matcher("kind", Op.EQUAL, "disk")
    unlike = world.rule(other, matchers=[stored_matcher(Matcher("kind", Op.EQUAL, "cpu"))])
    rule = world.rule(hook, group_by=["kind"], steps=[{"after_minutes": 15, "webhook_ids": [boss]}])
    unreached = world.rule(other)
    silence = world.silence(disk, minutes=30)
    alert = world.alert(labels={"kind": "disk"})
    assert reasons(world, alert) == [
        ("alert", "raised"),
        ("routing", "rule_not_matched"),
        ("routing", "rule_not_reached"),
        ("routing", "rule_matched"),
        ("routing", "silenced"),
    ]
    decisions = explained(world, alert)["decisions"]
    assert [one.get("rule_ids") for one in decisions[1:3]] == [[unlike], [unreached]]
    assert [decisions[3]["rule_id"], decisions[4]["silence_id"]] == [rule, silence]
    assert of_webhook(world, alert, hook)["reason"] == "silenced"

    world.later(minutes=30)
    world.agenda()
    # The routing is done again, then the group is told on the agenda's next round.
    assert of_webhook(world, alert, hook)["reason"] == "group_waits"
    assert of_webhook(world, alert, boss)["reason"] == "step_waits"
    assert of_webhook(world, alert, other)["reason"] == "not_in_matching_rule"
    world.agenda()
    assert of_webhook(world, alert, hook)["reason"] == "rule_matched"
    assert reasons(world, alert)[-2:] == [("group", "gathered"), ("group", "told_with_group")]
    world.snooze(alert)
    assert ("alert", "snoozed") in reasons(world, alert)
    world.acknowledge(alert)
    assert reasons(world, alert)[-1] == ("group", "gathered")
    assert ("alert", "acknowledged") in reasons(world, alert)
    (step, *_) = explained(world, alert)["follow_ups"][1:]
    assert (step.kind, step.outcome) == ("escalate", "acknowledged")


def reasons(world: World, alert: int) -> list[tuple[str, str]]:
    return [(one["stage"], one["reason"]) for one in explained(world, alert)["decisions"]]
