"""Predictions: made once an hour, from what rollups say, and settled by what came of them."""

from collections.abc import Callable

import pytest

from app.domain.risk import Effect, ModelKind, NoPrediction
from app.domain.risk_features import FEATURES, Feature
from app.errors import NotFound
from app.services import risk_predictions
from tests.services.risks import (
    WEEK,
    checked_webhook,
    hour,
    predict,
    put_hours,
    risk,
    settle,
)
from tests.services.world import World

pytestmark = pytest.mark.usefixtures("one_hour")


def set_health(world: World, webhook_id: int, assignment: str) -> None:
    world.sql(
        f"UPDATE pggit.webhook_health_metrics SET {assignment} WHERE webhook_id = :id",  # noqa: S608
        id=webhook_id,
    )


def features(world: World, webhook_id: int) -> dict[Feature, float]:
    row = world.one("SELECT features FROM pggit_ml.predictions WHERE webhook_id = :i", i=webhook_id)
    return dict(zip(FEATURES, row, strict=True))


def test_the_rules_predict_first_and_say_that_they_are_rules(world: World) -> None:
    webhook = checked_webhook(world)
    assert predict(world) == {"predicted": 1}

    report = risk(world, webhook)
    assert (report.model.version, report.model.kind) == (0, ModelKind.RULES)
    assert (report.probability, report.horizon_hours) == (0.02, 6)
    assert report.made_at is not None
    assert report.unknown_because is None
    (reason,) = report.reasons
    assert (reason.name, reason.effect) == ("quiet", Effect.LOWERS)


def test_a_webhook_is_predicted_once_an_hour(world: World) -> None:
    checked_webhook(world)
    predict(world)
    assert predict(world) == {"predicted": 0}
    world.sql("UPDATE pggit_ml.predictions SET as_of = as_of - interval '1 hour'")
    assert predict(world) == {"predicted": 1}


def test_what_is_known_of_the_moment_counts(world: World) -> None:
    webhook = checked_webhook(world)
    set_health(world, webhook, "consecutive_failures = 2")
    world.sql(
        "UPDATE pggit_traffic.webhook_traffic SET failing_since = now() - interval '90 minutes'"
    )
    predict(world)
    found = features(world, webhook)
    assert found[Feature.FAILURES_IN_A_ROW] == 2
    assert found[Feature.DELIVERIES_FAILING_HOURS] == pytest.approx(1.5, abs=0.01)
    assert risk(world, webhook).reasons[0].name == "failing_now"


def test_minutes_that_are_not_folded_yet_count(world: World) -> None:
    webhook = world.webhook()
    put_hours(world, webhook, dict.fromkeys(WEEK[1:], hour()))
    put_hours(world, webhook, {1: hour(passed=6, failed=6)}, resolution=60)
    predict(world)
    found = features(world, webhook)
    assert found[Feature.FAILURE_RATE_1H] == pytest.approx(0.5)
    assert found[Feature.OUTAGES_24H] == 1


def test_checks_in_maintenance_do_not_count(world: World) -> None:
    webhook = world.webhook()
    put_hours(world, webhook, dict.fromkeys(WEEK, hour()) | {1: hour(passed=1, maintained=11)})
    predict(world)
    assert features(world, webhook)[Feature.FAILURE_RATE_1H] == 0


Arrange = Callable[[World], int]


def _with(assignment: str) -> Arrange:
    def arrange(world: World) -> int:
        webhook = checked_webhook(world)
        set_health(world, webhook, assignment)
        return webhook

    return arrange


def _with_hours(hours: range, maintained: bool = False) -> Arrange:
    def arrange(world: World) -> int:
        webhook = world.webhook()
        put_hours(
            world, webhook, dict.fromkeys(hours, hour(0, maintained=12) if maintained else hour())
        )
        return webhook

    return arrange


@pytest.mark.parametrize(
    ("arrange", "reason", "counted"),
    [
        (lambda world: checked_webhook(world, is_active=False), NoPrediction.INACTIVE, {}),
        (_with("health_status = 'unavailable'"), NoPrediction.UNAVAILABLE_ALREADY, {}),
        (_with("health_status = 'unknown', blocked_by = 1"), NoPrediction.BLOCKED, {}),
        (_with_hours(range(0)), NoPrediction.NO_RECENT_CHECKS, {"no_recent_checks": 1}),
        (_with_hours(range(3, 100)), NoPrediction.NO_RECENT_CHECKS, {"no_recent_checks": 1}),
        (_with_hours(WEEK, True), NoPrediction.NO_RECENT_CHECKS, {"no_recent_checks": 1}),
        (_with_hours(range(1, 24)), NoPrediction.TOO_LITTLE_HISTORY, {"too_little_history": 1}),
    ],
)
def test_where_nothing_can_be_said_there_is_a_reason(
    world: World, arrange: Arrange, reason: NoPrediction, counted: dict[str, int]
) -> None:
    webhook = arrange(world)
    assert predict(world) == {"predicted": 0} | counted

    report = risk(world, webhook)
    assert report.probability is None
    assert report.unknown_because is reason
    assert (report.model.version, report.reasons, report.made_at) == (0, (), None)


