"""Drift: by the feature that has moved most, of those that the model uses."""

import numpy as np
import pytest

from app.domain.risk_drift import MIN_ROWS, drift_of
from app.domain.risk_features import FEATURES, Feature
from app.domain.risk_model import LinearModel, Weight
from app.domain.risk_scores import Reference

RATE = FEATURES.index(Feature.FAILURE_RATE_1H)
SLOW = FEATURES.index(Feature.SLOW_RATE_1H)


def model(*used: Feature) -> LinearModel:
    """Of figures of which nine in ten were 0 in training."""
    weights = tuple(
        Weight(name, 0.0, 1.0, float(name in used), 0.0, Reference((0.0,), (0.9, 0.1)))
        for name in FEATURES
    )
    return LinearModel(weights, -2.0, 1.0, 0.0)


def rows(**above_zero: float) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """So many parts of each figure are above 0, and one in ten of the others."""
    found = np.zeros((MIN_ROWS, len(FEATURES)))
    for place, name in enumerate(FEATURES):
        found[: int(MIN_ROWS * above_zero.get(name, 0.1)), place] = 1.0
    return found


@pytest.mark.parametrize(
    ("part", "level"), [(0.1, "none"), (0.15, "none"), (0.22, "some"), (0.4, "great")]
)
def test_its_level_is_that_of_what_moved_most(part: float, level: str) -> None:
    used = model(Feature.FAILURE_RATE_1H, Feature.SLOW_RATE_1H)
    found = drift_of(used, rows(failure_rate_1h=part))
    assert found is not None
    assert found.level == level
    assert found.shown()["rows"] == MIN_ROWS
    if level != "none":
        assert found.worst is Feature.FAILURE_RATE_1H


def test_what_the_model_does_not_use_may_move() -> None:
    found = drift_of(model(Feature.SLOW_RATE_1H), rows(failure_rate_1h=1.0))
    assert found is not None
    assert list(found.indexes) == [Feature.SLOW_RATE_1H]
    assert found.level == "none"
    assert drift_of(model(), rows()) is None


def test_of_too_little_nothing_is_said() -> None:
    assert drift_of(model(Feature.SLOW_RATE_1H), rows()[1:]) is None
