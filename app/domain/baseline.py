"""Baselines: what is usual for an operation, and when it is off that.

A baseline is the statistics of all samples in its window, and those of each hour of the week (UTC;
0 is Monday 00:00) that has enough of them. They come from rollups, so the work does not depend on
how many samples there were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.rollups import Rollup, mean, quantiles, stddev

Floats = NDArray[np.float64]

HOURS_OF_WEEK: Final = 168
# An hour of the week with fewer samples has no statistics of its own: the p95 of fewer than 20 is
# their greatest.
MIN_SLOT_SAMPLES: Final = 30

RANKS: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
# Evenly spaced ranks: the quantiles there stand for the values, all with the same weight.
_GRID_POINTS: Final = 1000
_GRID: Final = tuple((one + 0.5) / _GRID_POINTS for one in range(_GRID_POINTS))
_ASKED: Final = RANKS + _GRID

# Off its baseline is what is further from the mean than so many standard deviations.
WIDTH: Final = 3.0
# For normally distributed values the standard deviation is so many MADs (1 / Φ⁻¹(3/4)).
MAD_TO_STDDEV: Final = 1.4826
# Of the mean: what changes by less is the same to whoever looks.
LEAST_SPREAD: Final = 0.01


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of some samples, in their unit. `stddev` is that of the samples themselves; `mad` is the
    median of the distances from the median.
    """

    sample_count: int
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    mean: float
    stddev: float
    mad: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """`slots` has the hours of the week that have enough samples."""

    overall: Statistics
    slots: Mapping[int, Statistics]

    def at(self, hour: int) -> Statistics:
        """What is usual in that hour of the week; without an own one, what is usual at all."""
        return self.slots.get(hour, self.overall)


def hour_of_week(moment: datetime) -> int:
    """0 to 167, from Monday 00:00 UTC."""
    utc = moment.astimezone(UTC)
    return utc.weekday() * 24 + utc.hour


def hours_of_week(epochs: Floats) -> NDArray[np.int64]:
    """The same for many moments, in seconds since 1970, which began on a Thursday."""
    return ((epochs // 3600).astype(np.int64) + 3 * 24) % HOURS_OF_WEEK


def statistics_of(rollup: Rollup) -> Statistics:
    """Quantiles and MAD from the sketch, mean and standard deviation exactly.

    The MAD is the median of |x - p50| over the quantiles at 1,000 evenly spaced ranks. A sketch
    says how many values are below another one within its `RANK_ERROR` e, and |x - p50| <= m is
    p50 - m <= x <= p50 + m. So the part of the values that are no further than the MAD from
    the p50 shown is a half, give or take 2 e + 1/1000 (k = 800: 0.8 % of the values), and that
    p50 is itself a median within e.
    """
    found = quantiles(rollup, _ASKED)
    p50, p75, p90, p95, p99 = found[: len(RANKS)]
    distances = np.abs(np.asarray(found[len(RANKS) :]) - p50)
    return Statistics(
        sample_count=rollup.count,
        p50=p50,
        p75=p75,
        p90=p90,
        p95=p95,
        p99=p99,
        mean=mean(rollup),
        stddev=stddev(rollup),
        mad=float(np.median(distances)),
    )


def band(usual: Statistics, count: int) -> tuple[float, float]:
    """Between which values the mean of `count` samples is usual."""
    half = float(_half_widths(usual.mad, usual.stddev, usual.mean, np.asarray(float(count))))
    return usual.mean - half, usual.mean + half


def single_values(p50: float, p99: float, mad: float) -> tuple[float, float]:
    """Between which single values, and so their percentiles over a minute, are usual: within three
    robust standard deviations of the median, and up to the p99 where values have a long tail.
    """
    room = WIDTH * MAD_TO_STDDEV * mad
    return p50 - room, max(p50 + room, p99)


def _half_widths(
    mad: float | Floats, stddev_: float | Floats, mean_: float | Floats, counts: Floats
) -> Floats:
    """A mean must differ by what is much among single samples (their robust spread, so that an
    outlier of the past does not hide one of today), and by what chance does not give: the mean of
    n samples has the standard deviation s / √n. Whichever is more decides.
    """
    material = np.maximum(MAD_TO_STDDEV * np.asarray(mad), LEAST_SPREAD * np.abs(mean_))
    chance = np.asarray(stddev_) / np.sqrt(counts)
    return WIDTH * np.maximum(material, chance)


@dataclass(frozen=True, slots=True)
class Buckets:
    """The means of some consecutive buckets, and how many samples each had; `at` are their
    starts, in seconds since 1970 and in order. Buckets without samples are left out.
    """

    at: Floats
    means: Floats
    counts: Floats


def off_baseline(baseline: Baseline, buckets: Buckets) -> NDArray[np.bool_]:
    """For each bucket, whether its mean is out of the band of its hour of the week."""
    hours = hours_of_week(buckets.at)
    usual = {hour: baseline.at(hour) for hour in set(hours.tolist())}
    centres, mads, stddevs = (
        np.array([getattr(usual[hour], name) for hour in hours.tolist()], dtype=np.float64)
        for name in ("mean", "mad", "stddev")
    )
    halves = _half_widths(mads, stddevs, centres, buckets.counts)
    return np.asarray(np.abs(buckets.means - centres) > halves)
