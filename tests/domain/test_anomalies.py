"""Anomalies: the rules, by table."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.alerts import Severity
from app.domain.anomalies import (
    LEARNT_FIRST,
    EndReason,
    Open,
    Turn,
    Usual,
    Verdict,
    judge,
    may_be_told,
    may_judge_early,
    number,
    off_by,
    sentence,
    severity_of,
    time_of_week,
)
from app.domain.detector import VIEWS, Reading

AT = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
USUAL = Usual(180.0, 230.0)


def reading(score: float = 0.0, starts: bool = False, **fields: Any) -> Reading:
    given = {"low": 180.0, "high": 230.0, "seasonal": False, "bar": 0.5} | fields
    return Reading(score=score, starts=starts, views=(score,) * len(VIEWS), **given)


@pytest.mark.parametrize(
    ("starts", "learnt", "turn"),
    [
        (False, 1000, Turn.NOTHING),
        (True, 1000, Turn.BEGINS),
        (True, LEARNT_FIRST, Turn.BEGINS),
        (True, LEARNT_FIRST - 1, Turn.NOTHING),
    ],
)
def test_an_anomaly_begins(starts: bool, learnt: int, turn: Turn) -> None:
    verdict = judge(None, AT - MINUTE, AT, 200.0, reading(1.0, starts), learnt)
    assert verdict.turn is turn
    assert verdict.open == (Open(USUAL, None, AT) if turn is Turn.BEGINS else None)


@pytest.mark.parametrize(
    ("calm_minutes", "odd_minutes", "value", "given", "turn", "reason"),
    [
        # Off what was usual, it goes on, and what was calm before does not count.
        (None, 1, 412, {}, Turn.GOES_ON, None),
        (4, 10, 412, {}, Turn.GOES_ON, None),
        # Back for five minutes: over. A little off is not off.
        (None, 1, 200, {}, Turn.GOES_ON, None),
        (4, 10, 200, {}, Turn.GOES_ON, None),
        (5, 10, 200, {}, Turn.ENDS, EndReason.BACK_TO_NORMAL),
        (5, 10, 240, {}, Turn.ENDS, EndReason.BACK_TO_NORMAL),
        (5, 10, 243, {}, Turn.GOES_ON, None),
        (5, 10, 168, {}, Turn.ENDS, EndReason.BACK_TO_NORMAL),
        (5, 10, 167, {}, Turn.GOES_ON, None),
        # What is usual by now, for this hour, is calm as well; but not what the detector thinks of
        # a level that it has just got used to.
        (5, 10, 400, {"low": 390.0, "high": 410.0, "seasonal": True}, Turn.ENDS, "back_to_normal"),
        (5, 10, 400, {"low": 390.0, "high": 410.0}, Turn.GOES_ON, None),
        # Six hours that nobody finds odd any more: the new usual.
        (None, 359, 412, {}, Turn.GOES_ON, None),
        (None, 360, 412, {}, Turn.ENDS, EndReason.SETTLED),
        (None, 360, 412, {"score": 0.6}, Turn.GOES_ON, None),
    ],
)
def test_an_anomaly_goes_on_or_ends(
    calm_minutes: int | None,
    odd_minutes: int,
    value: float,
    given: dict[str, Any],
    turn: Turn,
    reason: str | None,
) -> None:
    calm_since = None if calm_minutes is None else AT - calm_minutes * MINUTE
    now_open = Open(USUAL, calm_since, AT - odd_minutes * MINUTE)
    verdict = judge(now_open, AT - MINUTE, AT, value, reading(**given), 1000)
    assert (verdict.turn, verdict.reason) == (turn, reason)


def test_what_is_calm_is_counted_from_its_first_minute_and_what_is_odd_from_its_last() -> None:
    odd = Open(USUAL, None, AT - 9 * MINUTE)
    calm = judge(odd, AT - MINUTE, AT, 200.0, reading(), 1000)
    assert calm == Verdict(Turn.GOES_ON, Open(USUAL, AT - MINUTE, AT - 9 * MINUTE))
    again = judge(calm.open, AT, AT + MINUTE, 412.0, reading(0.5), 1000)
    assert again == Verdict(Turn.GOES_ON, Open(USUAL, None, AT + MINUTE))


def test_what_is_off_begins_another_one_though_the_detector_is_quiet() -> None:
    assert judge(None, AT - MINUTE, AT, 412.0, reading(0.5), 1000).turn is Turn.BEGINS
    assert judge(None, AT - MINUTE, AT, 412.0, reading(0.49), 1000).turn is Turn.NOTHING
    assert judge(None, AT - MINUTE, AT, 235.0, reading(0.9), 1000).turn is Turn.NOTHING
    assert judge(None, AT - MINUTE, AT, 412.0, reading(0.5), 39).turn is Turn.NOTHING


@pytest.mark.parametrize(
    ("score", "bar", "off", "severity"),
    [
        (0.5, 0.5, 0.0, Severity.INFO),
        (0.74, 0.5, 0.99, Severity.INFO),
        (0.75, 0.5, 0.0, Severity.WARNING),
        (0.5, 0.5, 1.0, Severity.WARNING),
        (0.74, 0.5, 9.0, Severity.WARNING),
        (0.75, 0.5, 3.0, Severity.CRITICAL),
        (1.49, 0.5, 2.9, Severity.WARNING),
        (1.5, 0.5, 0.0, Severity.CRITICAL),
        # For who alarms often the bar is higher.
        (1.5, 1.0, 0.0, Severity.WARNING),
    ],
)
def test_severity(score: float, bar: float, off: float, severity: Severity) -> None:
    assert severity_of(score, bar, off) is severity


@pytest.mark.parametrize(
    ("usual", "value", "off"),
    [
        (USUAL, 230.0, 0.0),
        (USUAL, 255.0, 0.5),
        (USUAL, 80.0, 2.0),
        (Usual(5.0, 5.0), 5.0, 0.0),
        (Usual(5.0, 5.0), 6.0, math.inf),
    ],
)
def test_how_far_a_value_is_off(usual: Usual, value: float, off: float) -> None:
    assert off_by(usual, value) == off


@pytest.mark.parametrize(
    ("severity", "age", "told"),
    [
        (Severity.WARNING, timedelta(minutes=10), True),
        (Severity.CRITICAL, timedelta(minutes=10, seconds=1), False),
        (Severity.CRITICAL, -MINUTE, True),
        (Severity.INFO, MINUTE, False),
    ],
)
def test_what_is_old_or_slight_wakes_nobody(severity: Severity, age: timedelta, told: bool) -> None:
    assert may_be_told(severity, AT - age, AT) is told


@pytest.mark.parametrize(
    ("count", "usual", "age", "early"),
    [
        (5, 600, 3, True),
        (4, 600, 29, False),
        (1, 600, 30, True),
        (1, 2, 0, True),
        (1, 3, 0, False),
        (2, 3, 0, True),
    ],
)
def test_when_a_minute_is_judged_before_it_is_over(
    count: int, usual: float, age: int, early: bool
) -> None:
    assert may_judge_early(count, usual, timedelta(seconds=age)) is early


TUESDAY = Usual(180.0, 230.0, "Tuesday 14 h")


@pytest.mark.parametrize(
    ("value", "unit", "usual", "odd", "said"),
    [
        (412.3, "ms", TUESDAY, "level", "p95 412 ms, usual for Tuesday 14 h 180–230"),
        (412.3, None, USUAL, "level", "p95 412, usual 180–230"),
        (9.0, "s", Usual(2.0, 2.0), "level", "p95 9 s, usual 2"),
        (
            200,
            "ms",
            USUAL,
            "spread",
            "p95 200 ms, usual 180–230, but its spread is unusual",
        ),
        (
            200,
            "ms",
            USUAL,
            "long_shape",
            "p95 200 ms, usual 180–230, but its course over the last hour is unusual",
        ),
    ],
)
def test_the_sentence_explains(
    value: float, unit: str | None, usual: Usual, odd: str, said: str
) -> None:
    views = [3.0 if name == odd else 0.5 for name in VIEWS]
    assert sentence(value, unit, usual, views) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (412.34, "412"),
        (99.96, "100"),
        (41.234, "41.2"),
        (2.0, "2"),
        (0.015349, "0.0153"),
        (-5.5, "-5.5"),
        (1_234_567, "1,230,000"),
        (1e100, "1e+100"),
        (1.5e-9, "1.5e-09"),
    ],
)
def test_numbers_are_said_as_a_person_does(value: float, said: str) -> None:
    assert number(value) == said


def test_the_time_of_the_week() -> None:
    assert time_of_week(AT) == "Tuesday 14 h"
    assert time_of_week(datetime(2026, 11, 29, 0, 59, tzinfo=UTC)) == "Sunday 0 h"
