"""Rules that predict: the first that applies decides, and says so."""

import numpy as np
import pytest

from app.domain.risk import Effect
from app.domain.risk_features import FEATURES, Feature
from app.domain.risk_rules import RULES, RuleSet

QUIET = dict.fromkeys(FEATURES, 0.0) | {
    Feature.HOURS_SINCE_FAILURE: 168.0,
    Feature.HOURS_SINCE_OUTAGE: 168.0,
}
JUST_BELOW = 1e-9

CASES = [
    ({}, "quiet", 0.02),
    ({Feature.FAILURES_IN_A_ROW: 1.0}, "failing_now", 0.5),
    ({Feature.OUTAGE_DAYS_SAME_HOURS: 3.0}, "fails_at_these_hours", 0.5),
    ({Feature.OUTAGE_DAYS_SAME_HOURS: 2.0}, "quiet", 0.02),
    ({Feature.FAILURE_RATE_1H: 0.2}, "failing_often", 0.4),
    ({Feature.FAILURE_RATE_1H: 0.2 - JUST_BELOW}, "quiet", 0.02),
    ({Feature.FAILURE_RATE_6H: 0.1}, "failing_lately", 0.25),
    ({Feature.FAILURE_RATE_6H: 0.1 - JUST_BELOW}, "quiet", 0.02),
    ({Feature.HOURS_SINCE_OUTAGE: 23.0}, "out_lately", 0.2),
    ({Feature.HOURS_SINCE_OUTAGE: 24.0}, "quiet", 0.02),
    ({Feature.DELIVERIES_FAILING_HOURS: 1.0}, "nothing_delivered", 0.2),
    ({Feature.DELIVERIES_FAILING_HOURS: 1.0 - JUST_BELOW}, "quiet", 0.02),
    ({Feature.LATENCY_RATIO_1H: 0.7}, "slower_than_usual", 0.15),
    ({Feature.LATENCY_RATIO_1H: 0.7 - JUST_BELOW}, "quiet", 0.02),
    ({Feature.FAILURE_RATE_7D: 0.02}, "unreliable", 0.1),
    ({Feature.FAILURE_RATE_7D: 0.02 - JUST_BELOW}, "quiet", 0.02),
    # The first of several.
    ({Feature.FAILURE_RATE_7D: 0.5, Feature.FAILURE_RATE_6H: 0.5}, "failing_lately", 0.25),
    ({Feature.FAILURES_IN_A_ROW: 2.0, Feature.OUTAGE_DAYS_SAME_HOURS: 7.0}, "failing_now", 0.5),
]


@pytest.mark.parametrize(("figures", "name", "probability"), CASES)
def test_the_first_rule_that_applies_decides(
    figures: dict[Feature, float], name: str, probability: float
) -> None:
    row = [(QUIET | figures)[one] for one in FEATURES]
    (reason,) = RuleSet().reasons(row)

    assert RuleSet().probabilities(np.array([row])).tolist() == [probability]
    assert reason.name == name
    assert reason.contribution is None
    assert reason.effect is (Effect.LOWERS if name == "quiet" else Effect.RAISES)
    assert reason.text


def test_all_at_once_are_as_each_alone() -> None:
    rows = np.array([[(QUIET | figures)[one] for one in FEATURES] for figures, _, _ in CASES])
    assert RuleSet().probabilities(rows).tolist() == [case[2] for case in CASES]


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} == {name for _, name, _ in CASES}
