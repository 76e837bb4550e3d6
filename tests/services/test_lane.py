"""A lane's loop: what wakes it, and who waits for it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from app.deps import build
from tasks.lane import Lane
from tests.harness.waiting import eventually
from tests.services.world import World


class Endless:
    """A pass that lasts until it is let go, and counts how often it was asked to look."""

    is_busy = True

    def __init__(self) -> None:
        self.begun = self.looks = 0
        self.may_end = threading.Event()

    def run(
        self, wants_look: Callable[[], bool], stopping: Callable[[], bool]
    ) -> Mapping[str, Any]:
        self.begun += 1
        while not (stopping() or self.may_end.wait(0.001)):
            self.looks += wants_look()
        return {"passes": self.begun}

    def close(self) -> None:
        self.may_end.set()


def test_a_hint_is_heard_in_the_middle_of_a_pass_and_waits_for_nothing(world: World) -> None:
    """As many hints as there are: each of them takes one of the lane's few threads."""
    runner = Endless()
    lane = Lane("deliver", "lane-under-test", build(world.deps.settings), lambda _deps: runner)
    lane.start()
    try:
        eventually(lambda: runner.begun, what="a pass")
        for heard in (1, 2, 3):
            assert lane.wake() == {}  # who waits in vain says so
            eventually(lambda wanted=heard: runner.looks >= wanted, what="a look")  # type: ignore[misc]
        assert runner.begun == 1
    finally:
        lane.stop()


def test_who_waits_for_a_lane_hears_of_a_pass_that_began_after_he_asked(world: World) -> None:
    runner = Endless()
    lane = Lane("deliver", "lane-under-test", build(world.deps.settings), lambda _deps: runner)
    lane.start()
    try:
        eventually(lambda: runner.begun, what="a pass")
        runner.may_end.set()
        assert lane.look()["passes"] >= 2
    finally:
        lane.stop()
