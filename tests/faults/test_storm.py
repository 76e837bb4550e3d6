"""A short storm, and the proof that this harness can see a loss."""

import time

import pytest
import redis

from tests.acceptance.steps import frozen
from tests.faults.books import Inspector
from tests.faults.control import CelerySender, control_hooks, running_control
from tests.faults.faults import Fault, Missed, Storm
from tests.faults.ledger import Answer, Receipt, judge
from tests.faults.load import Hook, Journal, Raised
from tests.faults.receiver import running_receiver
from tests.faults.report import Report
from tests.faults.storm import storm_on_tocsin
from tests.harness.system import data_dir
from tests.harness.waiting import eventually

SECONDS = 25.0
SEED = 20261124
# What a busy machine may bring down: to bring down many is for `make faults`.
KILLS_AT_LEAST = 10


@pytest.mark.first
def test_a_storm_loses_nothing_and_invents_nothing() -> None:
    outcome = storm_on_tocsin(SECONDS, SEED, rate=40.0, pause=0.3, say=lambda _line: None)

    table = Report("now", SEED, [outcome]).as_table()
    verdict = outcome.verdict
    assert (verdict.lost, verdict.unexpected, verdict.unsettled) == ({}, {}, {}), table
    assert outcome.kills >= KILLS_AT_LEAST, table
    assert 0 < verdict.arrived <= verdict.attempted


def test_the_harness_sees_what_the_control_loses() -> None:
    """A queue that is only in Redis is gone with it."""
    with (
        data_dir() as folder,
        running_receiver(folder / "receiver.jsonl", SEED) as receiver,
        running_control(folder) as (worker, _broker, broker_url),
    ):
        hooks = {hook.path: hook for hook in control_hooks()}
        steady = hooks["/steady/0"]
        journal = Journal([_raised(f"lost-{number}", steady) for number in range(20)])
        inspector = Inspector(hooks, journal)
        sender = CelerySender(receiver)
        with frozen(*worker.find(), *worker.children()):
            assert sender.send(journal.raised) is not None
            with redis.Redis.from_url(broker_url) as client:
                client.flushall()
        # It lives, and takes what comes now.
        journal.raised.append(_raised("witness", steady))
        receipts: list[Receipt] = []

        def has_come() -> bool:
            sender.send(journal.raised[-1:])
            receipts.extend(inspector.receipts(receiver.news()))
            return any(one.key.startswith("witness") for one in receipts)

        eventually(has_come, 30, "the witness")
    verdict = judge(journal.attempted(), receipts)
    # One may have been handed to the worker before it was stopped.
    assert len(verdict.lost) >= 19
    assert not verdict.holds
    assert set(verdict.unexpected) == set()


def _raised(ref: str, hook: Hook) -> Raised:
    alert = {"title": ref, "severity": "info", "labels": {"ref": ref}}
    return Raised(ref, alert, [hook], time.monotonic(), Answer.ACCEPTED, time.monotonic())


def test_a_seed_gives_the_same_storm_and_what_lasts_is_undone() -> None:
    def storm() -> tuple[list[str], int]:
        tried = undone = 0

        def undo() -> None:
            """In vain at first, as when a Redis does not answer."""
            nonlocal tried, undone
            tried += 1
            if tried % 2:
                raise Missed
            undone += 1

        def missed(_chance: object) -> None:
            raise Missed

        raging = Storm(
            [
                Fault("often", 3, lambda _chance: None, is_kill=True),
                Fault("lasting", 1, lambda _chance: undo, lasts=0.01),
                Fault("in vain", 1, missed),
            ],
            pause_seconds=0.001,
            seed=SEED,
        )
        raging.rage(0.2, lambda: None)
        names = [one.name for one in raging.struck]
        assert raging.kills == names.count("often")
        assert undone == names.count("lasting") > 0
        return names, undone

    (first, _), (second, _) = storm(), storm()
    some = 5
    assert first[:some] == second[:some]
    assert "in vain" not in first
