"""Anomalies, and what the detector knows of each operation."""

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ANALYTICS_SCHEMA, SCHEMA, Base, CreatedAt, Id, Timestamp


class DetectorState(Base):
    """What the detector has learnt of one operation.

    `fed_until`: every value that it was fed is of a minute before; the next is of this or a later
    one. `judged_until`: as far as anomalies were looked for; what is before only teaches, when all
    is learnt anew. `low`, `high`: what was expected last; a value within them needs no early look.
    `usual_count`: values a minute, on average. After an error it rests until `retry_at`.
    """

    __tablename__ = "detector_states"
    __table_args__ = ({"schema": ANALYTICS_SCHEMA},)

    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[CreatedAt]
    state: Mapped[bytes | None] = mapped_column(LargeBinary)
    seen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    fed_until: Mapped[Timestamp]
    judged_until: Mapped[Timestamp | None]
    low: Mapped[float | None] = mapped_column(Float(53))
    high: Mapped[float | None] = mapped_column(Float(53))
    usual_count: Mapped[float] = mapped_column(Float(53), server_default="0")
    compared_at: Mapped[CreatedAt]
    retry_at: Mapped[Timestamp | None]
    error: Mapped[str | None] = mapped_column(Text)


class Anomaly(Base):
    """A stretch of time in which an operation was unusual.

    `value`, `score` and `views` are of the oddest minute so far; `low` and `high` are what was
    expected. `alert_id` is null where it woke nobody: too old, too slight, or the alert is gone.
    """

    __tablename__ = "anomalies"
    __table_args__ = (
        CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_reason"),
        # One at a time for each operation, kept by the database.
        Index("uq_anomalies_open", "operation", unique=True, postgresql_where="ended_at IS NULL"),
        Index("ix_anomalies_operation_id", "operation", "id"),
        Index("ix_anomalies_ended_at", "ended_at"),
        {"schema": ANALYTICS_SCHEMA},
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(Text)
    started_at: Mapped[Timestamp] = mapped_column(index=True)
    ended_at: Mapped[Timestamp | None]
    end_reason: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Float(53))
    value: Mapped[float] = mapped_column(Float(53))
    low: Mapped[float] = mapped_column(Float(53))
    high: Mapped[float] = mapped_column(Float(53))
    sentence: Mapped[str] = mapped_column(Text)
    views: Mapped[dict[str, float]] = mapped_column(JSONB)
    alert_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.alerts.id", ondelete="SET NULL"), index=True
    )
    calm_since: Mapped[Timestamp | None]
    odd_at: Mapped[Timestamp]
    last_at: Mapped[Timestamp]
    created_at: Mapped[CreatedAt]
