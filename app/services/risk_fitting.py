"""Fits a model. scikit-learn is imported here, when there is something to fit, and nowhere else:
it costs a second and some 90 MB, which only the process that trains should pay.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import FEATURES, Feature, scaled
from app.domain.risk_model import LinearModel, Weight
from app.domain.risk_scores import reference_of
from app.domain.risk_training import Split

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Inverse strength of the L2 penalty: with few examples a model stays near the mean of all.
STRENGTH: Final = 0.05
# The longer ago the last failure, the better; of all else, more is worse.
_MORE_IS_BETTER: Final = frozenset({Feature.HOURS_SINCE_FAILURE, Feature.HOURS_SINCE_OUTAGE})
_SENSE: Final = np.array([-1.0 if name in _MORE_IS_BETTER else 1.0 for name in FEATURES])


def fit(rows: Floats, outcomes: Flags, split: Split) -> LinearModel:
    """A logistic regression on the part to fit, calibrated on the part after it.

    Features say much the same of a webhook, so a fit may give one of them a weight against all
    sense, to take back what another says too loudly. That is no worse a prediction, but
    no reason that a person understands. So the one most against its sense is left out, and the
    rest fitted again, until none is.
    """
    from sklearn.linear_model import LogisticRegression

    learnt = scaled(rows[split.fit])
    mean, spread = learnt.mean(axis=0), learnt.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    values = (scaled(rows) - mean) / spread
    used = np.arange(len(FEATURES))
    while True:
        regression: Any = LogisticRegression(C=STRENGTH, max_iter=1000)
        regression.fit(values[split.fit][:, used], outcomes[split.fit])
        sense = regression.coef_[0] * _SENSE[used]
        if sense.min() >= 0 or len(used) == 1:
            break
        used = np.delete(used, sense.argmin())
    coefficients = np.zeros(len(FEATURES))
    coefficients[used] = regression.coef_[0]
    log_odds = regression.decision_function(values[split.calibration][:, used])
    calibration: Any = LogisticRegression(C=1e6, max_iter=1000)
    calibration.fit(log_odds[:, np.newaxis], outcomes[split.calibration])
    return LinearModel(
        weights=tuple(
            Weight(
                feature=name,
                mean=float(mean[place]),
                spread=float(spread[place]),
                coefficient=float(coefficients[place]),
                usual=float(np.median(rows[split.fit][:, place])),
                reference=reference_of(rows[split.fit][:, place]),
            )
            for place, name in enumerate(FEATURES)
        ),
        intercept=float(regression.intercept_[0]),
        slope=float(calibration.coef_[0, 0]),
        offset=float(calibration.intercept_[0]),
    )
