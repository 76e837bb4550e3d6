"""How the active model does: whether webhooks are still like those that it learnt from, and how
right it was. Noted in the registry, and shown."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.risk_drift import GREAT, Drift, drift_of
from app.domain.risk_model import LinearModel
from app.domain.risk_scores import Scores, score
from app.services.risk_models import active_predictor, record_review

log = structlog.get_logger(__name__)

# A whole week, so that each hour of it is in there.
DRIFT_WINDOW: Final = "7 days"
OBSERVED_WINDOW: Final = "30 days"
MAX_WEBHOOKS: Final = 500
MAX_ROWS: Final = 20_000

# Some webhooks at random, and always the same ones, found by the index of predictions.
_SAMPLE = f"""
    FROM (SELECT id AS webhook_id FROM pggit.webhooks WHERE is_active AND deleted_at IS NULL
        ORDER BY hashint8(id) LIMIT {MAX_WEBHOOKS}) chosen
    JOIN pggit_ml.predictions p USING (webhook_id)
"""  # noqa: S608 - only constants in it
_RECENT = text(
    f"""
    SELECT p.features {_SAMPLE}
    WHERE p.as_of > now() - interval '{DRIFT_WINDOW}' AND p.features_version = :features_version
    ORDER BY hashint8(p.id) LIMIT {MAX_ROWS}
    """
)
_OBSERVED = text(
    f"""
    SELECT p.probability, p.outcome = 'unavailable' {_SAMPLE}
    WHERE p.as_of > now() - interval '{OBSERVED_WINDOW}' AND p.model_version = :version
        AND p.outcome IN ('unavailable', 'available')
    ORDER BY hashint8(p.id) LIMIT {MAX_ROWS}
    """
)


def review(unit_of_work: Callable[[], Any]) -> Mapping[str, Any]:
    """Note how the active model does, by samples of bounded size."""
    with unit_of_work() as work:
        row, predictor = active_predictor(work.session)
        observed = _observed(work.session, row.version)
        drift = (
            _drift(work.session, predictor, row.features_version)
            if isinstance(predictor, LinearModel)
            else None
        )
        record_review(
            work.session, work.now, row.version, None if drift is None else drift.shown(), observed
        )
    if drift is not None and drift.indexes[drift.worst] > GREAT:
        log.warning(
            "webhooks are not like those the model learnt from",
            action="model_drift",
            version=row.version,
            feature=drift.worst,
            stability_index=round(drift.indexes[drift.worst], 3),
        )
    return {
        "reviewed": row.version,
        "drift": None if drift is None else drift.level,
        "brier_observed": None if observed is None else round(observed.brier, 4),
    }


def _observed(session: Session, version: int) -> Scores | None:
    found = session.execute(_OBSERVED, {"version": version}).all()
    if not found:
        return None
    probabilities, outcomes = zip(*found, strict=True)
    return score(np.array(probabilities, np.float64), np.array(outcomes, np.bool_))


def _drift(session: Session, model: LinearModel, features_version: int) -> Drift | None:
    found = session.scalars(_RECENT, {"features_version": features_version}).all()
    return drift_of(model, np.array(found, np.float64)) if found else None
