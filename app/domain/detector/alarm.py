"""When a score is told: one alarm an incident, and a bar that rises for who alarms often."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Alarm:
    """After an alarm none follows within `quiet` values. Each raises the bar by the part `tiring`
    of `threshold`; that is forgotten over about `memory` values.

    So what a series does again and again is soon told no more, but for what is odder than that.
    """

    threshold: float
    quiet: int
    tiring: float
    memory: int
    since: int = 0
    tired: float = 0.0

    def __post_init__(self) -> None:
        self.since = self.quiet

    @property
    def bar(self) -> float:
        return self.threshold * (1.0 + self.tiring * self.tired)

    def rings(self, score: float) -> bool:
        """Whether an incident starts with this score. To be asked of each value once, in order."""
        self.since = min(self.since + 1, self.quiet + 1)
        self.tired *= math.exp(-1.0 / self.memory)
        if score < self.bar or self.since <= self.quiet:
            return False
        self.since = 0
        self.tired += 1.0
        return True

    def numbers(self) -> list[float]:
        return [float(self.since), self.tired]

    def load(self, numbers: Iterator[float]) -> None:
        self.since, self.tired = int(next(numbers)), next(numbers)
