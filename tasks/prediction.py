"""The jobs lane: predictions, their outcomes, and the training of what makes them."""

from collections.abc import Mapping
from typing import Any

from app.services.risk_predictions import predict, settle
from app.services.risk_review import review
from app.services.risk_training import train
from tasks.lane import this_lane
from tasks.scheduled import run_scheduled
from tasks.worker import celery


@celery.task(name="risk.predict")
def predict_risk(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Settle predictions whose time is over, and predict who was not predicted for this hour."""

    def work() -> Mapping[str, Any]:
        deps = this_lane().deps
        settled = settle(deps.unit_of_work, deps.clock)
        return {**settled, **predict(deps.unit_of_work, deps.clock)}

    return run_scheduled("predict-risk", work, slot, execution_id)


@celery.task(name="risk.train")
def train_risk(slot: int | None = None, execution_id: int | None = None) -> Mapping[str, Any]:
    """Train a model when there is enough to learn from, and note how the active one does."""

    def work() -> Mapping[str, Any]:
        unit_of_work = this_lane().deps.unit_of_work
        return {**train(unit_of_work), **review(unit_of_work)}

    return run_scheduled("train-risk-model", work, slot, execution_id)
