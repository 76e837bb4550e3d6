"""Training: only with enough, only to what is better, and with an eye on what it learnt from."""

from dataclasses import replace

import numpy as np
import pytest

from app.domain.risk import ModelKind
from app.domain.risk_features import FEATURES, Feature
from app.domain.risk_model import LinearModel, Weight, read_model
from app.domain.risk_scores import Reference, Scores
from app.domain.risk_training import TrainingReason, Verdict
from app.errors import Conflict, NotFound
from app.services import risk_models, risk_training
from app.services.paging import PageRequest
from app.services.risk_models import Trained
from benchmarks.fleet_examples import Examples, examples_of
from benchmarks.simulated_fleet import simulate
from tests.services.risks import (
    activate,
    active_version,
    checked_webhook,
    model,
    predict,
    put_outcomes,
    review,
    risk,
    train,
)
from tests.services.world import World

pytestmark = pytest.mark.usefixtures("one_hour")

WEBHOOKS = 30


@pytest.fixture(scope="module")
def examples() -> Examples:
    return examples_of(simulate(seed=5, webhooks=WEBHOOKS, days=28))


def registered(world: World, *, promote: bool, active_version: int = 0) -> int:
    """A version of which nobody knows how good it is."""
    weights = tuple(
        Weight(name, 0.0, 1.0, 0.25, 0.0, Reference((0.0,), (0.9, 0.1))) for name in FEATURES
    )
    scores = Scores(1000, 100, 0.8, 0.05, 0.01)
    with world.deps.unit_of_work() as work:
        trained = Trained(
            LinearModel(weights, -2.0, 1.0, 0.0),
            1000,
            (work.now, work.now),
            scores,
            active_version,
            scores,
        )
        verdict = Verdict(promote, TrainingReason.BETTER, "tested")
        row = risk_models.register(work.session, work.now, trained, verdict)
        return row.version


def test_without_outcomes_it_says_what_is_missing(world: World) -> None:
    found = train(world)
    assert (found["trained"], found["promoted"]) == (False, False)
    assert found["reason"] == TrainingReason.TOO_FEW_EXAMPLES
    assert "0 predictions have a known outcome; 2000 are needed" in found["detail"]
    assert world.one("SELECT count(*) FROM pggit_ml.models WHERE kind = 'model'") == 0


def test_it_is_trained_takes_over_and_yields_to_nothing_worse(
    world: World, examples: Examples
) -> None:
    put_outcomes(world, examples, WEBHOOKS)

    found = train(world)
    assert (found["trained"], found["promoted"], found["reason"]) == (True, True, "better")
    first = model(world, found["version"])
    assert (first.kind, first.is_active, first.activated_by) == ("model", True, "training")
    assert first.features == list(FEATURES)
    assert first.examples == len(examples.outcomes)
    assert first.window_from is not None
    assert first.window_until is not None
    days = (first.window_until - first.window_from).total_seconds() / 86_400
    assert days == pytest.approx(np.ptp(examples.made_at) / 86_400)
    assert first.metrics is not None
    assert first.compared_with is not None
    assert first.compared_with["version"] == 0
    assert first.metrics["roc_auc"] > first.compared_with["roc_auc"]
    assert first.metrics["calibration_error"] < 0.05
    assert first.artifact is not None
    assert read_model(first.artifact)

    # The same again is no better, and is kept with the reason why not.
    again = train(world)
    assert (again["trained"], again["promoted"], again["reason"]) == (True, False, "no_better")
    assert not model(world, again["version"]).is_active
    assert active_version(world) == first.version

    # It predicts from now on, and says why in words.
    webhook = checked_webhook(world)
    world.sql(
        "UPDATE pggit.webhook_health_metrics SET consecutive_failures = 2 WHERE webhook_id = :id",
        id=webhook,
    )
    predict(world)
    report = risk(world, webhook)
    assert (report.model.version, report.model.kind) == (first.version, ModelKind.MODEL)
    assert report.probability is not None
    assert 0 < report.probability < 1
    strongest = report.reasons[0]
    assert strongest.contribution is not None
    assert any(one.text.startswith("2 failed checks in a row (usual: 0)") for one in report.reasons)

    # Webhooks are as they were, so nothing has drifted; then they are three times as slow.
    reviewed = review(world)
    assert (reviewed["reviewed"], reviewed["drift"]) == (first.version, "none")
    place = FEATURES.index(Feature.LATENCY_RATIO_1H) + 1
    world.sql(
        "UPDATE pggit_ml.predictions SET features[:place] = features[:place] + ln(3)"
        " WHERE as_of > now() - interval '8 days'",
        place=place,
    )
    assert review(world)["drift"] == "great"
    noted = model(world, first.version)
    assert noted.drift is not None
    assert (noted.drift["level"], noted.drift["worst"]) == ("great", Feature.LATENCY_RATIO_1H)
    assert noted.reviewed_at is not None


