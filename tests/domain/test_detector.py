"""The streaming detector: what it finds, what it lets pass, and that its state is all of it."""

import math
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.detector import VIEWS, Damaged, Detector, Reading, from_bytes, to_bytes
from app.domain.detector.alarm import Alarm
from app.domain.detector.running import Deviation, Running
from app.domain.detector.season import DAY_SECONDS, Profile, Season
from app.domain.detector.shapes import Shapes
from app.domain.detector.state import MOST_BYTES

HOUR = 3600.0
# A Monday.
START = 345_600.0


def fed(detector: Detector, values: Iterable[float], step: float = 60.0) -> list[Reading]:
    begin = START + detector.seen * step
    return [detector.feed(begin + place * step, value) for place, value in enumerate(values)]


def noise(count: int, level: float = 200.0, spread: float = 10.0, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, spread) for _each in range(count)]


def taught(count: int = 600) -> Detector:
    detector = Detector()
    fed(detector, noise(count))
    return detector


ODD = {
    "a jump up": [412.0],
    "a jump down": [40.0],
    "a new level": noise(5, level=260.0, seed=2),
    "much more spread": noise(30, spread=60.0, seed=2),
    "a drift": [200.0 + 1.5 * step for step in range(60)],
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_odd_starts_one_incident(odd: list[float]) -> None:
    readings = fed(taught(), odd)
    assert sum(one.starts for one in readings) == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_goes_on_as_ever_is_no_incident(seed: int) -> None:
    detector = Detector()
    fed(detector, noise(200, seed=seed))
    assert sum(one.starts for one in fed(detector, noise(2000, seed=100 + seed))) <= 2


@pytest.mark.parametrize("level", [0.0, 5.0, -3.0])
def test_a_constant_is_never_odd(level: float) -> None:
    assert max(one.score for one in fed(Detector(), [level] * 500)) == 0.0


def test_a_change_that_nobody_would_notice_is_none() -> None:
    detector = Detector()
    fed(detector, noise(600, spread=0.01))
    assert not any(one.starts for one in fed(detector, [200.3] * 30))


def test_the_first_value_is_expected_and_bounds_hold_what_is_usual() -> None:
    (first,) = fed(Detector(), [7.0])
    assert (first.low, first.high, first.score) == (7.0, 7.0, 0.0)
    (reading,) = fed(taught(), [200.0])
    assert 170 < reading.low < 190
    assert 210 < reading.high < 230
    assert not reading.seasonal


def test_the_hour_of_the_day_is_learnt() -> None:
    detector = Detector()

    def day(at: int) -> float:
        return 400.0 if 9 <= at // 60 % 24 < 17 else 100.0

    chance = random.Random(1)
    fed(detector, [day(minute) + chance.gauss(0, 5) for minute in range(4 * 24 * 60)])
    (night,) = fed(detector, [100.0])
    assert night.seasonal
    assert 80 < night.low < 100 < night.high < 120
    # At noon it would be nothing.
    (odd,) = fed(detector, [400.0])
    assert odd.views[VIEWS.index("season")] == detector.setting.cap
    assert odd.views[VIEWS.index("range")] < 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_values_are_taken(value: float) -> None:
    detector = taught(5)
    before = to_bytes(detector)
    with pytest.raises(ValueError):
        detector.feed(START, value)
    assert to_bytes(detector) == before


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    before=st.integers(0, 400),
    values=st.lists(st.floats(-1e100, 1e100), max_size=40),
    step=st.sampled_from([60.0, 300.0, HOUR]),
)
def test_what_is_read_back_goes_on_as_if_nothing_had_been(
    seed: int, before: int, values: list[float], step: float
) -> None:
    detector = Detector()
    fed(detector, noise(before, seed=seed), step)
    again = from_bytes(to_bytes(detector))
    assert fed(again, values, step) == fed(detector, values, step)
    assert to_bytes(again) == to_bytes(detector)


def test_memory_is_bounded() -> None:
    detector = Detector()
    fed(detector, noise(2000), step=HOUR)
    full = to_bytes(detector)
    fed(detector, noise(1000, seed=3), step=HOUR)
    assert max(len(full), len(to_bytes(detector))) < MOST_BYTES


def test_bytes_that_are_no_state_are_refused() -> None:
    good = to_bytes(taught(50))
    for bad in (b"", b"x", good[:-3], b"\xff\xff" + good[2:], good[:6] + b"zzzz"):
        with pytest.raises(Damaged):
            from_bytes(bad)


