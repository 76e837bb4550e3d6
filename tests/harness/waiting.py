"""Waiting for something to become true: by looking, with a deadline, never by sleeping it out."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

LOOK_EVERY_SECONDS = 0.05


def eventually(
    look: Callable[[], Answer],
    within: float = 20.0,
    what: str = "it",
    every: float = LOOK_EVERY_SECONDS,
) -> Answer:
    """What `look` answers once that is true. Fails after `within` seconds, with its last answer."""
    deadline = time.monotonic() + within
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s: {answer!r}")
        time.sleep(every)


def until_far_from_the_next(period_seconds: int, needs_seconds: float) -> None:
    """Returns at once; or behind the next full hour, if that begins within what a test needs."""
    eventually(
        lambda: time.time() % period_seconds <= period_seconds - needs_seconds,
        needs_seconds + 1,
        "the next period",
    )
