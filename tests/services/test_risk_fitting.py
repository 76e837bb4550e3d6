"""The model against the rules, on a simulated fleet. Reproducible: all of it comes from a seed."""

import numpy as np
import pytest

from app.domain.health import CheckOutcome, CheckPolicy, Health, HealthStatus, advance
from app.domain.risk_model import LinearModel, read_model
from app.domain.risk_rules import RuleSet
from app.domain.risk_scores import score
from app.domain.risk_training import Split, decide, lack_of, split_by_time
from app.services.risk_fitting import _SENSE, fit
from benchmarks.fleet_examples import Examples, examples_of
from benchmarks.simulated_fleet import BEGINS_AT, Fleet, hours_of, simulate

SEED, WEBHOOKS, DAYS = 11, 50, 35


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return simulate(SEED, WEBHOOKS, DAYS)


@pytest.fixture(scope="module")
def examples(fleet: Fleet) -> Examples:
    return examples_of(fleet)


@pytest.fixture(scope="module")
def split(examples: Examples) -> Split:
    return split_by_time(examples.made_at)


@pytest.fixture(scope="module")
def model(examples: Examples, split: Split) -> LinearModel:
    return fit(examples.rows, examples.outcomes, split)


def test_the_model_is_better_than_the_rules_and_calibrated(
    examples: Examples, split: Split, model: LinearModel
) -> None:
    assert lack_of(examples.made_at, examples.outcomes) is None
    rows, outcomes = examples.rows[split.held_out], examples.outcomes[split.held_out]
    by_model = score(model.probabilities(rows), outcomes)
    by_rules = score(RuleSet().probabilities(rows), outcomes)
    base_rate = np.full(len(rows), examples.outcomes[split.fit].mean())

    assert by_model.roc_auc is not None
    assert by_rules.roc_auc is not None
    assert by_model.roc_auc > by_rules.roc_auc > 0.6
    assert by_model.calibration_error < 0.05
    # The base rate is calibrated too, and says nothing of any webhook.
    assert by_model.brier < 0.9 * score(base_rate, outcomes).brier
    assert decide(by_model, by_rules).promote
    # Also where a risk is said to be high.
    high = model.probabilities(rows) >= 0.3
    assert high.sum() > 100
    assert outcomes[high].mean() > 0.3


def test_it_does_not_rank_by_what_it_has_seen(
    examples: Examples, split: Split, model: LinearModel
) -> None:
    """The same fleet's outcomes shuffled: nothing to learn, so nothing is learnt."""
    shuffled = np.random.default_rng(SEED).permutation(examples.outcomes)
    found = fit(examples.rows, shuffled, split)
    by_chance = score(found.probabilities(examples.rows[split.held_out]), shuffled[split.held_out])
    assert by_chance.roc_auc == pytest.approx(0.5, abs=0.03)
    assert found != model


def test_it_is_calibrated_on_what_came_after_and_what_is_held_out_is_not_looked_at(
    examples: Examples, split: Split, model: LinearModel
) -> None:
    lied_to = examples.outcomes.copy()
    lied_to[split.held_out] = ~lied_to[split.held_out]
    assert fit(examples.rows, lied_to, split) == model

    milder = examples.outcomes.copy()
    outages = np.flatnonzero(milder & split.calibration)
    milder[outages[::2]] = False
    found = fit(examples.rows, milder, split)
    assert found.weights == model.weights
    rows = examples.rows[split.calibration]
    assert found.probabilities(rows).mean() == pytest.approx(
        milder[split.calibration].mean(), abs=0.003
    )


def test_no_figure_counts_against_its_sense(model: LinearModel) -> None:
    """Else a reason would say that failures are good news."""
    coefficients = np.array([one.coefficient for one in model.weights])
    assert (coefficients * _SENSE >= 0).all()
    assert (coefficients != 0).sum() >= 6


def test_again_it_is_the_same(examples: Examples, split: Split, model: LinearModel) -> None:
    assert fit(examples.rows, examples.outcomes, split) == model
    assert read_model(model.to_json()) == model


def test_the_same_seed_is_the_same_fleet_and_another_is_not(fleet: Fleet) -> None:
    again, other = simulate(SEED, WEBHOOKS, DAYS), simulate(SEED + 1, WEBHOOKS, DAYS)
    assert (again.failed == fleet.failed).all()
    assert (again.latency_ms == fleet.latency_ms).all()
    assert (other.failed != fleet.failed).any()


def test_the_fleets_health_is_that_of_our_checks(fleet: Fleet) -> None:
    policy, outcome = CheckPolicy(), {True: CheckOutcome.FAILED, False: CheckOutcome.PASSED}
    for webhook in range(0, WEBHOOKS, 10):
        health = Health()
        for step in range(2000):
            health = advance(health, outcome[bool(fleet.failed[webhook, step])], policy)
            assert fleet.failures_in_a_row[webhook, step] == health.failures
            assert fleet.unavailable[webhook, step] == (health.status is HealthStatus.UNAVAILABLE)


def test_an_hour_is_the_sum_of_its_checks(fleet: Fleet) -> None:
    hours = hours_of(fleet, 3)
    assert hours.at[1] == BEGINS_AT + 3600
    assert hours.failed.sum() == fleet.failed[3].sum()
    assert hours.failed[40] == fleet.failed[3, 480:492].sum()
    assert set(hours.checks) == {12}
