"""When a score is told: one alarm an incident, and a bar that rises for who alarms often."""

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Alarm:
    """After an alarm none follows until `quiet` values have passed, or until `calm` values in a
    row were below the part `calm_below` of `threshold`, unless a score is `again` times as high as
    all since that alarm: what is slight must not hide what is not. Each alarm raises the bar by
    the part `tiring` of `threshold`, which is forgotten over about `memory` values.

    So what a series does again and again is soon told no more, but for what is odder than that.
    """

    threshold: float
    quiet: int
    calm: int
    calm_below: float
    again: float
    tiring: float
    memory: int
    since: int = -1
    calm_since: int = 0
    peak: float = 0.0
    tired: float = 0.0

    @property
    def bar(self) -> float:
        return self.threshold * (1.0 + self.tiring * self.tired)

    def rings(self, score: float) -> bool:
        """Whether an incident starts with this score. To be asked of each value once, in order."""
        self.tired *= math.exp(-1.0 / self.memory)
        self._watch(score)
        is_hidden = self.since >= 0 and score < self.again * self.peak
        self.peak = max(self.peak, score)
        if score < self.bar or is_hidden:
            return False
        self.since = self.calm_since = 0
        self.peak = score
        self.tired += 1.0
        return True

    def _watch(self, score: float) -> None:
        """`since` counts the values after an alarm, while none may follow; else it is -1."""
        if self.since < 0:
            return
        self.since += 1
        is_calm = score < self.calm_below * self.threshold
        self.calm_since = self.calm_since + 1 if is_calm else 0
        if self.since > self.quiet or self.calm_since >= self.calm:
            self.since, self.peak = -1, 0.0

    def numbers(self) -> list[float]:
        return [float(self.since), float(self.calm_since), self.peak, self.tired]

    def load(self, numbers: Iterator[float]) -> None:
        self.since, self.calm_since = int(next(numbers)), int(next(numbers))
        self.peak, self.tired = next(numbers), next(numbers)
