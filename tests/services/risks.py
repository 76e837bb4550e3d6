"""Short words for tests of predictions: hours of checks, and outcomes of a simulated fleet."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.domain.check_rollups import CheckRollup, merge
from app.domain.health import CheckOutcome
from app.domain.risk_features import HOUR_SECONDS
from app.services import risk_models, risk_predictions, risk_reports, risk_review, risk_training
from app.services.risk_figures import hour_of
from app.services.risk_reports import RiskReport
from benchmarks.fleet_examples import Examples
from models import RiskModel, WebhookHealthRollup
from tests.check_rollups import roll_up
from tests.services.world import World

WEEK = range(1, 169)


def hour(passed: int = 12, failed: int = 0, maintained: int = 0) -> CheckRollup:
    """The checks of an hour, each of 100 ms."""
    outcomes = [CheckOutcome.PASSED] * passed + [CheckOutcome.FAILED] * failed
    kept = roll_up((one, 100.0, False) for one in outcomes)
    return merge([kept, CheckRollup(checks=maintained, in_maintenance=maintained)])


def put_hours(
    world: World,
    webhook_id: int,
    hours: Mapping[int, CheckRollup],
    resolution: int = HOUR_SECONDS,
) -> None:
    """`hours` ago (1: the hour that is just over) → the checks in it."""
    with world.deps.unit_of_work() as work:
        now = hour_of(work.now)
        rows = [
            {
                "webhook_id": webhook_id,
                "resolution": resolution,
                "at": now - timedelta(hours=ago),
                **rollup._asdict(),
            }
            for ago, rollup in hours.items()
        ]
        if rows:
            work.session.execute(insert(WebhookHealthRollup), rows)


def checked_webhook(world: World, **fields: Any) -> int:
    """One with a week of good checks."""
    webhook_id = world.webhook(**fields)
    put_hours(world, webhook_id, dict.fromkeys(WEEK, hour()))
    return webhook_id


def predict(world: World) -> Mapping[str, int]:
    return risk_predictions.predict(world.deps.unit_of_work, world.deps.clock)


def settle(world: World) -> Mapping[str, int]:
    return risk_predictions.settle(world.deps.unit_of_work, world.deps.clock)


def train(world: World) -> Mapping[str, Any]:
    return risk_training.train(world.deps.unit_of_work)


def review(world: World) -> Mapping[str, Any]:
    return risk_review.review(world.deps.unit_of_work)


def risk(world: World, webhook_id: int) -> RiskReport:
    with world.deps.unit_of_work() as work:
        return risk_reports.risk_report(work.session, work.now, webhook_id)


def activate(world: World, version: int) -> RiskModel:
    with world.deps.unit_of_work() as work:
        return risk_models.activate(work.session, work.now, version, "tester")


def model(world: World, version: int) -> RiskModel:
    with world.deps.unit_of_work() as work:
        return risk_models.get_model(work.session, version)


def active_version(world: World) -> int:
    found = world.one("SELECT version FROM pggit_ml.models WHERE is_active")
    return int(found)


def put_outcomes(world: World, examples: Examples, webhooks: int) -> None:
    """Predictions by the rules with these figures and outcomes, the last of them settled just now.

    Of those of one hour each is another webhook's.
    """
    ids = [world.webhook() for _ in range(webhooks)]
    with world.deps.unit_of_work() as work:
        risk_models.ensure_rules(work.session)
        _copy(work.session, work.now, ids, examples)


def _copy(session: Session, now: datetime, ids: list[int], examples: Examples) -> None:
    _, place = np.unique(examples.made_at, return_index=True)
    first = np.repeat(place, np.diff([*place, len(examples.made_at)]))
    later = hour_of(now).timestamp() - 7 * HOUR_SECONDS - examples.made_at[-1]
    connection = session.connection().connection.driver_connection
    assert connection is not None
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY pggit_ml.predictions (webhook_id, model_version, as_of, made_at, horizon_hours,"
            " features_version, probability, features, outcome) FROM STDIN"
        ) as copy,
    ):
        for number, (row, outcome, at) in enumerate(
            zip(examples.rows, examples.outcomes, examples.made_at, strict=True)
        ):
            made_at = datetime.fromtimestamp(at + later, now.tzinfo)
            said = "unavailable" if outcome else "available"
            webhook_id = ids[number - first[number]]
            copy.write_row((webhook_id, 0, made_at, made_at, 6, 1, 0.05, row.tolist(), said))
