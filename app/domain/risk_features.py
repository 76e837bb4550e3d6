"""What a prediction looks at: a named list of figures for each webhook, from its hours of checks.

The list is versioned: a model says by which version it was trained, and is asked with no other.
All figures are raw (rates, hours, logarithms of ratios), so that they can be shown; `scaled` bends
those with a long tail, which a linear model could not follow.

One function makes the figures of one webhook for any number of moments, so training and
prediction can't differ. It looks only at hours that were over at the moment, in any order, and
an hour that is missing is one in which nobody checked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.domain.check_rollups import CheckRollup, latency_quantiles

Floats = NDArray[np.float64]

VERSION: Final = 1
HORIZON_HOURS: Final = 6
HOUR_SECONDS: Final = 3600
WEEK_HOURS: Final = 168
# Less says too little of what is usual for a webhook.
MIN_HOURS_SEEN: Final = 24
# The last check must be in one of so many hours, or the figures are not of the present.
FRESH_HOURS: Final = 2
# An hour in which at least this part of the checks failed: rollups know no health status.
OUTAGE_PART: Final = 0.25
# e⁵ times the usual latency is as bad as any more.
MAX_LOG_RATIO: Final = 5.0
# A slope needs more points than a line has parameters.
MIN_TREND_HOURS: Final = 3


class Feature(StrEnum):
    """In the order of version 1's rows."""

    FAILURES_IN_A_ROW = "failures_in_a_row"
    FAILURE_RATE_1H = "failure_rate_1h"
    FAILURE_RATE_6H = "failure_rate_6h"
    FAILURE_RATE_24H = "failure_rate_24h"
    FAILURE_RATE_7D = "failure_rate_7d"
    HOURS_SINCE_FAILURE = "hours_since_failure"
    HOURS_SINCE_OUTAGE = "hours_since_outage"
    OUTAGES_24H = "outages_24h"
    OUTAGES_7D = "outages_7d"
    OUTAGE_DAYS_SAME_HOURS = "outage_days_same_hours"
    SLOW_RATE_1H = "slow_rate_1h"
    SLOW_RATE_24H = "slow_rate_24h"
    LATENCY_RATIO_1H = "latency_ratio_1h"
    LATENCY_RATIO_6H = "latency_ratio_6h"
    LATENCY_TREND_6H = "latency_trend_6h"
    DELIVERIES_FAILING_HOURS = "deliveries_failing_hours"


FEATURES: Final = tuple(Feature)


class Gap(StrEnum):
    """Why there are no figures."""

    TOO_LITTLE_HISTORY = "too_little_history"
    NO_RECENT_CHECKS = "no_recent_checks"


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """Hours of one webhook's checks, in any order: an entry of each array for each hour.

    `at` is where the hour starts, in seconds since 1970; then the checks outside of maintenance,
    how many of them failed and how many were slow, and the 95th percentile of latency in ms (NaN
    where none answered).
    """

    at: Floats
    checks: Floats
    failed: Floats
    slow: Floats
    latency_p95_ms: Floats


@dataclass(frozen=True, slots=True)
class Present:
    """What is known of a moment itself: failed checks in a row, and for how many hours nothing
    that was sent has arrived (0: what was sent last did)."""

    failures_in_a_row: float = 0.0
    deliveries_failing_hours: float = 0.0


def history_of(rollups: Iterable[tuple[datetime, CheckRollup]]) -> CheckHistory:
    """From rollups of an hour, as `app.services.health_rollups.check_rollups` gives them."""
    rows = [(at.timestamp(), one.counted, one.failed, one.slow, _p95(one)) for at, one in rollups]
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return CheckHistory(*columns)


def _p95(rollup: CheckRollup) -> float:
    found = latency_quantiles(rollup, [0.95])
    return np.nan if found is None else found[0]


def features_of(
    history: CheckHistory, moments: Sequence[float] | Floats, present: Sequence[Present]
) -> tuple[Floats, list[Gap | None]]:
    """The figures of one webhook at each of these moments (whole hours, in seconds since 1970,
    ascending), a row for each, and why a row is not to be used.
    """
    at = np.asarray(moments, np.float64)
    if not len(at):
        return np.empty((0, len(FEATURES))), []
    weeks = _Weeks(history, at)
    columns = {
        Feature.FAILURES_IN_A_ROW: np.array([one.failures_in_a_row for one in present]),
        Feature.FAILURE_RATE_1H: weeks.failure_rate(1),
        Feature.FAILURE_RATE_6H: weeks.failure_rate(6),
        Feature.FAILURE_RATE_24H: weeks.failure_rate(24),
        Feature.FAILURE_RATE_7D: weeks.failure_rate(WEEK_HOURS),
        Feature.HOURS_SINCE_FAILURE: _hours_since(weeks.failed > 0),
        Feature.HOURS_SINCE_OUTAGE: _hours_since(weeks.outage),
        Feature.OUTAGES_24H: weeks.outages(24),
        Feature.OUTAGES_7D: weeks.outages(WEEK_HOURS),
        Feature.OUTAGE_DAYS_SAME_HOURS: weeks.outage_days_in_hours_to_come(),
        Feature.SLOW_RATE_1H: weeks.slow_rate(1),
        Feature.SLOW_RATE_24H: weeks.slow_rate(24),
        Feature.LATENCY_RATIO_1H: weeks.latency_ratio(1),
        Feature.LATENCY_RATIO_6H: weeks.latency_ratio(6),
        Feature.LATENCY_TREND_6H: weeks.latency_trend(6),
        Feature.DELIVERIES_FAILING_HOURS: np.array(
            [min(one.deliveries_failing_hours, WEEK_HOURS) for one in present]
        ),
    }
    return np.column_stack([columns[name] for name in FEATURES]), weeks.gaps()