def test_before_the_first_run_and_after_a_stand_still_it_says_so(world: World) -> None:
    webhook = checked_webhook(world)
    assert risk(world, webhook).unknown_because is NoPrediction.NOT_YET
    predict(world)
    assert risk(world, webhook).unknown_because is None
    world.sql("UPDATE pggit_ml.predictions SET made_at = now() - interval '2 hours 1 minute'")
    assert risk(world, webhook).unknown_because is NoPrediction.NOT_YET


def test_what_went_down_since_the_prediction_has_no_risk_of_going_down(world: World) -> None:
    webhook = checked_webhook(world)
    predict(world)
    set_health(world, webhook, "health_status = 'unavailable'")
    assert risk(world, webhook).unknown_because is NoPrediction.UNAVAILABLE_ALREADY


def test_a_deleted_webhook_is_neither_predicted_nor_known(world: World) -> None:
    webhook = checked_webhook(world)
    world.delete_webhook(webhook)
    assert predict(world) == {"predicted": 0}
    with pytest.raises(NotFound):
        risk(world, webhook)


def test_all_are_predicted_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk_predictions, "WEBHOOKS_AT_ONCE", 2)
    webhooks = [checked_webhook(world) for _ in range(5)]
    assert predict(world) == {"predicted": 5}
    rows = world.sql("SELECT webhook_id FROM pggit_ml.predictions ORDER BY id")
    assert [row[0] for row in rows] == webhooks


def test_a_run_whose_time_is_up_leaves_the_rest_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked_webhook(world)
    with monkeypatch.context() as patch:
        patch.setattr(risk_predictions, "RUN_SECONDS", 0.0)
        assert predict(world) == {"predicted": 0, "left": 1}
    assert predict(world) == {"predicted": 1}


# What came of it.

CHECKS = """
    INSERT INTO pggit.webhook_health_checks
        (webhook_id, checked_at, outcome, reason, health_status, in_maintenance)
    SELECT webhook_id, made_at + minutes * interval '1 minute', 'passed', 'x', :status, :maintained
    FROM pggit_ml.predictions, unnest(CAST(:minutes AS float8[])) AS minutes
"""
EVERY_FIVE = range(5, 361, 5)


def predicted_ago(world: World, minutes: float) -> None:
    checked_webhook(world)
    predict(world)
    world.sql(
        "UPDATE pggit_ml.predictions SET made_at = now() - :minutes * interval '1 minute'",
        minutes=minutes,
    )


def put_checks(
    world: World,
    *minutes: float,
    status: str = "healthy",
    maintained: bool = False,
) -> None:
    world.sql(CHECKS, minutes=list(minutes), status=status, maintained=maintained)


def outcome(world: World) -> str | None:
    found, is_settled = world.one(
        "SELECT outcome, settled_at IS NOT NULL FROM pggit_ml.predictions"
    )
    assert is_settled == (found is not None)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("good", "bad", "maintained", "expected"),
    [
        (EVERY_FIVE, [], [], "available"),
        (EVERY_FIVE, [200.5], [], "unavailable"),
        # At the end of the horizon, and just after it; at the moment itself, which it knew of.
        (EVERY_FIVE, [360], [], "unavailable"),
        (EVERY_FIVE, [360.5], [], "available"),
        (EVERY_FIVE, [0], [], "available"),
        # Half of the checks that were to be are enough to say that it was available,
        (EVERY_FIVE[:36], [], [], "available"),
        (EVERY_FIVE[:35], [], [], "unknown"),
        ([], [], [], "unknown"),
        # and one is enough to say that it was not.
        ([], [100], [], "unavailable"),
        # What was planned was no failure to predict, whatever the checks say.
        (EVERY_FIVE, [200.5], [201], "unknown"),
        (EVERY_FIVE, [], [201], "unknown"),
    ],
)
def test_what_came_of_it(
    world: World, good: range, bad: list[float], maintained: list[float], expected: str
) -> None:
    predicted_ago(world, 370)
    put_checks(world, *good)
    put_checks(world, *bad, status="unavailable")
    put_checks(world, *maintained, status="unavailable", maintained=True)

    assert settle(world) == {f"settled_{expected}": 1}
    assert outcome(world) == expected
    assert settle(world) == {}


def test_what_waits_for_a_parent_does_not_say_that_it_was_available(world: World) -> None:
    predicted_ago(world, 370)
    put_checks(world, *EVERY_FIVE, status="unknown")
    assert settle(world) == {"settled_unknown": 1}


@pytest.mark.parametrize(("minutes", "settled"), [(364, 0), (366, 1)])
def test_it_waits_for_the_horizon_and_for_checks_that_began_in_it(
    world: World, minutes: int, settled: int
) -> None:
    predicted_ago(world, minutes)
    put_checks(world, *EVERY_FIVE)
    assert sum(settle(world).values()) == settled
    assert (outcome(world) is not None) == bool(settled)


def test_it_goes_on_until_all_are_settled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        checked_webhook(world)
    predict(world)
    world.sql(
        "INSERT INTO pggit_ml.predictions (webhook_id, model_version, as_of, made_at,"
        " horizon_hours, features_version, probability, features)"
        " SELECT webhook_id, 0, as_of - n * interval '1 hour', as_of - n * interval '1 hour', 6, 1,"
        " 0.5, features FROM pggit_ml.predictions, generate_series(8, 160) AS n"
    )
    assert 2 * risk_predictions.SETTLED_AT_ONCE < 3 * 153
    assert settle(world) == {"settled_unknown": 3 * 153}
