"""When a model may be trained, on which examples, and whether it takes over."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import HORIZON_HOURS, HOUR_SECONDS
from app.domain.risk_scores import Scores

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Of the examples in the order of their time: the first part fits, the next calibrates, the rest
# is held out. What is promoted is what was scored there: nothing is fitted again afterwards.
FIT_PART: Final = 0.6
CALIBRATE_PART: Final = 0.2
MIN_EXAMPLES: Final = 2000
MIN_DAYS: Final = 7.0
# One outage is the outcome of up to HORIZON_HOURS examples, so these are a few dozen outages.
MIN_OUTAGES: Final = {"fit": 150, "calibration": 50, "held_out": 50}
MIN_OTHERS: Final = 50
# A part of the Brier score: less is noise.
LEAST_GAIN: Final = 0.01
MAX_LOSS_OF_AUC: Final = 0.01
MAX_CALIBRATION_ERROR: Final = 0.05


class TrainingReason(StrEnum):
    """What became of a training: the first three before it, the rest after."""

    TOO_FEW_EXAMPLES = "too_few_examples"
    TOO_FEW_DAYS = "too_few_days"
    TOO_FEW_OUTCOMES = "too_few_outcomes"
    NOT_CALIBRATED = "not_calibrated"
    NO_BETTER = "no_better"
    RANKS_WORSE = "ranks_worse"
    BETTER = "better"
    ACTIVE_CHANGED = "active_changed"


@dataclass(frozen=True, slots=True)
class Split:
    """Which examples do what. Those whose horizon reaches into the next part do nothing."""

    fit: Flags
    calibration: Flags
    held_out: Flags


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing to train, with figures for whoever asks why."""

    reason: TrainingReason
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    promote: bool
    reason: TrainingReason
    detail: str


def split_by_time(made_at: Floats) -> Split:
    """By the times of the predictions, in seconds: never the past from the future."""
    first, second = np.quantile(made_at, [FIT_PART, FIT_PART + CALIBRATE_PART])
    horizon = HORIZON_HOURS * HOUR_SECONDS
    return Split(
        fit=made_at + horizon <= first,
        calibration=(made_at > first) & (made_at + horizon <= second),
        held_out=made_at > second,
    )


def lack_of(made_at: Floats, outcomes: Flags) -> Lack | None:
    """What is missing to train on these examples; None when nothing is."""
    if len(made_at) < MIN_EXAMPLES:
        return Lack(
            TrainingReason.TOO_FEW_EXAMPLES,
            f"{len(made_at)} predictions have a known outcome; {MIN_EXAMPLES} are needed.",
        )
    days = float(made_at.max() - made_at.min()) / 86_400
    if days < MIN_DAYS:
        return Lack(
            TrainingReason.TOO_FEW_DAYS,
            f"Their outcomes are of {days:.1f} days; {MIN_DAYS:.0f} are needed.",
        )
    split = split_by_time(made_at)
    for name, needed in MIN_OUTAGES.items():
        chosen = outcomes[getattr(split, name)]
        outages, others = int(chosen.sum()), int((~chosen).sum())
        if outages < needed or others < MIN_OTHERS:
            return Lack(
                TrainingReason.TOO_FEW_OUTCOMES,
                f"In the part for {name.replace('_', ' ')}, {outages} predictions came before an"
                f" outage and {others} did not; {needed} and {MIN_OTHERS} are needed.",
            )
    return None


def decide(candidate: Scores, active: Scores) -> Verdict:
    """Whether a model takes over from the active one. Both were scored on the same examples, which
    neither was fitted or calibrated on."""
    if candidate.calibration_error > MAX_CALIBRATION_ERROR:
        return Verdict(
            False,
            TrainingReason.NOT_CALIBRATED,
            f"Its calibration error is {candidate.calibration_error:.4f};"
            f" {MAX_CALIBRATION_ERROR} is allowed.",
        )
    compared = f"Brier score {candidate.brier:.4f}, the active one's {active.brier:.4f}"
    if candidate.brier > active.brier * (1 - LEAST_GAIN):
        return Verdict(
            False,
            TrainingReason.NO_BETTER,
            f"{compared}: it must be lower by {100 * LEAST_GAIN:.0f} %.",
        )
    mine, its = candidate.roc_auc or 0.0, active.roc_auc or 0.0
    if mine < its - MAX_LOSS_OF_AUC:
        return Verdict(
            False,
            TrainingReason.RANKS_WORSE,
            f"ROC-AUC {mine:.3f}, the active one's {its:.3f}.",
        )
    return Verdict(True, TrainingReason.BETTER, f"{compared}; ROC-AUC {mine:.3f}, its {its:.3f}.")