class _Weeks:
    """The week before each moment as a row of hours; the last column is the hour just over."""

    def __init__(self, history: CheckHistory, moments: Floats) -> None:
        ends = (moments // HOUR_SECONDS).astype(np.int64)
        first = int(ends[0]) - WEEK_HOURS
        size = int(ends[-1]) - first
        place = (history.at // HOUR_SECONDS).astype(np.int64) - first
        inside = (place >= 0) & (place < size)
        measured = inside & (history.latency_p95_ms > 0)

        def rows(values: Floats, known: NDArray[np.bool_], otherwise: float) -> Floats:
            hours = np.full(size, otherwise)
            hours[place[known]] = values[known]
            weeks: Floats = sliding_window_view(hours, WEEK_HOURS)[ends - first - WEEK_HOURS]
            return weeks

        self.checks = rows(history.checks, inside, 0.0)
        self.failed = rows(history.failed, inside, 0.0)
        self.slow = rows(history.slow, inside, 0.0)
        self.log_latency = np.log(rows(history.latency_p95_ms, measured, np.nan))
        self.outage = (self.failed > 0) & (self.failed >= OUTAGE_PART * self.checks)

    def failure_rate(self, hours: int) -> Floats:
        return _part(self.failed[:, -hours:], self.checks[:, -hours:])

    def slow_rate(self, hours: int) -> Floats:
        return _part(self.slow[:, -hours:], self.checks[:, -hours:])

    def outages(self, hours: int) -> Floats:
        """Runs of hours with an outage; one that began before counts too."""
        now = self.outage[:, -hours:]
        begun = now[:, 1:] & ~now[:, :-1]
        return np.asarray(begun.sum(axis=1) + now[:, 0], np.float64)

    def outage_days_in_hours_to_come(self) -> Floats:
        """On how many of the seven days before there was one in the hours of the horizon."""
        days = self.outage.reshape(len(self.outage), WEEK_HOURS // 24, 24)
        return np.asarray(days[:, :, :HORIZON_HOURS].any(axis=2).sum(axis=1), np.float64)

    def latency_ratio(self, hours: int) -> Floats:
        """Logarithm of the hours' p95 (their geometric mean) against the week's median of it."""
        ratio = _mean(self.log_latency[:, -hours:]) - _median(self.log_latency)
        return np.clip(np.nan_to_num(ratio), -MAX_LOG_RATIO, MAX_LOG_RATIO)

    def latency_trend(self, hours: int) -> Floats:
        """Slope of the logarithm of p95 over the last hours, an hour, by least squares."""
        recent = self.log_latency[:, -hours:]
        known = ~np.isnan(recent)
        hour = np.where(known, np.arange(float(recent.shape[1])), 0.0)
        value = np.where(known, recent, 0.0)
        count = np.maximum(known.sum(axis=1), 1)
        spread = (hour**2).sum(axis=1) - hour.sum(axis=1) ** 2 / count
        together = (hour * value).sum(axis=1) - hour.sum(axis=1) * value.sum(axis=1) / count
        slope = np.divide(
            together, spread, out=np.zeros_like(spread), where=count >= MIN_TREND_HOURS
        )
        return np.asarray(np.clip(slope, -MAX_LOG_RATIO, MAX_LOG_RATIO))

    def gaps(self) -> list[Gap | None]:
        fresh = self.checks[:, -FRESH_HOURS:].sum(axis=1) > 0
        seen = (self.checks > 0).sum(axis=1)
        return [
            Gap.NO_RECENT_CHECKS
            if not is_fresh
            else Gap.TOO_LITTLE_HISTORY
            if hours < MIN_HOURS_SEEN
            else None
            for hours, is_fresh in zip(seen, fresh, strict=True)
        ]


def _part(some: Floats, all_of_them: Floats) -> Floats:
    count, total = some.sum(axis=1), all_of_them.sum(axis=1)
    return np.asarray(np.divide(count, total, out=np.zeros_like(count), where=total > 0))


def _hours_since(it_was: NDArray[np.bool_]) -> Floats:
    """From the end of the last such hour; a whole week where there is none."""
    backwards = it_was[:, ::-1]
    hours = np.where(backwards.any(axis=1), backwards.argmax(axis=1), WEEK_HOURS)
    return hours.astype(np.float64)


def _mean(rows: Floats) -> Floats:
    """Of what is known; NaN where nothing is (of which NumPy's own would warn)."""
    known = ~np.isnan(rows)
    count = known.sum(axis=1)
    total = np.where(known, rows, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _median(rows: Floats) -> Floats:
    ordered = np.sort(rows, axis=1)  # what is not known comes last
    last = np.maximum((~np.isnan(rows)).sum(axis=1) - 1, 0)
    every = np.arange(len(rows))
    median: Floats = (ordered[every, last // 2] + ordered[every, (last + 1) // 2]) / 2
    return median


_RATES = frozenset(name for name in FEATURES if "_rate_" in name)
_AS_THEY_ARE = frozenset(name for name in FEATURES if name.startswith("latency")) | {
    Feature.OUTAGE_DAYS_SAME_HOURS
}


def scaled(rows: Floats) -> Floats:
    """The figures as a linear model takes them: of a rate the logarithm of 1 + per cent, of a count
    or hours the logarithm of 1 + it; latencies and days are as they are.
    """
    out = np.array(rows, np.float64)
    for column, name in enumerate(FEATURES):
        if name in _RATES:
            out[:, column] = np.log1p(100 * out[:, column])
        elif name not in _AS_THEY_ARE:
            out[:, column] = np.log1p(out[:, column])
    return out
