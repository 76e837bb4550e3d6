"""The score of the Numenta Anomaly Benchmark, by its published formula, standard profile.

Lavin, Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark"
(2015), and the details of the scorer in the repository numenta/NAB: of each window only the best
alarm counts, the earlier the better; a window without an alarm costs 1; each alarm outside costs
up to 0.11, less shortly after a window; nothing in the probation counts; and the sum is brought
to a scale where no alarm at all is 0 and an alarm at the start of every window is 100.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

TRUE_POSITIVE: Final = 1.0
FALSE_POSITIVE: Final = 0.11
FALSE_NEGATIVE: Final = 1.0
PROBATION_PART: Final = 0.15
PROBATION_MOST: Final = 750
# So many widths behind a window an alarm has nothing to do with it.
FAR: Final = 3.0


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of a file: its rows, and its windows as first and last row, in order."""

    rows: int
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        return min(math.floor(PROBATION_PART * self.rows), PROBATION_MOST)


@dataclass(frozen=True, slots=True)
class Score:
    """Of one file. `raw` is before the scale; `false_alarms` are rows outside of windows."""

    raw: float
    windows: int
    found: int
    false_alarms: int


def scaled_sigmoid(position: float) -> float:
    """1 far before 0, which is the end of a window, 0 there, and -1 far behind it."""
    return -1.0 if position > FAR else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def score(labels: Labels, alarms: Iterable[int]) -> Score:
    """`alarms`: rows, counted from 0, at which the detector was over its threshold."""
    best = [-FALSE_NEGATIVE] * len(labels.windows)
    found: set[int] = set()
    false_alarms, costs = 0, 0.0
    for row in alarms:
        if row < labels.probation:
            continue
        place = _window_of(labels, row)
        if place is None:
            false_alarms += 1
            costs += FALSE_POSITIVE * _behind(labels, row)
        else:
            found.add(place)
            best[place] = max(best[place], _within(labels.windows[place], row))
    return Score(sum(best) + costs, len(best), len(found), false_alarms)


def _window_of(labels: Labels, row: int) -> int | None:
    for place, (first, last) in enumerate(labels.windows):
        if first <= row <= last:
            return place
    return None


def _within(window: tuple[int, int], row: int) -> float:
    first, last = window
    position = -(last - row + 1) / (last - first + 1)
    return TRUE_POSITIVE * scaled_sigmoid(position) / scaled_sigmoid(-1.0)


def _behind(labels: Labels, row: int) -> float:
    """-1, or nearer to 0 shortly after a window. The width there is one less, as in the scorer."""
    before = [window for window in labels.windows if window[1] < row]
    if not before:
        return -1.0
    first, last = before[-1]
    return scaled_sigmoid((row - last) / (last - first))


def normalised(scores: Sequence[Score]) -> float:
    """Of many files: 0 as for no alarm, 100 as for a perfect detector. NaN without windows."""
    windows = sum(one.windows for one in scores)
    if not windows:
        return math.nan
    null = -FALSE_NEGATIVE * windows
    perfect = TRUE_POSITIVE * windows
    return 100.0 * (sum(one.raw for one in scores) - null) / (perfect - null)
