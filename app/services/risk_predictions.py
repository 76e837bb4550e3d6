"""Predictions: made each hour for each webhook, and settled when their time is over."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.domain.risk import NoPrediction, Predictor
from app.domain.risk_features import HORIZON_HOURS, VERSION
from app.services.risk_figures import Subject, figures, hour_of, subjects_to_predict
from app.services.risk_models import active_predictor
from models import RiskPrediction

WEBHOOKS_AT_ONCE = 50
# A run goes no further; the next goes on where it stopped.
RUN_SECONDS = 30.0
SETTLED_AT_ONCE = 200
# So long after its horizon a check may still be recorded that began within it.
GRACE_MINUTES = 5
# With fewer of the checks that were to be, "available" would be a guess.
LEAST_CHECKED_PART = 0.5

_SETTLE = text(
    f"""
    WITH due AS MATERIALIZED (
        SELECT p.id, p.webhook_id, p.made_at,
            p.made_at + make_interval(hours => p.horizon_hours) AS until,
            p.horizon_hours * 3600.0 / w.health_check_interval_seconds AS expected
        FROM pggit_ml.predictions p JOIN pggit.webhooks w ON w.id = p.webhook_id
        WHERE p.outcome IS NULL AND p.made_at + make_interval(hours => p.horizon_hours)
            <= now() - interval '{GRACE_MINUTES} minutes'
        ORDER BY p.made_at LIMIT {SETTLED_AT_ONCE} FOR UPDATE OF p SKIP LOCKED
    )
    UPDATE pggit_ml.predictions p SET settled_at = now(), outcome = CASE
        WHEN COALESCE(seen.maintained, false) THEN 'unknown'
        WHEN COALESCE(seen.unavailable, false) THEN 'unavailable'
        WHEN seen.checks < due.expected * {LEAST_CHECKED_PART} OR seen.checks = 0 THEN 'unknown'
        ELSE 'available' END
    FROM due CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE c.health_status <> 'unknown') AS checks,
            bool_or(c.in_maintenance) AS maintained,
            bool_or(c.health_status = 'unavailable') AS unavailable
        FROM pggit.webhook_health_checks c
        WHERE c.webhook_id = due.webhook_id
            AND c.checked_at > due.made_at AND c.checked_at <= due.until
    ) seen
    WHERE p.id = due.id
    RETURNING p.outcome
    """  # noqa: S608 - only constants in it
)


def settle(unit_of_work: Callable[[], Any], clock: Clock) -> dict[str, int]:
    """Say what came of predictions whose horizon is over; how many had which outcome."""
    until = clock.monotonic() + RUN_SECONDS
    outcomes: Counter[str] = Counter()
    while clock.monotonic() < until:
        with unit_of_work() as work:
            settled = work.session.scalars(_SETTLE).all()
        outcomes.update(settled)
        if len(settled) < SETTLED_AT_ONCE:
            break
    return {f"settled_{outcome}": count for outcome, count in outcomes.items()}


def predict(unit_of_work: Callable[[], Any], clock: Clock) -> Mapping[str, int]:
    """Predict every webhook that was not predicted for this hour yet, some at a time.

    How many were `predicted`, and how many had no figures, by the reason; `left` is 1 when time was
    up before all were.
    """
    until = clock.monotonic() + RUN_SECONDS
    report: Counter[str] = Counter(predicted=0)
    with unit_of_work() as work:
        as_of = hour_of(work.now)
        row, predictor = active_predictor(work.session)
    after: int | None = 0
    while after is not None:
        if clock.monotonic() >= until:
            report["left"] = 1
            break
        with unit_of_work() as work:
            after = _predict_some(work.session, as_of, row.version, predictor, after, report)
    return dict(report)


def _predict_some(
    session: Session,
    as_of: datetime,
    version: int,
    predictor: Predictor,
    after: int,
    report: "Counter[str]",
) -> int | None:
    """The webhook to go on after; None when that was all."""
    found = subjects_to_predict(session, as_of, after, WEBHOOKS_AT_ONCE)
    known: list[tuple[Subject, list[float]]] = []
    for one in found:
        row = figures(session, one, as_of)
        if isinstance(row, NoPrediction):
            report[row] += 1
        else:
            known.append((one, row))
    if known:
        probabilities = predictor.probabilities(np.array([row for _, row in known]))
        session.execute(
            insert(RiskPrediction).on_conflict_do_nothing(),
            [
                {
                    "webhook_id": one.webhook_id,
                    "model_version": version,
                    "as_of": as_of,
                    "horizon_hours": HORIZON_HOURS,
                    "features_version": VERSION,
                    "probability": float(probability),
                    "features": row,
                }
                for (one, row), probability in zip(known, probabilities, strict=True)
            ],
        )
        report["predicted"] += len(known)
    return found[-1].webhook_id if found else None
