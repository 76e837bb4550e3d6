"""Silences: what they mute waits for their end, also when the end is moved at that very moment."""

from datetime import timedelta
from threading import Event

import pytest

from app.domain.matchers import Subject, read_matcher
from app.domain.routing import RoutingReason, Verdict
from app.services import inhibition_rules, silences
from app.services.follow_ups import send_out
from app.services.routing import load_table
from models import Alert
from tests.harness.waiting import eventually
from tests.services.test_routing import CRITICAL, STORAGE, statements, verdict
from tests.services.world import World, at_once

LONG = 7 * 24 * 60
HOW = ["expire", "delete", "move"]


def end_silence(world: World, silence: int, how: str) -> None:
    with world.deps.unit_of_work() as work:
        session, now = work.session, work.now
        if how == "expire":
            silences.expire_silence(session, now, silence)
        elif how == "delete":
            silences.delete_silence(session, silence)
        else:
            matchers = [{"name": "team", "op": "=", "value": "network"}]
            silences.change_silence(session, now, silence, {"matchers": matchers})


@pytest.fixture
def hook(world: World) -> int:
    return world.webhook()


def test_it_is_one_more_question_however_many_alerts_it_mutes(world: World) -> None:
    silence = world.silence(STORAGE)
    with world.deps.unit_of_work() as work, statements(world) as sent:
        table = load_table(work.session, work.now)
        found = [table.verdict(work.session, CRITICAL, None) for _ in range(50)]
    assert len(sent) == 2
    assert [one.muted_by.silence_id for one in found if one.muted_by] == [silence] * 50


def test_it_comes_before_inhibition(world: World) -> None:
    world.inhibition(STORAGE, read_matcher("severity=info"))
    world.alert(labels={"team": "storage"})
    subject = Subject("info", None, {"team": "storage"})
    for expected in (RoutingReason.INHIBITED, RoutingReason.SILENCED):
        found = verdict(world, subject).muted_by
        assert found is not None
        assert found.reason is expected
        world.silence(STORAGE)


@pytest.mark.parametrize("how", HOW)
def test_what_it_muted_is_told_as_soon_as_it_is_ended(world: World, hook: int, how: str) -> None:
    silence = world.silence(STORAGE, minutes=LONG)
    alert = world.alert(labels={"team": "storage"})
    world.agenda()
    assert world.told(alert) == []
    end_silence(world, silence, how)
    world.agenda()
    assert world.told(alert) == [("alert.firing", hook, "pending")]


@pytest.mark.parametrize("how", HOW)
def test_another_silence_goes_on_muting_it(world: World, hook: int, how: str) -> None:
    silence = world.silence(STORAGE, minutes=LONG)
    world.silence(read_matcher("host=db-1"))
    alert = world.alert(labels={"team": "storage", "host": "db-1"})
    end_silence(world, silence, how)
    world.agenda()
    assert world.told(alert) == []
    world.later(minutes=60)
    world.agenda()
    assert world.told(alert) == [("alert.firing", hook, "pending")]


@pytest.mark.parametrize("how", ["change", "delete"])
def test_what_an_inhibition_rule_muted_is_told_when_the_rule_goes(
    world: World, hook: int, how: str
) -> None:
    rule = world.inhibition(read_matcher("name=HostDown"), read_matcher("severity=info"))
    world.alert(labels={"name": "HostDown"})
    alert = world.alert(severity="info")
    assert world.told(alert) == []
    with world.deps.unit_of_work() as work:
        if how == "delete":
            inhibition_rules.delete_rule(work.session, rule)
        else:
            inhibition_rules.change_rule(work.session, work.now, rule, {"is_active": False})
    world.agenda()
    assert world.told(alert) == [("alert.firing", hook, "pending")]


@pytest.mark.parametrize("how", HOW)
def test_who_ends_it_finds_what_is_being_muted_by_it(world: World, hook: int, how: str) -> None:
    """An alert is muted until the silence's end, and committed only after somebody has begun to
    end the silence: it must not wait for an end that was taken back.
    """
    alert = world.alert(webhook_ids=[world.webhook()])
    silence = world.silence(STORAGE, minutes=LONG)
    is_muted = Event()

    def mute() -> None:
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
            found = table.verdict(work.session, CRITICAL, None)
            assert found.muted_by is not None
            is_muted.set()
            eventually(
                lambda: world.one("SELECT count(*) FROM pg_locks WHERE NOT granted"),
                what="who ends the silence, and waits for us",
            )
            row = work.session.get_one(Alert, alert)
            send_out(work.session, work.now, [(row, found)], (0,))

    def end() -> None:
        assert is_muted.wait(30)
        end_silence(world, silence, how)

    at_once(mute, end)
    assert world.one("SELECT due_at <= now() FROM pggit.alert_follow_ups") is True


def test_who_mutes_by_one_that_is_being_ended_sees_the_end(world: World) -> None:
    silence = world.silence(STORAGE, minutes=LONG)
    is_loaded, is_ended = Event(), Event()

    def mute() -> Verdict:
        with world.deps.unit_of_work() as work:
            table = load_table(work.session, work.now)
            is_loaded.set()
            assert is_ended.wait(30)
            return table.verdict(work.session, CRITICAL, None)

    def end() -> None:
        assert is_loaded.wait(30)
        end_silence(world, silence, "delete")
        is_ended.set()

    found, _ = at_once(mute, end)
    assert found is not None
    assert found.muted_by is None


def test_who_waits_for_one_that_is_shortened_waits_no_longer(world: World) -> None:
    silence = world.silence(STORAGE, minutes=LONG)
    with world.deps.unit_of_work() as work:
        table = load_table(work.session, work.now)
        soon = work.now + timedelta(minutes=1)
        with world.deps.unit_of_work() as other:
            silences.change_silence(other.session, other.now, silence, {"ends_at": soon})
        found = table.verdict(work.session, CRITICAL, None).muted_by
    assert found is not None
    assert found.until == soon
