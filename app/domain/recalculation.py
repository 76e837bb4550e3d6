"""Recalculating a baseline: which of its hours of the week have changed, and when the next is due.

The data of an hour of the week are the hourly rollups of that hour in each week of the window. As
long as these are the same ones, so is what they merge to, and it need not be read again. The next
day's data change 24 of the 168 hours, however much has gathered before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.baseline import Floats, hours_of_week

HOUR: Final = timedelta(hours=1)
# Where there is too little yet, it is looked at again sooner than the schedule says.
LOOK_AGAIN: Final = timedelta(hours=1)
FIRST_RETRY: Final = timedelta(minutes=5)
_DIGEST_BYTES: Final = 16


class Outcome(StrEnum):
    """How the last recalculation of an operation went."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    TOO_FEW_SAMPLES = "too_few_samples"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Hours:
    """The hourly rollups of a window without their sketches, merged over the series: start in
    seconds since 1970 (in order), count, least and greatest.
    """

    at: Floats
    counts: NDArray[np.int64]
    least: Floats
    greatest: Floats

    def where(self, kept: NDArray[np.bool_]) -> "Hours":
        return Hours(self.at[kept], self.counts[kept], self.least[kept], self.greatest[kept])


@dataclass(frozen=True, slots=True)
class Plan:
    """`fingerprints` has each hour of the week with data. `to_merge` are the starts of the hourly
    rollups that have to be read and merged, by hour of the week; the others are `unchanged`.
    """

    fingerprints: Mapping[int, bytes]
    to_merge: Mapping[int, Floats]
    unchanged: frozenset[int]


def plan(hours: Hours, known: Mapping[int, bytes]) -> Plan:
    """`known` are the fingerprints of what was merged before.

    A fingerprint is made of start, count, least and greatest of each hourly rollup. A sample that
    comes late changes a count; sums are left out, since in floating point they depend on the order
    of the series.
    """
    slots = hours_of_week(hours.at)
    rows = np.stack(
        [hours.at, hours.counts.astype(np.float64), hours.least, hours.greatest], axis=1
    )
    fingerprints, to_merge = {}, {}
    for slot in np.unique(slots).tolist():
        own = rows[slots == slot]
        fingerprint = blake2b(own.tobytes(), digest_size=_DIGEST_BYTES).digest()
        fingerprints[slot] = fingerprint
        if known.get(slot) != fingerprint:
            to_merge[slot] = own[:, 0]
    return Plan(fingerprints, to_merge, frozenset(fingerprints.keys() - to_merge.keys()))


def next_run(
    now: datetime, frequency: timedelta, outcome: Outcome, failures_in_a_row: int
) -> datetime:
    """When an operation is due again. Who fails is tried again after 5, 10, 20 … minutes, but never
    later than the schedule says.
    """
    match outcome:
        case Outcome.SUCCEEDED | Outcome.REJECTED:
            return now + frequency
        case Outcome.TOO_FEW_SAMPLES:
            return now + min(frequency, LOOK_AGAIN)
        case Outcome.FAILED:
            doublings = min(max(failures_in_a_row - 1, 0), 16)
            return now + min(frequency, FIRST_RETRY * (1 << doublings))
