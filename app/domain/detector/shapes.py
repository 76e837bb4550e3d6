"""How unlike a stretch of a series is to all stretches before it that are still remembered.

Nearest neighbour on lag vectors, as in conformal k-NN detectors (Burnaev, Ishimtsev 2016), against
a bounded set of prototypes that is learnt in passing, as in adaptive resonance (Carpenter,
Grossberg 1987): what resembles a prototype draws it nearer, what is new takes the oldest's place.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Nearer than so many standard deviations of the series is the same shape.
SAME = 0.2
DRAWN_BY = 0.1


@dataclass(slots=True)
class Shapes:
    """Stretches of `length` means of `step` values each."""

    length: int
    step: int
    kept: int
    seen: int = 0
    next_place: int = 0
    known: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.known = np.zeros((0, self.length), dtype=np.float64)

    @property
    def span(self) -> int:
        return self.length * self.step

    def novelty(
        self, stretch: NDArray[np.float64], scale: float, grain: float = 0.0
    ) -> float | None:
        """The distance (root mean square, in `scale`) of the nearest known shape; then learns.

        `stretch`: the last `span` values, oldest first. Less than `grain` is no distance. None
        while nothing is known.
        """
        shape = stretch.reshape(self.length, self.step).mean(axis=1) if self.step > 1 else stretch
        found, nearest = None, -1
        if len(self.known):
            off = self.known - shape
            distances = np.einsum("ij,ij->i", off, off)
            nearest = int(distances.argmin())
            distance = math.sqrt(float(distances[nearest]) / self.length)
            found = max(distance - grain, 0.0) / scale
        if self.seen % self.step == 0:
            self._learn(shape, found, nearest)
        self.seen += 1
        return found

    def _learn(self, shape: NDArray[np.float64], distance: float | None, nearest: int) -> None:
        if len(self.known) < self.kept:
            self.known = np.vstack([self.known, shape[None]])
        elif distance is not None and distance < SAME:
            mine = self.known[nearest]
            mine += DRAWN_BY * (shape - mine)
        else:
            self.known[self.next_place] = shape
            self.next_place = (self.next_place + 1) % self.kept

    def numbers(self) -> list[float]:
        return [
            float(self.seen),
            float(self.next_place),
            float(len(self.known)),
            *map(float, self.known.ravel()),
        ]

    def load(self, numbers: Iterator[float]) -> None:
        self.seen, self.next_place, count = (int(next(numbers)) for _each in range(3))
        flat = [next(numbers) for _each in range(count * self.length)]
        self.known = np.array(flat, dtype=np.float64).reshape(count, self.length)
