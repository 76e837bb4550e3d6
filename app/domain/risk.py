"""What a prediction is: how likely a webhook becomes unavailable within the horizon, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import Feature

Floats = NDArray[np.float64]

RULES_VERSION: Final = 0


class ModelKind(StrEnum):
    """Rules are stated by us and say so; a model has learnt from outcomes."""

    RULES = "rules"
    MODEL = "model"


class Outcome(StrEnum):
    """What came of a prediction. `unknown`: it was checked too little to tell, or maintained."""

    UNAVAILABLE = "unavailable"
    AVAILABLE = "available"
    UNKNOWN = "unknown"


class NoPrediction(StrEnum):
    """Why a webhook has no probability; the first two as `risk_features.Gap`."""

    TOO_LITTLE_HISTORY = "too_little_history"
    NO_RECENT_CHECKS = "no_recent_checks"
    INACTIVE = "webhook_inactive"
    UNAVAILABLE_ALREADY = "unavailable_already"
    BLOCKED = "blocked_by_dependency"
    NOT_YET = "not_predicted_yet"


class Effect(StrEnum):
    RAISES = "raises"
    LOWERS = "lowers"


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground for a probability. `name` is that of a rule or of a feature, `value` the figure
    that it rests on, `contribution` what a model adds to the log-odds for it (None for a rule).
    """

    name: str
    effect: Effect
    text: str
    value: float
    contribution: float | None


class Predictor(Protocol):
    """Rows are figures as `risk_features.features_of` makes them."""

    def probabilities(self, rows: Floats) -> Floats: ...

    def reasons(self, row: Sequence[float]) -> list[Reason]: ...


def in_words(feature: Feature, value: float) -> str:
    """A figure as a person says it."""
    return _WORDS[feature](value)


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def _times(log_ratio: float) -> str:
    return f"{exp(log_ratio):.2f} times"


def _count(count: float, what: str) -> str:
    return f"{count:.0f} {what}{'' if round(count) == 1 else 's'}"


def _since(hours: float, what: str) -> str:
    if hours >= 168:
        return f"no {what} for a week or longer"
    return (
        f"a {what} within the last hour" if hours < 1 else f"{_count(hours, 'hour')} since a {what}"
    )


_WORDS: Final = {
    Feature.FAILURES_IN_A_ROW: lambda it: f"{_count(it, 'failed check')} in a row",
    Feature.FAILURE_RATE_1H: lambda it: f"{_percent(it)} of checks failed in the last hour",
    Feature.FAILURE_RATE_6H: lambda it: f"{_percent(it)} of checks failed in the last 6 hours",
    Feature.FAILURE_RATE_24H: lambda it: f"{_percent(it)} of checks failed in the last 24 hours",
    Feature.FAILURE_RATE_7D: lambda it: f"{_percent(it)} of checks failed in the last 7 days",
    Feature.HOURS_SINCE_FAILURE: lambda it: _since(it, "failed check"),
    Feature.HOURS_SINCE_OUTAGE: lambda it: _since(it, "hour with an outage"),
    Feature.OUTAGES_24H: lambda it: f"{_count(it, 'outage')} in the last 24 hours",
    Feature.OUTAGES_7D: lambda it: f"{_count(it, 'outage')} in the last 7 days",
    Feature.OUTAGE_DAYS_SAME_HOURS: lambda it: (
        f"an outage in the hours to come on {_count(it, 'day')} of the last 7"
    ),
    Feature.SLOW_RATE_1H: lambda it: f"{_percent(it)} of checks were slow in the last hour",
    Feature.SLOW_RATE_24H: lambda it: f"{_percent(it)} of checks were slow in the last 24 hours",
    Feature.LATENCY_RATIO_1H: lambda it: f"p95 of the last hour {_times(it)} the week's usual",
    Feature.LATENCY_RATIO_6H: lambda it: f"p95 of the last 6 hours {_times(it)} the week's usual",
    Feature.LATENCY_TREND_6H: lambda it: f"p95 changes by {_times(it)} an hour over 6 hours",
    Feature.DELIVERIES_FAILING_HOURS: lambda it: (
        f"no delivery has succeeded for {_count(it, 'hour')}" if it else "deliveries succeed"
    ),
}
