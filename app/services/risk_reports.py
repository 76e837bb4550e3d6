"""What is said of a webhook's risk: the last prediction with its reasons, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.risk import NoPrediction, Reason
from app.domain.risk_features import HORIZON_HOURS, VERSION
from app.services.risk_figures import figures, hour_of, subject
from app.services.risk_models import active_predictor, predictor_of
from app.services.webhooks import get_row
from models import RiskModel, RiskPrediction

# What is older says too little of now: a run was missed, or there are no figures any more.
FRESH = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class RiskReport:
    """`probability` is None where `unknown_because` says why, and `model` would predict."""

    webhook_id: int
    model: RiskModel
    horizon_hours: int
    probability: float | None
    made_at: datetime | None
    reasons: Sequence[Reason]
    unknown_because: NoPrediction | None


def risk_report(session: Session, now: datetime, webhook_id: int) -> RiskReport:
    get_row(session, webhook_id)
    of = subject(session, webhook_id)
    if of.standing is not None:
        return _unknown(session, webhook_id, of.standing)
    last = session.scalar(
        select(RiskPrediction)
        .where(RiskPrediction.webhook_id == webhook_id)
        .order_by(RiskPrediction.as_of.desc())
        .limit(1)
    )
    if last is None or last.made_at < now - FRESH:
        found = figures(session, of, hour_of(now))
        reason = found if isinstance(found, NoPrediction) else NoPrediction.NOT_YET
        return _unknown(session, webhook_id, reason)
    model = session.get_one(RiskModel, last.model_version)
    return RiskReport(
        webhook_id,
        model,
        last.horizon_hours,
        last.probability,
        last.made_at,
        _reasons(model, last),
        None,
    )


def _reasons(model: RiskModel, prediction: RiskPrediction) -> Sequence[Reason]:
    """None when it was made from other figures than are known now, just after an update."""
    if prediction.features_version != VERSION:
        return ()
    try:
        return predictor_of(model).reasons(prediction.features)
    except ValueError:
        return ()


def _unknown(session: Session, webhook_id: int, reason: NoPrediction) -> RiskReport:
    model, _ = active_predictor(session)
    return RiskReport(webhook_id, model, HORIZON_HOURS, None, None, (), reason)
