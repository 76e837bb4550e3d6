"""Incidents: operations that went off their baselines together."""

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ANALYTICS_SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt


class Incident(Base):
    """`started_at` is when its first member went off its baseline; `summary` is for people."""

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("status IN ('open', 'closed')", name="status"),
        Index("ix_incidents_status_id", "status", "id"),
        {"schema": ANALYTICS_SCHEMA},
    )

    id: Mapped[Id]
    status: Mapped[str] = mapped_column(Text, server_default="open")
    cause_operation: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    started_at: Mapped[Timestamp]
    closed_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class IncidentMember(Base):
    """An operation of an incident. `correlation` is Pearson's, with the likely cause; null for
    the cause itself. `value` was its mean when it was last seen off, and `usual_low` to
    `usual_high` what would have been usual. `back_at`: since when it is usual again, or silent.
    """

    __tablename__ = "incident_members"
    __table_args__ = (
        CheckConstraint("back_reason IN ('usual_again', 'no_data')", name="back_reason"),
        # An operation is in one open incident at most.
        Index(
            "uq_incident_members_open",
            "operation",
            unique=True,
            postgresql_where="back_at IS NULL",
        ),
        Index("ix_incident_members_operation_off_since", "operation", "off_since"),
        {"schema": ANALYTICS_SCHEMA},
    )

    incident_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey(f"{ANALYTICS_SCHEMA}.incidents.id", ondelete="CASCADE"),
        primary_key=True,
    )
    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    off_since: Mapped[Timestamp]
    back_at: Mapped[Timestamp | None]
    back_reason: Mapped[str | None] = mapped_column(Text)
    correlation: Mapped[float | None] = mapped_column(Float(53))
    value: Mapped[float] = mapped_column(Float(53))
    usual_low: Mapped[float] = mapped_column(Float(53))
    usual_high: Mapped[float] = mapped_column(Float(53))
