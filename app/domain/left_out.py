"""What a baseline must not learn from: times of trouble, and times of planned quiet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from app.domain.baseline import Floats
from app.domain.matchers import Subject, all_match
from app.domain.silences import DAYS, Silence, SilenceKind

# Before an alert fires something has been wrong for a while, and after it some of it lingers.
MARGIN: Final = timedelta(minutes=15)
# What goes on for longer is what is usual from now on: left out for ever, it would never be
# learnt, and its alert would never be resolved.
LONGEST_TROUBLE: Final = timedelta(hours=72)
# A baseline says where its gaps come from; of so many it keeps the newest.
MOST_SHOWN: Final = 200

_SEVERITIES = ("info", "warning", "critical")


class Reason(StrEnum):
    ALERT = "alert"
    ANOMALY = "anomaly"
    INCIDENT = "incident"
    SILENCE = "silence"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """From `since` to before `until`; `id` is that of the alert, anomaly, incident or
    silence."""

    since: datetime
    until: datetime
    reason: Reason
    id: int


def trouble(
    reason: Reason, trouble_id: int, began: datetime, ended: datetime | None, now: datetime
) -> Window:
    """Of an alert, an anomaly or an incident; without an end it goes on."""
    ended = min(ended or now, began + LONGEST_TROUBLE)
    return Window(began - MARGIN, max(ended, began) + MARGIN, reason, trouble_id)


def is_about(silence: Silence, operation: str) -> bool:
    """Whether it would mute an alert with no label but `operation`, of whatever severity."""
    return any(
        all_match(silence.matchers, Subject(severity, None, {"operation": operation}))
        for severity in _SEVERITIES
    )


def quiet(silence: Silence, since: datetime, until: datetime) -> list[Window]:
    """When it was in force between two moments, in order."""
    reason = Reason.MAINTENANCE if silence.kind is SilenceKind.MAINTENANCE else Reason.SILENCE
    first = max(since, silence.starts_at)
    last = until if silence.ends_at is None else min(until, silence.ends_at)
    if first >= last:
        return []
    if silence.recurrence is None:
        return [Window(first, last, reason, silence.id)]
    zone = ZoneInfo(silence.recurrence.time_zone)
    # One that begins on the day before may go on over midnight.
    day = first.astimezone(zone).date() - timedelta(days=1)
    found = []
    while day <= last.astimezone(zone).date():
        if DAYS[day.weekday()] in silence.recurrence.days:
            begins, ends = silence.recurrence.window_of(day)
            if max(begins, first) < min(ends, last):
                found.append(Window(max(begins, first), min(ends, last), reason, silence.id))
        day += timedelta(days=1)
    return found


def carried_over(former: Iterable[Window], since: datetime, horizon: datetime) -> list[Window]:
    """Of the windows that the baseline before left out, those parts that nothing else tells of any
    more: alerts and silences are purged at `horizon`, and what they explained stays left out.
    """
    return [
        Window(one.since, min(one.until, horizon), one.reason, one.id)
        for one in former
        if one.since < horizon and one.until > since
    ]


def spans(windows: Iterable[Window]) -> list[tuple[datetime, datetime]]:
    """The time that any of these covers, in order and without overlap."""
    joined: list[tuple[datetime, datetime]] = []
    for one in sorted(windows):
        if joined and one.since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], one.until))
        else:
            joined.append((one.since, one.until))
    return joined


def touched(
    at: Floats, length: float, covered: Sequence[tuple[datetime, datetime]]
) -> NDArray[np.bool_]:
    """Which buckets are touched by what `spans` gave: those are left out as a whole. `at` are their
    starts in seconds since 1970, `length` is in seconds.
    """
    begins = np.array([since.timestamp() for since, _until in covered])
    ends = np.array([until.timestamp() for _since, until in covered])
    # The first span that is not over when the bucket begins; no earlier one touches it.
    place = np.searchsorted(ends, at, side="right")
    begins_there = np.append(begins, np.inf)[place]
    return np.asarray(begins_there < at + length)


def shown(windows: Iterable[Window]) -> list[Window]:
    """The newest, in order."""
    return sorted(windows)[-MOST_SHOWN:]
