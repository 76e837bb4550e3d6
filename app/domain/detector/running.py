"""What is usual for a number, and how far the present is off it: a forgetful mean and variance."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

# Rounding is not a deviation.
ROUNDING = 1e-9


@dataclass(slots=True)
class Running:
    """Mean and variance that forget: the weight of a value halves every 0.7 × `memory` values.

    Until so many values were seen all of them weigh the same (West 1979, the incremental form).
    """

    memory: int
    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float) -> None:
        if self.count < self.memory:
            self.count += 1
        if self.count == 1:
            self.mean = value
            return
        gain = 1.0 / self.count
        off = value - self.mean
        self.mean += gain * off
        self.variance = (1.0 - gain) * (self.variance + gain * off * off)

    def numbers(self) -> list[float]:
        return [float(self.count), self.mean, self.variance]

    def load(self, numbers: Iterator[float]) -> None:
        self.count = int(next(numbers))
        self.mean = next(numbers)
        self.variance = next(numbers)


@dataclass(slots=True)
class Deviation:
    """How many standard deviations a statistic is off its own past.

    The past ends `lag` values ago: a statistic of a window shares no value with the past that it is
    held against, so a change does not excuse itself.
    """

    memory: int
    lag: int
    ready_after: int
    past: Running = field(init=False)
    waiting: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self.past = Running(self.memory)
        self.waiting = deque()

    def of(self, value: float, grain: float = 0.0) -> float:
        """The signed deviation of `value`; 0 while too little is known. Then learns it.

        Less than `grain` is no deviation, however calm the past was.
        """
        past = self.past
        found = 0.0
        if past.count >= self.ready_after:
            off = value - past.mean
            least = grain + ROUNDING * (abs(past.mean) + ROUNDING)
            if abs(off) > least:
                found = off / (math.sqrt(past.variance) + least)
        self.waiting.append(value)
        if len(self.waiting) > self.lag:
            past.add(self.waiting.popleft())
        return found

    def numbers(self) -> list[float]:
        return [*self.past.numbers(), float(len(self.waiting)), *self.waiting]

    def load(self, numbers: Iterator[float]) -> None:
        self.past.load(numbers)
        self.waiting = deque(next(numbers) for _each in range(int(next(numbers))))
