"""Predictions: the models that make them, and what each prediction said and what came of it."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ML_SCHEMA, SCHEMA, Base, CreatedAt, Id, Timestamp


class RiskModel(Base):
    """What predicts, or was trained to and was not good enough: a registry. Version 0 is the rules.

    `artifact` is a model as JSON (`app.domain.risk_model`); rules have none. `metrics` are its
    scores on what was held out, `compared_with` the version that was active then and its scores
    there, `decision` what came of that. `drift` and `observed` were measured at `reviewed_at`: how
    far its features have moved since training, and its scores on what it has predicted since.
    """

    __tablename__ = "models"
    __table_args__ = (
        CheckConstraint("kind IN ('rules', 'model')", name="kind"),
        CheckConstraint(
            "(kind = 'model') = (artifact IS NOT NULL)", name="a_model_has_an_artifact"
        ),
        Index("ix_models_active", "is_active", unique=True, postgresql_where="is_active"),
        {"schema": ML_SCHEMA},
    )

    version: Mapped[int] = mapped_column(BigInteger, Identity(start=1), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default="false")
    features_version: Mapped[int] = mapped_column(SmallInteger)
    features: Mapped[list[str]] = mapped_column(ARRAY(Text))
    horizon_hours: Mapped[int] = mapped_column(SmallInteger)
    artifact: Mapped[bytes | None] = mapped_column(LargeBinary)
    examples: Mapped[int | None] = mapped_column(Integer)
    window_from: Mapped[Timestamp | None]
    window_until: Mapped[Timestamp | None]
    metrics: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    compared_with: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    decision: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
    drift: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    observed: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    reviewed_at: Mapped[Timestamp | None]
    trained_at: Mapped[CreatedAt]
    activated_at: Mapped[Timestamp | None]
    activated_by: Mapped[str | None] = mapped_column(Text)


class RiskPrediction(Base):
    """How likely a webhook was, at `made_at`, to become unavailable within the horizon.

    `features` are the figures it was made from, of the hours that were over at `as_of`. `outcome`
    is filled in when the horizon is over.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        CheckConstraint("outcome IN ('unavailable', 'available', 'unknown')", name="outcome"),
        # One an hour for each webhook.
        UniqueConstraint("webhook_id", "as_of"),
        Index("ix_predictions_unsettled", "made_at", postgresql_where="outcome IS NULL"),
        {"schema": ML_SCHEMA},
    )

    id: Mapped[Id]
    webhook_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey(f"{SCHEMA}.webhooks.id", ondelete="CASCADE")
    )
    model_version: Mapped[int] = mapped_column(
        ForeignKey(f"{ML_SCHEMA}.models.version"), index=True
    )
    as_of: Mapped[Timestamp]
    made_at: Mapped[CreatedAt] = mapped_column(index=True)
    horizon_hours: Mapped[int] = mapped_column(SmallInteger)
    features_version: Mapped[int] = mapped_column(SmallInteger)
    probability: Mapped[float] = mapped_column(Float)
    features: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    outcome: Mapped[str | None] = mapped_column(Text)
    settled_at: Mapped[Timestamp | None]
