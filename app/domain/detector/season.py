"""What is usual at this time of the day, or of the week, where the series has such a habit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.detector.running import Running

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
DAY_SLOTS = 48
WEEK_SLOTS = 168
# A slot speaks after so many days (weeks) that are over.
VISITS = 2
# A profile is heard while its squared error is below this part of the plain level's error.
WORTH = 0.5
# The errors of both are compared over about so many values.
COMPARED_OVER = 1000
# A slot's memory: it follows within about so many of its own values.
SLOT_MEMORY = 20
# No slot is held to be calmer than this part of the whole series' standard deviation.
CALMEST = 0.05
# An error beyond so many standard deviations of the series counts as that many.
CLIP = 3.0


class Usual(NamedTuple):
    """Mean and standard deviation of a value at this time."""

    mean: float
    deviation: float


@dataclass(slots=True)
class Profile:
    """Mean and variance for each slot of a period, and how well they foretell."""

    period: int
    slots: int
    visits: list[int] = field(init=False)
    last: list[int] = field(init=False)
    usual: list[Running] = field(init=False)
    error: float = 0.0
    level_error: float = 0.0
    compared: int = 0

    def __post_init__(self) -> None:
        self.visits = [0] * self.slots
        self.last = [-1] * self.slots
        self.usual = [Running(SLOT_MEMORY) for _each in range(self.slots)]

    def worth(self) -> float:
        """Its squared error as a part of the plain level's: the smaller, the more it is worth."""
        return self.error / self.level_error if self.level_error > 0 else math.inf

    def slot(self, at: float) -> int:
        return int(at % self.period * self.slots / self.period)

    def usual_at(self, at: float, whole: Running) -> Usual | None:
        """None while the slot knows too little. `whole` is the series at all times."""
        slot = self.slot(at)
        over = self.visits[slot] - (self.last[slot] == int(at // self.period))
        if over < VISITS:
            return None
        mine = self.usual[slot]
        return Usual(mine.mean, math.sqrt(mine.variance + CALMEST**2 * whole.variance))

    def compare(self, value: float, usual: Usual, whole: Running) -> None:
        """Note how far this profile and the plain level were off."""
        most = CLIP**2 * whole.variance
        self.compared = min(self.compared + 1, COMPARED_OVER)
        gain = 1.0 / self.compared
        self.error += gain * (min((value - usual.mean) ** 2, most) - self.error)
        self.level_error += gain * (min((value - whole.mean) ** 2, most) - self.level_error)

    def learn(self, at: float, value: float) -> None:
        slot, visit = self.slot(at), int(at // self.period)
        if self.last[slot] != visit:
            self.visits[slot] = min(self.visits[slot] + 1, VISITS + 1)
            self.last[slot] = visit
        self.usual[slot].add(value)

    def numbers(self) -> list[float]:
        found = [self.error, self.level_error, float(self.compared)]
        for visits, last, usual in zip(self.visits, self.last, self.usual, strict=True):
            found += [float(visits), float(last), *usual.numbers()]
        return found

    def load(self, numbers: Iterator[float]) -> None:
        self.error, self.level_error = next(numbers), next(numbers)
        self.compared = int(next(numbers))
        for slot in range(self.slots):
            self.visits[slot], self.last[slot] = int(next(numbers)), int(next(numbers))
            self.usual[slot].load(numbers)


@dataclass(slots=True)
class Season:
    """The better of a daily and a weekly profile, while it is worth something."""

    daily: Profile = field(default_factory=lambda: Profile(DAY_SECONDS, DAY_SLOTS))
    weekly: Profile = field(default_factory=lambda: Profile(WEEK_SECONDS, WEEK_SLOTS))

    def usual_at(self, at: float, whole: Running) -> Usual | None:
        best, found = WORTH, None
        for profile in (self.daily, self.weekly):
            if profile.worth() < best:
                usual = profile.usual_at(at, whole)
                if usual is not None:
                    best, found = profile.worth(), usual
        return found

    def learn(self, at: float, value: float, whole: Running) -> None:
        for profile in (self.daily, self.weekly):
            usual = profile.usual_at(at, whole)
            if usual is not None:
                profile.compare(value, usual, whole)
            profile.learn(at, value)

    def numbers(self) -> list[float]:
        return [*self.daily.numbers(), *self.weekly.numbers()]

    def load(self, numbers: Iterator[float]) -> None:
        self.daily.load(numbers)
        self.weekly.load(numbers)
