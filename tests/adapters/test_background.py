"""Work in a thread of its own: once for many, in spite of failures, and to the end."""

import threading

from app.adapters.background import Background
from tests.harness.waiting import eventually


class Basket:
    """Things that are left and taken, and the `Background` between."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.taken: list[list[str]] = []
        self.may_work = threading.Event()
        self.may_work.set()
        self.has_begun = threading.Event()
        self.background = Background("basket", self.work, stop_within_seconds=5)

    def leave(self, thing: str) -> None:
        with self.background.leaving():
            self.waiting.append(thing)

    def work(self) -> None:
        with self.background.taking():
            things, self.waiting = self.waiting, []
        self.has_begun.set()
        self.may_work.wait()
        if "bad" in things:
            raise ValueError("bad")
        self.taken.append(things)


def test_what_comes_while_it_works_is_taken_together() -> None:
    basket = Basket()
    basket.may_work.clear()
    basket.leave("a")
    basket.has_begun.wait()
    basket.leave("b")
    basket.leave("c")
    basket.may_work.set()
    basket.background.close()
    assert basket.taken == [["a"], ["b", "c"]]


def test_a_failure_is_not_its_end() -> None:
    basket = Basket()
    basket.leave("bad")
    eventually(lambda: not basket.waiting, what="the failure")
    basket.leave("good")
    basket.background.close()
    assert basket.taken == [["good"]]


def test_there_is_no_thread_before_it_is_needed_and_none_after_its_end() -> None:
    basket = Basket()
    assert "basket" not in names()
    basket.leave("a")
    assert "basket" in names()
    basket.background.close()
    assert "basket" not in names()
    basket.leave("b")
    assert "basket" not in names()
    assert basket.taken == [["a"]]


def test_who_pauses_is_woken_by_its_end() -> None:
    is_stopping: list[bool] = []
    background = Background(
        "pauses", lambda: is_stopping.append(background.pause(60)), stop_within_seconds=30
    )
    with background.leaving():
        pass
    background.close()
    assert is_stopping == [True]


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
