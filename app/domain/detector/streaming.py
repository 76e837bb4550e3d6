"""A streaming anomaly detector: one setting for all series, one value at a time, bounded memory.

Seven views look at each value, each against its own past, so that each is in units of what is
usual for this series: level, trend, spread, the shape of a short and of a long stretch, the
season, and the range ever seen. A view's evidence is its deviation in parts of what is rare, at
most `cap`; the score is the mean over all views, each at the most that it showed within the last
`held` values. No view decides alone: an anomaly is what several find odd at about the same time.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from app.domain.detector.alarm import Alarm
from app.domain.detector.running import ROUNDING, Deviation, Running
from app.domain.detector.season import Season
from app.domain.detector.shapes import Shapes

VIEWS: Final = ("level", "trend", "spread", "short_shape", "long_shape", "season", "range")
# Standard deviations on either side that are called usual.
USUAL_WITHIN: Final = 2.0
# Of the series' standard deviation: less of a spread, or of a shape's strangeness, is none.
CALM: Final = 0.01
# Of the series' mean: a smaller change is no news to anybody, however calm the series was.
GRAIN: Final = 0.005
_SHAPES: Final = ("short_shape", "long_shape")


@dataclass(frozen=True, slots=True)
class Setting:
    """The one setting. Lengths are in values: in minutes, where each minute has one.

    `rare`: so many standard deviations are rare; `rare_in_season`: of a slot of the profile;
    `rare_beyond`: so far outside of the range seen, in parts of it (the "spatial tolerance" of
    Numenta's detector). Shapes are so many means of so many values each.
    """

    memory: int = 2000
    level: int = 3
    stretch: int = 30
    trend: int = 100
    short_shape: tuple[int, int] = (8, 1)
    long_shape: tuple[int, int] = (12, 6)
    shapes: int = 64
    ready_after: int = 30
    rare: float = 3.5
    rare_in_season: float = 2.0
    rare_beyond: float = 0.05
    cap: float = 3.0
    held: int = 6
    threshold: float = 0.5
    quiet: int = 100
    calm: int = 10
    calm_below: float = 0.3
    again: float = 2.0
    tiring: float = 0.2

    def alarm(self, threshold: float | None = None) -> Alarm:
        """A fresh one, with this threshold instead of the setting's where one is given."""
        return Alarm(
            self.threshold if threshold is None else threshold,
            self.quiet,
            self.calm,
            self.calm_below,
            self.again,
            self.tiring,
            self.memory,
        )


class Reading(NamedTuple):
    """What the detector makes of one value.

    `score`: 0 is usual. `bar`: what this series' score must reach to be told. `starts`: an
    incident starts here. `views`: the evidence of each, in the order of VIEWS. `low`, `high`:
    where the value was expected by what was seen before it, `seasonal` by the time of day or week.
    """

    score: float
    bar: float
    starts: bool
    views: tuple[float, ...]
    low: float
    high: float
    seasonal: bool


@dataclass(slots=True)
class Detector:
    """The state of one series. Feed it values in the order of their time."""

    setting: Setting = field(default_factory=Setting)
    seen: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    whole: Running = field(init=False)
    season: Season = field(default_factory=Season)
    alarm: Alarm = field(init=False)
    shapes: dict[str, Shapes] = field(init=False)
    deviations: dict[str, Deviation] = field(init=False)
    values: deque[float] = field(init=False)
    evidence: deque[tuple[float, ...]] = field(init=False)

    def __post_init__(self) -> None:
        it = self.setting
        self.whole = Running(it.memory)
        self.alarm = it.alarm()
        shapes = (Shapes(*it.short_shape, it.shapes), Shapes(*it.long_shape, it.shapes))
        self.shapes = dict(zip(_SHAPES, shapes, strict=True))
        lags = {"level": it.level, "trend": it.trend, "spread": it.stretch}
        lags |= {name: one.span for name, one in self.shapes.items()}
        self.deviations = {
            name: Deviation(it.memory, lag, it.ready_after) for name, lag in lags.items()
        }
        self.values = deque(maxlen=max(it.trend, *(one.span for one in shapes)))
        self.evidence = deque(maxlen=it.held)

    @property
    def grain(self) -> float:
        """The smallest change that matters, in the unit of the values."""
        return GRAIN * abs(self.whole.mean)

    def feed(self, at: float, value: float) -> Reading:
        """Judge a value by what came before it, then learn it. `at`: seconds since 1970.

        Raises ValueError for a value that is not finite.
        """
        if not math.isfinite(value):
            raise ValueError("a value must be finite")
        low, high, seasonal, in_season = self._in_season(at, value)
        beyond = self._beyond(value)
        self.values.append(value)
        self.whole.add(value)
        self.season.learn(at, value, self.whole)
        found = (*self._against_the_past(), in_season, beyond)
        self.seen += 1
        self.evidence.append(tuple(min(one, self.setting.cap) for one in found))
        views = tuple(max(one) for one in zip(*self.evidence, strict=True))
        score = sum(views) / len(views)
        bar = self.alarm.bar
        return Reading(score, bar, self.alarm.rings(score), views, low, high, seasonal)

    def _in_season(self, at: float, value: float) -> tuple[float, float, bool, float]:
        """Low, high, whether these are of the season, and the season's evidence."""
        if not self.seen:
            return value, value, False, 0.0
        usual = self.season.usual_at(at, self.whole)
        evidence = 0.0
        if usual is None:
            center, deviation = self.whole.mean, math.sqrt(self.whole.variance)
        else:
            center, deviation = usual
            if deviation > 0:
                evidence = abs(value - center) / deviation / self.setting.rare_in_season
        low = min(max(center - USUAL_WITHIN * deviation, self.lowest), center)
        high = max(min(center + USUAL_WITHIN * deviation, self.highest), center)
        return low, high, usual is not None, evidence

    def _beyond(self, value: float) -> float:
        """How far outside of the range seen so far, in parts of what is rare."""
        rare = self.setting.rare_beyond * (self.highest - self.lowest) + self.grain
        beyond = 0.0
        if self.seen and rare > 0 and self.highest > self.lowest:
            beyond = max(value - self.highest, self.lowest - value, 0.0) / rare
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        return beyond

    def _against_the_past(self) -> Iterator[float]:
        """The evidence of the views that hold a statistic against its own past, in their order."""
        it = self.setting
        grain = self.grain
        scale = math.sqrt(self.whole.variance) + grain + ROUNDING
        values = np.array(self.values)
        level, stretch = float(values[-it.level :].mean()), values[-it.stretch :]
        drift = float(stretch.mean()) - float(values[-it.trend :].mean())
        spread = math.log(float(stretch.std()) + CALM * scale + grain)
        yield abs(self.deviations["level"].of(level, grain)) / it.rare
        yield abs(self.deviations["trend"].of(drift, grain)) / it.rare
        yield abs(self.deviations["spread"].of(spread)) / it.rare
        for name in _SHAPES:
            shapes, novelty = self.shapes[name], None
            if len(values) >= shapes.span:
                novelty = shapes.novelty(values[-shapes.span :], scale, grain)
            # What is known unusually well is no news.
            evidence = (
                self.deviations[name].of(math.log(novelty + CALM)) if novelty is not None else 0.0
            )
            yield max(evidence, 0.0) / it.rare
