"""Baselines: when they are recalculated, their versions, and what is merged for the next one."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ANALYTICS_SCHEMA, SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt


class RecalcSchedule(Base):
    """When the baseline of an operation is recalculated, from how much, and how the last went.

    The row is the queue: who recalculates holds it by `lease_token` until `leased_until`.
    `is_default`: made by Tocsin, since the operation had none.
    """

    __tablename__ = "baseline_recalc_schedule"
    __table_args__ = (
        UniqueConstraint("operation"),
        CheckConstraint("frequency_seconds BETWEEN 300 AND 2592000", name="frequency"),
        CheckConstraint("lookback_days BETWEEN 1 AND 365", name="lookback"),
        CheckConstraint("minimum_samples >= 1", name="minimum"),
        CheckConstraint(
            "last_status IN ('succeeded', 'rejected', 'too_few_samples', 'failed')",
            name="last_status",
        ),
        Index("ix_baseline_recalc_schedule_due", "next_run_at", postgresql_where="is_active"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(Text)
    frequency_seconds: Mapped[int] = mapped_column(Integer)
    lookback_days: Mapped[int] = mapped_column(Integer)
    minimum_samples: Mapped[int] = mapped_column(Integer)
    is_active: Mapped[bool] = mapped_column(server_default="true")
    is_default: Mapped[bool] = mapped_column(server_default="false")
    next_run_at: Mapped[Timestamp]
    lease_token: Mapped[str | None] = mapped_column(UUID(as_uuid=False))
    leased_until: Mapped[Timestamp | None]
    last_run_at: Mapped[Timestamp | None]
    last_status: Mapped[str | None] = mapped_column(Text)
    last_error: Mapped[str | None] = mapped_column(Text)
    last_version: Mapped[int | None] = mapped_column(Integer)
    failures_in_a_row: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class StatisticsColumns:
    """As `app.domain.baseline.Statistics`."""

    sample_count: Mapped[int] = mapped_column(BigInteger)
    p50: Mapped[float] = mapped_column(Float(53))
    p75: Mapped[float] = mapped_column(Float(53))
    p90: Mapped[float] = mapped_column(Float(53))
    p95: Mapped[float] = mapped_column(Float(53))
    p99: Mapped[float] = mapped_column(Float(53))
    mean: Mapped[float] = mapped_column(Float(53))
    stddev: Mapped[float] = mapped_column(Float(53))
    mad: Mapped[float] = mapped_column(Float(53))


class BaselineVersion(StatisticsColumns, Base):
    """One recalculation. Of an operation at most one version is active.

    `left_out` are [{since, until, reason, id}]; `verdict` is what the back-test came to.
    """

    __tablename__ = "baseline_versions"
    __table_args__ = (
        UniqueConstraint("operation", "version"),
        CheckConstraint(
            "status IN ('active', 'superseded', 'rolled_back', 'rejected')", name="status"
        ),
        Index(
            "uq_baseline_versions_active",
            "operation",
            unique=True,
            postgresql_where="status = 'active'",
        ),
        {"schema": ANALYTICS_SCHEMA},
    )

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text)
    window_since: Mapped[Timestamp]
    window_until: Mapped[Timestamp]
    left_out: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    left_out_hours: Mapped[int] = mapped_column(Integer)
    back_test: Mapped[dict[str, Any]] = mapped_column(JSONB)
    verdict: Mapped[str] = mapped_column(Text)
    computed_at: Mapped[Timestamp]
    activated_at: Mapped[Timestamp | None]


class BaselineSlot(StatisticsColumns, Base):
    """A version's statistics of one hour of the week: 0 is Monday 00:00 UTC."""

    __tablename__ = "baseline_slots"
    __table_args__ = (
        CheckConstraint("slot BETWEEN 0 AND 167", name="slot"),
        {"schema": ANALYTICS_SCHEMA},
    )

    version_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey(f"{ANALYTICS_SCHEMA}.baseline_versions.id", ondelete="CASCADE"),
        primary_key=True,
    )
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)


class BaselinePartial(StatisticsColumns, Base):
    """What the hourly rollups of one hour of the week merged to when they were merged last, so
    that the next recalculation need not read them again. `fingerprint` says which ones they were.

    Nothing but a saving: without these rows all is read and merged anew.
    """

    __tablename__ = "baseline_partials"
    __table_args__ = (
        CheckConstraint("slot BETWEEN 0 AND 167", name="slot"),
        {"schema": ANALYTICS_SCHEMA},
    )

    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    sum: Mapped[float] = mapped_column(Float(53))
    m2: Mapped[float] = mapped_column(Float(53))
    min: Mapped[float] = mapped_column(Float(53))
    max: Mapped[float] = mapped_column(Float(53))
    sketch: Mapped[bytes] = mapped_column(LargeBinary)
