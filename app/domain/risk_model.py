"""The model: a calibrated logistic regression, as plain numbers that anybody can read.

It is stored as JSON and checked when it is read: nothing in it is ever run, so whoever can write
the row can make predictions wrong but can't make this process do anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk import Effect, Reason, in_words
from app.domain.risk_features import FEATURES, VERSION, Feature, scaled
from app.domain.risk_scores import Reference

Floats = NDArray[np.float64]

MAX_BYTES: Final = 64 * 1024
# A model is never certain; and exp must not overflow.
MAX_LOG_ODDS: Final = 7.0
MAX_REASONS: Final = 5
# Less than this changes a probability by a fortieth of itself at most.
LEAST_CONTRIBUTION: Final = 0.025


@dataclass(frozen=True, slots=True)
class Weight:
    """What a model knows of one feature.

    The scaled figure less its `mean`, over its `spread`, times `coefficient`, is its part of the
    log-odds. `usual` is the median of the raw figure in training, `reference` how it was spread.
    """

    feature: Feature
    mean: float
    spread: float
    coefficient: float
    usual: float
    reference: Reference


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Log-odds are `slope` · (`intercept` + the sum of the weights' parts) + `offset`.

    `slope` and `offset` are the calibration (Platt 1999), fitted on later examples than the rest.
    """

    weights: tuple[Weight, ...]
    intercept: float
    slope: float
    offset: float

    def probabilities(self, rows: Floats) -> Floats:
        log_odds = self.slope * (self.intercept + self._parts(rows).sum(axis=1)) + self.offset
        bounded = np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
        found: Floats = 1 / (1 + np.exp(-bounded))
        return found

    def reasons(self, row: Sequence[float]) -> list[Reason]:
        """The figures that move it most away from the usual webhook, the strongest first."""
        parts = self.slope * self._parts(np.array([row], np.float64))[0]
        strongest = sorted(range(len(parts)), key=lambda place: -abs(parts[place]))
        return [
            self._reason(place, float(row[place]), float(parts[place]))
            for place in strongest[:MAX_REASONS]
            if abs(parts[place]) >= LEAST_CONTRIBUTION
        ]

    def _parts(self, rows: Floats) -> Floats:
        mean, spread, coefficient = np.array(
            [(one.mean, one.spread, one.coefficient) for one in self.weights]
        ).T
        found: Floats = (scaled(rows) - mean) / spread * coefficient
        return found

    def _reason(self, place: int, value: float, contribution: float) -> Reason:
        weight = self.weights[place]
        text = in_words(weight.feature, value, weight.usual)
        effect = Effect.RAISES if contribution > 0 else Effect.LOWERS
        return Reason(weight.feature, effect, text, value, contribution)

    def numbers(self) -> dict[str, Any]:
        """All of it, as it is stored and shown."""
        return {
            "format": "logistic-regression",
            "features_version": VERSION,
            "intercept": self.intercept,
            "calibration": {"slope": self.slope, "offset": self.offset},
            "weights": [
                {
                    "feature": one.feature,
                    "mean": one.mean,
                    "spread": one.spread,
                    "coefficient": one.coefficient,
                    "usual": one.usual,
                    "bounds": one.reference.bounds,
                    "parts": one.reference.parts,
                }
                for one in self.weights
            ],
        }

    def to_json(self) -> bytes:
        return json.dumps(self.numbers(), allow_nan=False).encode()


def read_model(stored: bytes) -> LinearModel:
    """Raises ValueError for whatever is not a whole model of the present features."""
    if len(stored) > MAX_BYTES:
        raise ValueError("a model is never so large")
    try:
        read = json.loads(stored)
        if read["format"] != "logistic-regression" or read["features_version"] != VERSION:
            raise ValueError("a model of another kind, or of other features")
        model = LinearModel(
            weights=tuple(_weight(one) for one in read["weights"]),
            intercept=_number(read["intercept"]),
            slope=_number(read["calibration"]["slope"]),
            offset=_number(read["calibration"]["offset"]),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a model: {error!r}") from None
    if tuple(one.feature for one in model.weights) != FEATURES:
        raise ValueError("its features are not the present ones")
    return model


def _weight(read: Mapping[str, Any]) -> Weight:
    spread = _number(read["spread"])
    if spread <= 0:
        raise ValueError("a spread is positive")
    bounds, parts = (tuple(map(_number, read[name])) for name in ("bounds", "parts"))
    if len(parts) != len(bounds) + 1:
        raise ValueError("bounds lie between parts")
    return Weight(
        feature=Feature(read["feature"]),
        mean=_number(read["mean"]),
        spread=spread,
        coefficient=_number(read["coefficient"]),
        usual=_number(read["usual"]),
        reference=Reference(bounds, parts),
    )


def _number(read: Any) -> float:
    if isinstance(read, bool) or not isinstance(read, (int, float)) or not isfinite(read):
        raise ValueError(f"not a number: {read!r}")
    return float(read)
