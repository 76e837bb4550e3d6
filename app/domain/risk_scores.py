"""How good predicted probabilities were, once the outcomes are known; and whether what is
predicted from is still like what was learnt from.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CALIBRATION_BINS: Final = 10
REFERENCE_BINS: Final = 10
# A bin that was empty once may not make an index infinite.
LEAST_PART: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Scores:
    """Of predictions with known outcomes. `roc_auc` is None where all had the same outcome."""

    examples: int
    outages: int
    roc_auc: float | None
    brier: float
    calibration_error: float


def score(probabilities: Floats, outcomes: Flags) -> Scores:
    """Raises ValueError when there is nothing to score."""
    if not len(outcomes):
        raise ValueError("nothing to score")
    return Scores(
        examples=len(outcomes),
        outages=int(outcomes.sum()),
        roc_auc=roc_auc(probabilities, outcomes),
        brier=brier(probabilities, outcomes),
        calibration_error=calibration_error(probabilities, outcomes),
    )


def roc_auc(probabilities: Floats, outcomes: Flags) -> float | None:
    """The chance that an example with an outage has a higher probability than one without; equal
    ones count half (the Mann-Whitney U statistic over its greatest value).
    """
    outages = int(outcomes.sum())
    others = len(outcomes) - outages
    if not outages or not others:
        return None
    _, place, count = np.unique(probabilities, return_inverse=True, return_counts=True)
    # Of values that are equal each has the mean of their ranks.
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[outcomes].sum() - outages * (outages + 1) / 2) / (outages * others))


def brier(probabilities: Floats, outcomes: Flags) -> float:
    """Mean squared difference between probability and outcome (Brier 1950); 0 is perfect."""
    return float(((probabilities - outcomes) ** 2).mean())


def calibration_error(probabilities: Floats, outcomes: Flags) -> float:
    """Expected calibration error: ten bins of equal width over 0 to 1, each closed below and open
    above, the last closed on both sides; in each the difference between the mean probability and
    the part that had an outage; their mean, weighted by the number in the bin (Naeini et al. 2015).
    """
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    expected = np.bincount(bins, probabilities, CALIBRATION_BINS)
    happened = np.bincount(bins, outcomes.astype(np.float64), CALIBRATION_BINS)
    return float(np.abs(expected - happened).sum() / len(outcomes))


@dataclass(frozen=True, slots=True)
class Reference:
    """How a figure was spread in training: bounds of bins, and the part of the values in each.

    A value equal to a bound is in the bin below it.
    """

    bounds: tuple[float, ...]
    parts: tuple[float, ...]


def reference_of(values: Floats) -> Reference:
    """Bins between the deciles, as many as there are different ones."""
    ranks = np.arange(1, REFERENCE_BINS) / REFERENCE_BINS
    bounds = np.unique(np.quantile(values, ranks, method="inverted_cdf"))
    return Reference(tuple(bounds.tolist()), tuple(_parts(values, bounds).tolist()))


def stability_index(reference: Reference, values: Floats) -> float:
    """The population stability index: Σ (now - then) · ln(now ÷ then) over the bins.

    Below 0.1 it is usually taken as no change, above 0.25 as a great one (Siddiqi 2006).
    """
    then = np.maximum(reference.parts, LEAST_PART)
    now = np.maximum(_parts(values, np.array(reference.bounds)), LEAST_PART)
    return float(((now - then) * np.log(now / then)).sum())


def _parts(values: Floats, bounds: Floats) -> Floats:
    places = np.searchsorted(bounds, values, side="left")
    return np.bincount(places, minlength=len(bounds) + 1) / max(len(values), 1)
