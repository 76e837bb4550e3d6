"""What a prediction is: how likely a webhook becomes unavailable within the horizon, and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import WEEK_HOURS, Feature

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


def in_words(feature: Feature, value: float, usual: float | None = None) -> str:
    """A figure as a person says it, beside what is usual for it if that is given."""
    sentence, short = _WORDS[feature]
    return sentence(value) if usual is None else f"{sentence(value)} (usual: {short(usual)})"


_Words = Callable[[float], str]


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def _times(log_ratio: float) -> str:
    return f"{exp(log_ratio):.2f} times"


def _number(count: float) -> str:
    return f"{count:.0f}"


def _counted(what: str) -> _Words:
    return lambda count: f"{count:.0f} {what}{'' if round(count) == 1 else 's'}"


_hours = _counted("hour")


def _since(hours: float) -> str:
    return "a week or longer" if hours >= WEEK_HOURS else _hours(hours)


def _last(what: str) -> _Words:
    return lambda hours: (
        f"{what} was within the last hour" if hours < 1 else f"{what} was {_since(hours)} ago"
    )


def _rate(what: str) -> tuple[_Words, _Words]:
    return lambda part: f"{_percent(part)} of checks {what}", _percent


def _ratio(what: str) -> tuple[_Words, _Words]:
    return lambda log_ratio: f"p95 of {what} is {_times(log_ratio)} the week's median", _times


def _count(what: str, when: str) -> tuple[_Words, _Words]:
    return lambda count: f"{_counted(what)(count)} {when}", _number


_WORDS: Final[dict[Feature, tuple[_Words, _Words]]] = {
    Feature.FAILURES_IN_A_ROW: _count("failed check", "in a row"),
    Feature.FAILURE_RATE_1H: _rate("failed in the last hour"),
    Feature.FAILURE_RATE_6H: _rate("failed in the last 6 hours"),
    Feature.FAILURE_RATE_24H: _rate("failed in the last 24 hours"),
    Feature.FAILURE_RATE_7D: _rate("failed in the last 7 days"),
    Feature.HOURS_SINCE_FAILURE: (_last("the last failed check"), _since),
    Feature.HOURS_SINCE_OUTAGE: (_last("the last hour with an outage"), _since),
    Feature.OUTAGES_24H: _count("outage", "in the last 24 hours"),
    Feature.OUTAGES_7D: _count("outage", "in the last 7 days"),
    Feature.OUTAGE_DAYS_SAME_HOURS: (
        lambda days: f"outages in the hours to come on {days:.0f} of the last 7 days",
        _number,
    ),
    Feature.SLOW_RATE_1H: _rate("were slow in the last hour"),
    Feature.SLOW_RATE_24H: _rate("were slow in the last 24 hours"),
    Feature.LATENCY_RATIO_1H: _ratio("the last hour"),
    Feature.LATENCY_RATIO_6H: _ratio("the last 6 hours"),
    Feature.LATENCY_TREND_6H: (
        lambda slope: f"each of the last 6 hours had {_times(slope)} the p95 before",
        _times,
    ),
    Feature.DELIVERIES_FAILING_HOURS: (
        lambda hours: (
            f"no delivery has succeeded for {_hours(hours)}" if hours else "deliveries succeed"
        ),
        _hours,
    ),
}