def test_huge_values_do_not_break_it() -> None:
    for one in fed(Detector(), [1e100, -1e100] * 60):
        assert math.isfinite(one.score)


class TestAlarm:
    def rings(self, scores: Iterable[float], **given: float) -> list[int]:
        setting = {
            "quiet": 10,
            "calm": 3,
            "calm_below": 0.3,
            "again": 2,
            "tiring": 0.0,
            "memory": 1000,
        }
        alarm = Alarm(threshold=0.5, **(setting | given))  # type: ignore[arg-type]
        return [place for place, one in enumerate(scores) if alarm.rings(one)]

    def test_an_incident_is_told_once(self) -> None:
        assert self.rings([0.4, 0.5, 0.9, 0.9]) == [1]

    def test_again_after_the_quiet_time(self) -> None:
        assert self.rings([0.9] * 24) == [0, 11, 22]

    def test_again_once_it_was_calm(self) -> None:
        assert self.rings([0.9, 0.1, 0.1, 0.1, 0.9]) == [0, 4]
        assert self.rings([0.9, 0.1, 0.1, 0.2, 0.9]) == [0]
        assert self.rings([0.9, 0.1, 0.1, 0.9]) == [0]

    def test_what_is_slight_does_not_hide_what_is_not(self) -> None:
        assert self.rings([0.5, 0.9, 1.1, 1.7, 2.3]) == [0]
        assert self.rings([0.5, 0.9, 1.8, 2.3, 3.5]) == [0, 2]
        assert self.rings([0.5, 0.4, 1.0]) == [0, 2]

    def test_who_alarms_often_must_be_odder(self) -> None:
        often = [0.9, 0.0, 0.0, 0.0] * 10
        assert len(self.rings(often)) == 10
        assert len(self.rings(often, tiring=0.2)) == 5
        # It is forgotten.
        assert len(self.rings(often, tiring=0.2, memory=4)) == 10


def test_running_mean_and_variance_are_those_of_all_until_memory_is_full() -> None:
    values = noise(50)
    running = Running(100)
    for value in values:
        running.add(value)
    mean = sum(values) / 50
    assert running.mean == pytest.approx(mean)
    assert running.variance == pytest.approx(sum((one - mean) ** 2 for one in values) / 50)


def test_a_deviation_is_held_against_a_past_that_shares_nothing_with_it() -> None:
    deviation = Deviation(memory=1000, lag=3, ready_after=2)
    assert [deviation.of(one) for one in (1.0, 3.0, 9.0, 9.0, 9.0)] == [0.0] * 5
    # The past is 1, 3.
    assert deviation.past.count == 2
    assert deviation.of(5.0) == pytest.approx(3.0)


class TestSeason:
    def test_a_slot_speaks_after_two_days_that_are_over(self) -> None:
        profile, whole = Profile(DAY_SECONDS, 24), Running(1000)
        for day in range(3):
            assert (profile.usual_at(day * DAY_SECONDS, whole) is None) == (day < 2)
            profile.learn(day * DAY_SECONDS, 10.0)
            # Another value of the same day makes no more days of it.
            profile.learn(day * DAY_SECONDS + 60, 10.0)

    def test_it_is_not_heard_where_there_is_no_habit(self) -> None:
        season, whole = Season(), Running(2000)
        for place, value in enumerate(noise(24 * 60)):
            at = START + place * HOUR
            whole.add(value)
            season.learn(at, value, whole)
        assert season.usual_at(START, whole) is None


class TestShapes:
    def test_what_was_seen_is_near_and_what_was_not_is_far(self) -> None:
        shapes = Shapes(4, 1, kept=3)
        assert shapes.novelty(np.array([0.0, 1.0, 0.0, 1.0]), 1.0) is None
        assert shapes.novelty(np.array([0.0, 1.0, 0.0, 1.0]), 1.0) == 0.0
        assert shapes.novelty(np.array([2.0, 1.0, 2.0, 1.0]), 1.0) == pytest.approx(2**0.5)
        assert shapes.novelty(np.array([5.0, 1.0, 0.0, 1.0]), 2.0) == pytest.approx(
            (13 / 4) ** 0.5 / 2
        )
        # Three are kept; the oldest has made room.
        for level in (10.0, 20.0, 30.0):
            shapes.novelty(np.full(4, level), 1.0)
        assert len(shapes.known) == 3
        assert shapes.novelty(np.array([0.0, 1.0, 0.0, 1.0]), 1.0) != 0.0
