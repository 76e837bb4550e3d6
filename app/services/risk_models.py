"""The registry of what predicts: versions, which of them is active, and how one becomes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.risk import RULES_VERSION, ModelKind, Predictor
from app.domain.risk_features import FEATURES, HORIZON_HOURS, VERSION
from app.domain.risk_model import LinearModel, read_model
from app.domain.risk_rules import RuleSet
from app.domain.risk_scores import Scores
from app.domain.risk_training import TrainingReason, Verdict
from app.errors import Conflict, NotFound
from app.services.paging import Page, PageRequest, paginate
from models import RiskModel

log = structlog.get_logger(__name__)

TRAINING = "training"
_RULES_DETAIL = "Rules stated by hand: the first that applies decides. They have learnt nothing."
_COMMON = {
    "features_version": VERSION,
    "features": list(FEATURES),
    "horizon_hours": HORIZON_HOURS,
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and how it was made: the examples, their times, its scores and the active one's."""

    model: LinearModel
    examples: int
    window: tuple[datetime, datetime]
    scores: Scores
    active_version: int
    active_scores: Scores


def ensure_rules(session: Session) -> None:
    """Version 0 is there, of the present features, and active if nothing else ever was."""
    known = session.scalar(
        select(RiskModel.features_version).where(RiskModel.version == RULES_VERSION)
    )
    if known == VERSION:
        return
    rules = {"kind": ModelKind.RULES, "decision": "stated", "detail": _RULES_DETAIL, **_COMMON}
    session.execute(
        insert(RiskModel)
        .values(version=RULES_VERSION, is_active=True, **rules)
        .on_conflict_do_update(index_elements=[RiskModel.version], set_=rules)
    )


def list_models(session: Session, request: PageRequest) -> Page[RiskModel]:
    ensure_rules(session)
    return paginate(session, select(RiskModel), RiskModel.version, request)


def get_model(session: Session, version: int) -> RiskModel:
    ensure_rules(session)
    row = session.get(RiskModel, version)
    if row is None:
        raise NotFound("There is no model of this version.")
    return row


def predictor_of(row: RiskModel) -> Predictor:
    """Raises ValueError for a model that can't be read, or that asks for other features."""
    if row.kind == ModelKind.RULES:
        return RuleSet()
    if row.artifact is None or row.features_version != VERSION:
        raise ValueError("a model of other features")
    return read_model(row.artifact)


def parameters_of(row: RiskModel) -> dict[str, Any] | None:
    """All numbers of a model; None for the rules, and for what can't be read as a model."""
    try:
        predictor = predictor_of(row)
    except ValueError:
        return None
    return predictor.numbers() if isinstance(predictor, LinearModel) else None


def active_predictor(session: Session) -> tuple[RiskModel, Predictor]:
    """What predicts at present. An active model that can't be used gives way to the rules: after an
    update that brought other features, until the next training.
    """
    ensure_rules(session)
    row = session.scalars(select(RiskModel).where(RiskModel.is_active)).one()
    try:
        return row, predictor_of(row)
    except ValueError as error:
        log.warning(
            "the active model can't be used; rules predict",
            action="model_unusable",
            version=row.version,
            error=str(error),
        )
        return session.get_one(RiskModel, RULES_VERSION), RuleSet()


def activate(session: Session, now: datetime, version: int, by: str) -> RiskModel:
    """Have a version predict from now on. For the active one this changes nothing.

    Raises Conflict for one that can't be used.
    """
    _lock(session)
    row = get_model(session, version)
    if row.is_active:
        return row
    try:
        predictor_of(row)
    except ValueError as error:
        raise Conflict(f"This model can't be used: {error}.") from None
    _switch(session, now, row, by)
    return row


def register(session: Session, now: datetime, trained: Trained, verdict: Verdict) -> RiskModel:
    """Keep what was trained, whatever came of it, and have it predict if it is to."""
    _lock(session)
    active = session.scalar(select(RiskModel.version).where(RiskModel.is_active))
    if verdict.promote and active != trained.active_version:
        verdict = Verdict(
            False,
            TrainingReason.ACTIVE_CHANGED,
            f"It was compared with version {trained.active_version}, and {active} is active now.",
        )
    row = RiskModel(
        kind=ModelKind.MODEL,
        artifact=trained.model.to_json(),
        examples=trained.examples,
        window_from=trained.window[0],
        window_until=trained.window[1],
        metrics=asdict(trained.scores),
        compared_with={"version": trained.active_version} | asdict(trained.active_scores),
        decision=verdict.reason,
        detail=verdict.detail,
        trained_at=now,
        **_COMMON,
    )
    session.add(row)
    session.flush()
    if verdict.promote:
        _switch(session, now, row, TRAINING)
    return row


def record_review(
    session: Session,
    now: datetime,
    version: int,
    drift: Mapping[str, Any] | None,
    observed: Scores | None,
) -> None:
    """Note how a version does: how its features have moved, and how right it was."""
    session.execute(
        update(RiskModel)
        .where(RiskModel.version == version)
        .values(
            drift=drift, observed=None if observed is None else asdict(observed), reviewed_at=now
        )
    )


def _lock(session: Session) -> None:
    """Who changes which version is active comes one after another."""
    ensure_rules(session)
    session.execute(
        select(RiskModel.version).where(RiskModel.version == RULES_VERSION).with_for_update()
    )


def _switch(session: Session, now: datetime, row: RiskModel, by: str) -> None:
    session.execute(update(RiskModel).where(RiskModel.is_active).values(is_active=False))
    row.is_active = True
    row.activated_at = now
    row.activated_by = by
    session.flush()
    log.info("another model predicts", action="model_activated", version=row.version, by=by)
