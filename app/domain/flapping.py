"""Flapping: a webhook whose health changes so often that to tell of each change would be noise.

As many changes as the policy says within its window, and the webhook flaps: that is told once, and
single changes are not, until it is steady: for half a window nothing has changed.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

DEFAULT_WINDOW_INTERVALS = 30
DEFAULT_WINDOW_SECONDS = 600


class FlapReason(StrEnum):
    CALM = "calm"
    CHANGED_TOO_OFTEN = "changed_too_often"
    STILL_FLAPPING = "still_flapping"
    STEADY = "steady"


class FlapPolicy(NamedTuple):
    """So many changes within so many seconds are flapping; None: never."""

    changes: int | None
    window_seconds: float


def flap_policy(
    changes: int | None, window_seconds: int | None, interval_seconds: int
) -> FlapPolicy:
    """The policy of a webhook; without a window of its own it is that of thirty checks, and no
    less than ten minutes."""
    usual = max(DEFAULT_WINDOW_INTERVALS * interval_seconds, DEFAULT_WINDOW_SECONDS)
    return FlapPolicy(changes, usual if window_seconds is None else window_seconds)


class Flapping(NamedTuple):
    """When the health changed lately, the newest last, and since when it flaps, if it does."""

    times: tuple[datetime, ...] = ()
    since: datetime | None = None


def observe(
    state: Flapping, policy: FlapPolicy, now: datetime, *, changed: bool
) -> tuple[Flapping, FlapReason]:
    """The state after one more check, at which the health changed or did not."""
    if policy.changes is None:
        return Flapping(), FlapReason.CALM if state.since is None else FlapReason.STEADY
    if not (changed or state.times or state.since):
        return state, FlapReason.CALM
    window = timedelta(seconds=policy.window_seconds)
    times = tuple(at for at in state.times if at > now - window)
    if changed:
        times = (*times, now)
    times = times[-policy.changes :]
    if state.since is None:
        if len(times) < policy.changes:
            return Flapping(times), FlapReason.CALM
        return Flapping(times, now), FlapReason.CHANGED_TOO_OFTEN
    if not times or times[-1] <= now - window / 2:
        return Flapping(), FlapReason.STEADY
    return Flapping(times, state.since), FlapReason.STILL_FLAPPING
