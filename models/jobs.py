"""Runs of scheduled jobs. The unique slot is what makes a tick run once."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Float, Index, Integer, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp


class JobExecution(Base):
    """`slot` is floor(due ÷ interval) as beat stamped it; null for a run asked for by hand.

    `missed_ticks` counts the slots between the run before and this one that nobody ran.
    `arguments` are what a run by hand was asked to do; null: what every run does.
    """

    __tablename__ = "scheduled_job_execution"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed')", name="status"),
        CheckConstraint("trigger IN ('schedule', 'manual')", name="trigger"),
        UniqueConstraint("job_name", "slot"),
        Index("ix_scheduled_job_execution_job_name_id", "job_name", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    job_name: Mapped[str] = mapped_column(Text)
    slot: Mapped[int | None] = mapped_column(BigInteger)
    trigger: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    scheduled_for: Mapped[Timestamp]
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    duration_ms: Mapped[float | None] = mapped_column(Float)
    missed_ticks: Mapped[int] = mapped_column(Integer, server_default="0")
    worker: Mapped[str | None] = mapped_column(Text)
    arguments: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt] = mapped_column(index=True)


class Worker(Base):
    """A worker process that lives, as it says itself every few seconds."""

    __tablename__ = "workers"
    __table_args__ = ({"schema": SCHEMA},)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    lane: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[CreatedAt]
    seen_at: Mapped[CreatedAt]
    last_claim_at: Mapped[Timestamp | None]
