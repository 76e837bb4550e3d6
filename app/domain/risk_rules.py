"""The rules that predict before there is a model: version 0, and what a model must beat.

They are an operator's guesses, stated: the first that applies gives the probability and is the
reason. They were not fitted to anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk import Effect, Reason, in_words
from app.domain.risk_features import FEATURES, Feature

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies where the figure is from `least` to `most`."""

    name: str
    feature: Feature
    probability: float
    least: float = -np.inf
    most: float = np.inf


RULES: Final = (
    Rule("failing_now", Feature.FAILURES_IN_A_ROW, 0.5, least=1),
    Rule("fails_at_these_hours", Feature.OUTAGE_DAYS_SAME_HOURS, 0.5, least=3),
    Rule("failing_often", Feature.FAILURE_RATE_1H, 0.4, least=0.2),
    Rule("failing_lately", Feature.FAILURE_RATE_6H, 0.25, least=0.1),
    Rule("out_lately", Feature.HOURS_SINCE_OUTAGE, 0.2, most=23),
    Rule("nothing_delivered", Feature.DELIVERIES_FAILING_HOURS, 0.2, least=1),
    Rule("slower_than_usual", Feature.LATENCY_RATIO_1H, 0.15, least=0.7),  # twice
    Rule("unreliable", Feature.FAILURE_RATE_7D, 0.1, least=0.02),
    Rule("quiet", Feature.FAILURE_RATE_24H, 0.02),
)
_COLUMN: Final = {name: place for place, name in enumerate(FEATURES)}


def _deciding(rows: Floats) -> NDArray[np.intp]:
    """The place in RULES of the first that applies to each row."""
    figures = rows[:, [_COLUMN[rule.feature] for rule in RULES]]
    applies = (figures >= [rule.least for rule in RULES]) & (figures <= [r.most for r in RULES])
    return np.asarray(applies.argmax(axis=1))


class RuleSet:
    """The rules as a predictor."""

    def probabilities(self, rows: Floats) -> Floats:
        return np.array([rule.probability for rule in RULES])[_deciding(rows)]

    def reasons(self, row: Sequence[float]) -> list[Reason]:
        """One: the rule that decided."""
        rule = RULES[int(_deciding(np.array([row], np.float64))[0])]
        value = float(row[_COLUMN[rule.feature]])
        effect = Effect.LOWERS if rule.name == "quiet" else Effect.RAISES
        return [Reason(rule.name, effect, in_words(rule.feature, value), value, None)]
