"""Silences: what they mute waits for their end, also when the end is moved at that very moment."""

from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import text

from app.domain.matchers import Subject
from app.domain.routing import Verdict
from app.services import inhibition_rules, silences
from app.services.routing import load_table
from tests.harness.waiting import eventually
from tests.services.test_routing import (
    CRITICAL,
    STORAGE,
    make_inhibition,
    make_silence,
    matcher,
    statements,
    verdict,
)
from tests.services.world import World, at_once


def end_silence(world: World, silence: int, how: str) -> None:
    with world.deps.unit_of_work() as work:
        session, now = work.session, work.now
        if how == "expire":
            silences.expire_silence(session, now, silence)
        elif how == "delete":
            silences.delete_silence(session, silence)
        else:
            soon = now + timedelta(minutes=1)
            silences.change_silence(session, now, silence, {"ends_at": soon})


def wait_for_somebody_who_waits(world: World) -> None:
    eventually(
        lambda: world.one("SELECT count(*) FROM pg_locks WHERE NOT granted"),
        what="somebody who waits for a lock",
    )


class TestMuting:
    def test_a_silence_is_one_more_question_however_many_alerts_it_mutes(
        self, world: World
    ) -> None:
        silence = make_silence(world)
        with world.deps.unit_of_work() as work, statements(world) as sent:
            table = load_table(work.session, work.now)
            found = [table.verdict(work.session, CRITICAL, None) for _ in range(50)]
        assert len(sent) == 2
        assert {one.muted_by.silence_id for one in found if one.muted_by} == {silence}

    def test_a_silence_comes_before_inhibition(self, world: World) -> None:
        make_inhibition(world, STORAGE, [matcher("severity", "=", "info")])
        world.alert(labels={"team": "storage"})
        silence = make_silence(world)
        found = verdict(world, Subject("info", None, {"team": "storage"})).muted_by
        assert found is not None
        assert found.silence_id == silence

    @pytest.mark.parametrize("how", ["expire", "delete", "shorten"])
    def test_who_ends_it_finds_what_is_being_muted_by_it(self, world: World, how: str) -> None:
        """An alert is muted until the silence's end, in a transaction that ends after somebody
        began to end the silence: it must not wait for an end that was taken back.
        """
        alert = world.alert()
        silence = make_silence(world, hours=100)
        is_muted = Event()

        def mute() -> None:
            with world.deps.unit_of_work() as work:
                table = load_table(work.session, work.now)
                found = table.verdict(work.session, CRITICAL, None).muted_by
                assert found is not None
                is_muted.set()
                # Whoever ends the silence waits for this transaction.
                wait_for_somebody_who_waits(world)
                work.session.execute(
                    text(
                        "INSERT INTO pggit.alert_follow_ups (alert_id, kind, due_at)"
                        " VALUES (:alert, 'unmute', :until)"
                    ),
                    {"alert": alert, "until": found.until},
                )

        def end() -> None:
            assert is_muted.wait(30)
            end_silence(world, silence, how)

        at_once(mute, end)
        assert world.one("SELECT due_at <= now() FROM pggit.alert_follow_ups") is True

    def test_who_mutes_by_one_that_is_being_ended_sees_the_end(self, world: World) -> None:
        silence = make_silence(world, hours=100)
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


class TestLookingAgain:
    """What is muted is looked at as soon as what mutes it may be over."""

    @pytest.fixture
    def muted(self, world: World) -> int:
        """A follow-up that waits for a silence's end."""
        return int(
            world.one(
                "INSERT INTO pggit.alert_follow_ups (alert_id, kind, due_at)"
                " VALUES (:alert, 'unmute', now() + interval '5 days') RETURNING id",
                alert=world.alert(),
            )
        )

    @staticmethod
    def is_due(world: World, follow_up: int) -> bool:
        return bool(
            world.one(
                "SELECT due_at <= now() FROM pggit.alert_follow_ups WHERE id = :id", id=follow_up
            )
        )

    @pytest.mark.parametrize("how", ["expire", "delete", "shorten"])
    def test_when_a_silence_is_ended_or_changed(self, world: World, muted: int, how: str) -> None:
        silence = make_silence(world)
        assert not self.is_due(world, muted)
        end_silence(world, silence, how)
        assert self.is_due(world, muted)

    @pytest.mark.parametrize("how", ["change", "delete"])
    def test_when_an_inhibition_rule_is_changed_or_deleted(
        self, world: World, muted: int, how: str
    ) -> None:
        rule = make_inhibition(world, STORAGE, STORAGE)
        assert not self.is_due(world, muted)
        with world.deps.unit_of_work() as work:
            if how == "delete":
                inhibition_rules.delete_rule(work.session, rule)
            else:
                inhibition_rules.change_rule(work.session, work.now, rule, {"is_active": False})
        assert self.is_due(world, muted)

    def test_other_follow_ups_and_those_that_are_done_are_left(self, world: World) -> None:
        alert = world.alert()
        world.sql(
            "INSERT INTO pggit.alert_follow_ups (alert_id, kind, due_at, done_at) VALUES"
            " (:alert, 'remind', now() + interval '1 day', NULL),"
            " (:alert, 'escalate', now() + interval '1 day', NULL),"
            " (:alert, 'unmute', now() + interval '1 day', now())",
            alert=alert,
        )
        end_silence(world, make_silence(world), "delete")
        assert world.one("SELECT count(*) FROM pggit.alert_follow_ups WHERE due_at <= now()") == 0
