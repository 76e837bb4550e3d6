"""How a baseline would have done on the last week, before it may take over."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.baseline import Baseline, Buckets, off_baseline

# One bucket that is off is chance or a hiccup; so many in a row fire.
CONFIRM_BUCKETS: Final = 2
# A candidate must not find more than this part of the last week unusual …
MOST_OFF: Final = 0.05
# … unless the one that it would replace does too: then the week was unusual, not the candidate.
MOST_OFF_TO_ACTIVE: Final = 2.0


class Verdict(StrEnum):
    """`fires_too_often` rejects; the others let it take over."""

    FIRST = "first"
    FITS = "fits"
    NOTHING_TO_TEST = "nothing_to_test"
    FIRES_TOO_OFTEN = "fires_too_often"

    @property
    def takes_over(self) -> bool:
        return self is not Verdict.FIRES_TOO_OFTEN


@dataclass(frozen=True, slots=True)
class BackTest:
    """Of `buckets`, so many are `off`; it would have fired `fired` times."""

    buckets: int
    off: int
    fired: int


def runs(off: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last place of each run of at least `CONFIRM_BUCKETS` that are off."""
    padded = np.concatenate(([False], off, [False])).astype(np.int8)
    edges = np.diff(padded)
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        (int(first), int(end) - 1)
        for first, end in zip(firsts, ends, strict=True)
        if end - first >= CONFIRM_BUCKETS
    ]


def back_test(baseline: Baseline, buckets: Buckets) -> BackTest:
    off = off_baseline(baseline, buckets)
    return BackTest(len(off), int(off.sum()), len(runs(off)))


def judge(candidate: BackTest, active: BackTest | None) -> Verdict:
    """Whether a candidate may take over from the active one; both on the same buckets."""
    if active is None:
        return Verdict.FIRST
    if not candidate.buckets:
        return Verdict.NOTHING_TO_TEST
    too_often = candidate.off > MOST_OFF * candidate.buckets
    if too_often and candidate.off > MOST_OFF_TO_ACTIVE * active.off:
        return Verdict.FIRES_TOO_OFTEN
    return Verdict.FITS
