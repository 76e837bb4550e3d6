"""Anomalies of an operation: when one begins and ends, how severe it is, and why, in a sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from app.domain.alerts import Severity
from app.domain.detector import VIEWS, Reading

# So many values must be known before an anomaly is believed.
LEARNT_FIRST: Final = 40
# Who is this old is history: it teaches, and wakes nobody.
TOO_OLD_TO_TELL: Final = timedelta(minutes=10)
# In parts of the bar that the score has reached.
WARNING_FROM: Final = 1.5
CRITICAL_FROM: Final = 3.0
# In widths of what was usual, that the value is off it.
WARNING_OFF: Final = 1.0
CRITICAL_OFF: Final = 3.0
# Back among what was usual for so long, and it is over.
CALM_FOR: Final = timedelta(minutes=5)
# A little more than what was usual is still no incident: in parts of its width, on either side.
TOLERANCE: Final = 0.25
# Not odd for so long, wherever it is now: that is the new usual.
SETTLED_AFTER: Final = timedelta(hours=6)
SILENT_AFTER: Final = timedelta(hours=1)
# A minute that is not over yet is judged early with so many values, or half of the usual number,
# or once it is so old: an anomaly must be told within a minute.
ENOUGH_VALUES: Final = 5
OLD_ENOUGH: Final = timedelta(seconds=30)

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ODD: Final[Mapping[str, str]] = {
    "level": "its level",
    "trend": "its trend",
    "spread": "its spread",
    "short_shape": "its course over the last minutes",
    "long_shape": "its course over the last hour",
    "season": "its value for this time",
    "range": "its value, which was never seen before",
}


class EndReason(StrEnum):
    """Why an anomaly is over."""

    BACK_TO_NORMAL = "back_to_normal"
    SETTLED = "settled_at_a_new_level"
    SILENT = "no_more_samples"


class Turn(StrEnum):
    """What a value means for an operation."""

    NOTHING = "nothing"
    BEGINS = "begins"
    GOES_ON = "goes_on"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class Usual:
    """What was to be expected. `when` names the time of the week that this is of; None: at any."""

    low: float
    high: float
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """An anomaly that is not over. `calm_since`: when the last values in a row that were among
    what was usual began. `odd_at`: the last time that the detector found it odd.
    """

    usual: Usual
    calm_since: datetime | None
    odd_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a value means, what the anomaly becomes (where there is one), and why it ends."""

    turn: Turn
    open: Open | None = None
    reason: EndReason | None = None


def judge(
    now_open: Open | None,
    since: datetime,
    at: datetime,
    value: float,
    reading: Reading,
    learnt: int,
) -> Verdict:
    """The value is of `since` to `at`. `learnt`: how many the detector had seen before."""
    if now_open is None:
        usual = Usual(reading.low, reading.high)
        # The detector tells an incident once and is quiet then. What comes after an anomaly that
        # is over is another one, where the value says so itself.
        is_another = reading.score >= reading.bar and not is_usual(usual, value)
        if learnt < LEARNT_FIRST or not (reading.starts or is_another):
            return Verdict(Turn.NOTHING)
        return Verdict(Turn.BEGINS, Open(usual, None, at))
    is_calm = is_usual(now_open.usual, value) or (
        reading.seasonal and is_usual(Usual(reading.low, reading.high), value)
    )
    calm_since = (now_open.calm_since or since) if is_calm else None
    odd_at = at if reading.score >= reading.bar else now_open.odd_at
    becomes = Open(now_open.usual, calm_since, odd_at)
    if calm_since is not None and at - calm_since >= CALM_FOR:
        return Verdict(Turn.ENDS, becomes, EndReason.BACK_TO_NORMAL)
    if at - odd_at >= SETTLED_AFTER:
        return Verdict(Turn.ENDS, becomes, EndReason.SETTLED)
    return Verdict(Turn.GOES_ON, becomes)


def is_usual(usual: Usual, value: float) -> bool:
    """Within what was to be expected, or a little off it."""
    room = TOLERANCE * (usual.high - usual.low)
    return usual.low - room <= value <= usual.high + room


def off_by(usual: Usual, value: float) -> float:
    """How far a value is off what was usual, in widths of that."""
    off = max(value - usual.high, usual.low - value, 0.0)
    width = usual.high - usual.low
    if off == 0:
        return 0.0
    return off / width if width > 0 else math.inf


def severity_of(score: float, bar: float, off: float) -> Severity:
    """By the score, or by how far the value is off (`off_by`), whichever says more.

    Far off alone is not critical. An anomaly of severity info is listed, and wakes nobody.
    """
    reached = score / bar
    if reached >= CRITICAL_FROM or (off >= CRITICAL_OFF and reached >= WARNING_FROM):
        return Severity.CRITICAL
    is_warning = reached >= WARNING_FROM or off >= WARNING_OFF
    return Severity.WARNING if is_warning else Severity.INFO


def may_be_told(severity: Severity, at: datetime, now: datetime) -> bool:
    """Whether an anomaly that is odd at `at` may raise an alert."""
    return severity is not Severity.INFO and now - at <= TOO_OLD_TO_TELL


def may_judge_early(count: int, usual_count: float, age: timedelta) -> bool:
    """Whether a minute that is `age` old and not over says enough to judge it."""
    return age >= OLD_ENOUGH or count >= min(ENOUGH_VALUES, usual_count / 2)


def time_of_week(at: datetime) -> str:
    """As a person says it: "Tuesday 14 h", by UTC."""
    return f"{_DAYS[at.weekday()]} {at.hour} h"


def sentence(value: float, unit: str | None, usual: Usual, views: Sequence[float]) -> str:
    """Why, in plain words: "p95 412 ms, usual for Tuesday 14 h 180–230"."""
    said = f"p95 {number(value)}{f' {unit}' if unit else ''}"
    when = f" for {usual.when}" if usual.when else ""
    low, high = number(usual.low), number(usual.high)
    expected = f"usual{when} {low}" if low == high else f"usual{when} {low}–{high}"
    if is_usual(usual, value):
        # The value alone would not explain it.
        odd = max(zip(views, VIEWS, strict=True))[1]
        return f"{said}, {expected}, but {_ODD[odd]} is unusual"
    return f"{said}, {expected}"


def number(value: float) -> str:
    """To three digits, without zeros that say nothing: 412, 0.0153, 1,230,000."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 1e12 or abs(rounded) < 1e-4:
        return f"{rounded:.3g}"
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.6f}".rstrip("0").rstrip(".")
