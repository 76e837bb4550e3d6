"""When a model is trained, on what, and when it takes over."""

import numpy as np
import pytest

from app.domain.risk_scores import Flags, Floats, Scores
from app.domain.risk_training import (
    MIN_EXAMPLES,
    MIN_OTHERS,
    MIN_OUTAGES,
    TrainingReason,
    decide,
    lack_of,
    split_by_time,
)

HOUR = 3600.0


def hourly(days: float, each: int = 10) -> Floats:
    """`each` predictions an hour, for so many days."""
    return np.repeat(np.arange(0.0, days * 24), each) * HOUR


def test_the_split_is_by_time_and_no_horizon_reaches_over_it() -> None:
    made_at = hourly(10)
    split = split_by_time(made_at)

    assert not (split.fit & split.calibration).any()
    assert not (split.calibration & split.held_out).any()
    assert made_at[split.fit].max() + 6 * HOUR <= made_at[split.calibration].min()
    assert made_at[split.calibration].max() + 6 * HOUR <= made_at[split.held_out].min()
    assert split.held_out[-1]
    sizes = [part.mean() for part in (split.fit, split.calibration, split.held_out)]
    assert sizes == pytest.approx([0.58, 0.18, 0.2], abs=0.02)


def test_the_order_of_the_examples_does_not_matter() -> None:
    made_at = hourly(10)
    order = np.random.default_rng(1).permutation(len(made_at))
    straight, shuffled = split_by_time(made_at), split_by_time(made_at[order])
    for name in ("fit", "calibration", "held_out"):
        assert (getattr(straight, name)[order] == getattr(shuffled, name)).all()


def outcomes_of(made_at: Floats, **outages: int) -> Flags:
    """So many outages in each part of the split."""
    split = split_by_time(made_at)
    found = np.zeros(len(made_at), bool)
    for name, count in (MIN_OUTAGES | outages).items():
        found[np.flatnonzero(getattr(split, name))[:count]] = True
    return found


def test_with_just_enough_it_is_trained() -> None:
    made_at = hourly(10)
    assert lack_of(made_at, outcomes_of(made_at)) is None


@pytest.mark.parametrize("part", MIN_OUTAGES)
def test_each_part_needs_its_outages(part: str) -> None:
    made_at = hourly(10)
    lack = lack_of(made_at, outcomes_of(made_at, **{part: MIN_OUTAGES[part] - 1}))
    assert lack is not None
    assert lack.reason is TrainingReason.TOO_FEW_OUTCOMES
    assert str(MIN_OUTAGES[part] - 1) in lack.detail
    assert str(MIN_OUTAGES[part]) in lack.detail


def test_and_what_did_not_come_before_an_outage() -> None:
    made_at = hourly(10)
    held_out = int(split_by_time(made_at).held_out.sum())
    enough = outcomes_of(made_at, held_out=held_out - MIN_OTHERS)
    assert lack_of(made_at, enough) is None
    lack = lack_of(made_at, outcomes_of(made_at, held_out=held_out - MIN_OTHERS + 1))
    assert lack is not None
    assert lack.reason is TrainingReason.TOO_FEW_OUTCOMES


@pytest.mark.parametrize(
    ("made_at", "reason"),
    [
        (hourly(0), TrainingReason.TOO_FEW_EXAMPLES),
        (hourly(30, each=10)[: MIN_EXAMPLES - 1], TrainingReason.TOO_FEW_EXAMPLES),
        (hourly(6.9, each=100), TrainingReason.TOO_FEW_DAYS),
        (hourly(10), TrainingReason.TOO_FEW_OUTCOMES),
    ],
)
def test_what_is_missing_has_a_name(made_at: Floats, reason: TrainingReason) -> None:
    lack = lack_of(made_at, np.zeros(len(made_at), bool))
    assert lack is not None
    assert lack.reason is reason
    assert lack.detail


def scores(brier: float, auc: float | None = 0.8, error: float = 0.01) -> Scores:
    return Scores(1000, 100, auc, brier, error)


@pytest.mark.parametrize(
    ("candidate", "active", "reason"),
    [
        (scores(0.05), scores(0.06), TrainingReason.BETTER),
        # By 1 % at least.
        (scores(0.0593), scores(0.06), TrainingReason.BETTER),
        (scores(0.0595), scores(0.06), TrainingReason.NO_BETTER),
        (scores(0.06), scores(0.06), TrainingReason.NO_BETTER),
        (scores(0.07), scores(0.06), TrainingReason.NO_BETTER),
        (scores(0.05, error=0.05), scores(0.06), TrainingReason.BETTER),
        (scores(0.05, error=0.051), scores(0.06), TrainingReason.NOT_CALIBRATED),
        (scores(0.05, auc=0.79), scores(0.06, auc=0.8), TrainingReason.BETTER),
        (scores(0.05, auc=0.78), scores(0.06, auc=0.8), TrainingReason.RANKS_WORSE),
        (scores(0.05, auc=None), scores(0.06, auc=0.8), TrainingReason.RANKS_WORSE),
    ],
)
def test_only_what_is_better_takes_over(
    candidate: Scores, active: Scores, reason: TrainingReason
) -> None:
    verdict = decide(candidate, active)
    assert (verdict.promote, verdict.reason) == (reason is TrainingReason.BETTER, reason)
    assert verdict.detail
