"""Traffic: how fast each webhook may be told at present, and what changed that."""

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, TRAFFIC_SCHEMA, Base, CreatedAt, Id, Timestamp


class WebhookTraffic(Base):
    """The gate of one webhook: rate, breaker and probe in one row, which the claim reads.

    `tokens` is the bucket that the claim draws from when there is a rate, its own limit or the
    adaptive `pace_per_second` (null: not restrained). A closed gate lets one trial through once
    `reopens_at` has passed. `delivered_at` is the last success while the checks said that the
    webhook is unavailable; `failing_since` the first failure that no success has followed.
    """

    __tablename__ = "webhook_traffic"
    __table_args__ = (
        CheckConstraint("gate IN ('open', 'closed')", name="gate"),
        CheckConstraint("(gate = 'closed') = (reopens_at IS NOT NULL)", name="closed_reopens"),
        {"schema": TRAFFIC_SCHEMA},
    )

    webhook_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.webhooks.id", ondelete="CASCADE"), primary_key=True
    )
    tokens: Mapped[float] = mapped_column(Float, server_default="1")
    refilled_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    pace_per_second: Mapped[float | None] = mapped_column(Float)
    gate: Mapped[str] = mapped_column(Text, server_default="open")
    reason: Mapped[str | None] = mapped_column(Text)
    closings: Mapped[int] = mapped_column(Integer, server_default="0")
    reopens_at: Mapped[Timestamp | None]
    delivered_at: Mapped[Timestamp | None]
    failing_since: Mapped[Timestamp | None]
    changed_at: Mapped[CreatedAt]


class TrafficChange(Base):
    """One change of a gate or a pace, with its reason."""

    __tablename__ = "webhook_traffic_history"
    __table_args__ = (
        Index("ix_webhook_traffic_history_webhook_id_id", "webhook_id", "id"),
        {"schema": TRAFFIC_SCHEMA},
    )

    id: Mapped[Id]
    webhook_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.webhooks.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt] = mapped_column(index=True)
    gate: Mapped[str] = mapped_column(Text)
    pace_per_second: Mapped[float | None] = mapped_column(Float)
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)


class HouseChange(Base):
    """A change that holds for all webhooks: a pause, or what back-pressure refuses from now on."""

    __tablename__ = "house_traffic_history"
    __table_args__ = ({"schema": TRAFFIC_SCHEMA},)

    id: Mapped[Id]
    at: Mapped[CreatedAt] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(Text)
    refused_severities: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    undelivered: Mapped[int | None] = mapped_column(Integer)
    by: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)


class DeliveryPause(Base):
    """While there is a row here, nothing is claimed. There is one at most."""

    __tablename__ = "delivery_pause"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"), {"schema": TRAFFIC_SCHEMA})

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    paused_at: Mapped[CreatedAt]
    paused_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