def test_what_learnt_nothing_does_not_take_over(world: World, examples: Examples) -> None:
    outcomes = np.random.default_rng(5).permutation(examples.outcomes)
    put_outcomes(world, replace(examples, outcomes=outcomes), WEBHOOKS)
    good = registered(world, promote=False)
    # One that says the base rate of everybody is as good as can be here.
    flat = read_model(model(world, good).artifact or b"")
    weights = tuple(replace(one, coefficient=0.0) for one in flat.weights)
    rate = float(outcomes.mean())
    best = LinearModel(weights, float(np.log(rate / (1 - rate))), 1.0, 0.0)
    world.sql(
        "UPDATE pggit_ml.models SET artifact = :artifact WHERE version = :version",
        artifact=best.to_json(),
        version=good,
    )
    activate(world, good)

    found = train(world)
    assert (found["trained"], found["promoted"], found["reason"]) == (True, False, "no_better")
    assert active_version(world) == good


@pytest.mark.parametrize(
    "assignment",
    [
        "outcome = NULL",
        "outcome = 'unknown'",
        "features_version = 99",
        "horizon_hours = 24",
        "made_at = now() - interval '31 days'",
    ],
)
def test_what_teaches_nothing_is_no_example(world: World, assignment: str) -> None:
    taught, other = checked_webhook(world), checked_webhook(world)
    predict(world)
    world.sql("UPDATE pggit_ml.predictions SET outcome = 'unavailable'")
    world.sql(
        f"UPDATE pggit_ml.predictions SET {assignment} WHERE webhook_id = :id",  # noqa: S608
        id=other,
    )
    found = risk_training._read(world.deps.unit_of_work)
    assert found.outcomes.tolist() == [True]
    row = world.one("SELECT features FROM pggit_ml.predictions WHERE webhook_id = :id", id=taught)
    assert found.rows.tolist() == [row]


def test_too_many_examples_are_thinned(
    world: World, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_outcomes(world, examples, WEBHOOKS)
    world.sql("ANALYZE pggit_ml.predictions")
    monkeypatch.setattr(risk_training, "MAX_EXAMPLES", len(examples.outcomes) // 2)
    monkeypatch.setattr(risk_training, "EXAMPLES_AT_ONCE", 1000)
    found = risk_training._read(world.deps.unit_of_work)
    # One of two or, as the estimate is one, of three.
    assert 0.28 < len(found.outcomes) / len(examples.outcomes) < 0.55
    assert found.outcomes.mean() == pytest.approx(examples.outcomes.mean(), abs=0.02)


# The registry.


def test_the_rules_are_there_from_the_start(world: World) -> None:
    with world.deps.unit_of_work() as work:
        page = risk_models.list_models(work.session, PageRequest(20))
    (rules,) = page.items
    assert (rules.version, rules.kind, rules.is_active, rules.decision) == (
        0,
        "rules",
        True,
        "stated",
    )
    assert (rules.artifact, rules.metrics) == (None, None)


def test_one_is_active_and_it_can_be_chosen_by_hand(world: World) -> None:
    version = registered(world, promote=True)
    assert active_version(world) == version
    back = activate(world, 0)
    assert (back.is_active, back.activated_by) == (True, "tester")
    assert active_version(world) == 0
    assert activate(world, version).is_active
    assert activate(world, version).version == active_version(world) == version


def test_what_was_compared_with_another_than_the_active_one_waits(world: World) -> None:
    first = registered(world, promote=True)
    second = registered(world, promote=True, active_version=0)
    assert active_version(world) == first
    row = model(world, second)
    assert row.decision == TrainingReason.ACTIVE_CHANGED
    assert str(first) in row.detail


def test_what_is_not_there_can_not_be_chosen(world: World) -> None:
    with pytest.raises(NotFound):
        activate(world, 999_999)
    with pytest.raises(NotFound):
        model(world, 999_999)


@pytest.mark.parametrize(
    "assignment",
    ["artifact = '{}'", "artifact = '\\x80049500'", "features_version = 99"],
)
def test_a_model_that_can_not_be_used_gives_way_to_the_rules(world: World, assignment: str) -> None:
    """One that somebody broke, or of an older release that knew other features."""
    version = registered(world, promote=True)
    webhook = checked_webhook(world)
    world.sql(
        f"UPDATE pggit_ml.models SET {assignment} WHERE version = :version",  # noqa: S608
        version=version,
    )
    assert predict(world) == {"predicted": 1}
    assert risk(world, webhook).model.version == 0
    assert review(world)["drift"] is None
    assert risk_models.parameters_of(model(world, version)) is None

    activate(world, 0)
    with pytest.raises(Conflict):
        activate(world, version)
    assert active_version(world) == 0


def test_how_right_it_was_is_noted(world: World) -> None:
    checked_webhook(world)
    checked_webhook(world)
    predict(world)
    assert review(world)["brier_observed"] is None
    world.sql("UPDATE pggit_ml.predictions SET outcome = 'available'")
    assert review(world)["brier_observed"] == pytest.approx(0.02**2)
    observed = model(world, 0).observed
    assert observed is not None
    assert (observed["examples"], observed["outages"]) == (2, 0)
