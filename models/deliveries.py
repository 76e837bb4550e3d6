"""The delivery queue. The row is the queue: what is committed here will be delivered."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp

OPEN = "status IN ('pending', 'retrying')"


class Delivery(Base):
    """One event for one webhook.

    `next_attempt_at` says when somebody may take it: the backoff while it waits, the end of
    the lease while a worker has it (so an expired lease is simply due). It is null, so never due,
    while it is held behind an earlier message to the same webhook about the same alert.
    """

    __tablename__ = "alert_delivery_queue"
    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'retrying', 'delivered', 'failed', 'cancelled')", name="status"
        ),
        CheckConstraint(f"{OPEN} OR lease_token IS NULL", name="lease_only_when_open"),
        # Finished rows are not in the indexes that the claim reads.
        Index("ix_delivery_due_by_webhook", "webhook_id", "next_attempt_at", postgresql_where=OPEN),
        Index("ix_delivery_due", "next_attempt_at", postgresql_where=OPEN),
        Index("ix_delivery_leased", "webhook_id", postgresql_where="lease_token IS NOT NULL"),
        Index("ix_delivery_held", "held_behind", postgresql_where="held_behind IS NOT NULL"),
        Index("ix_delivery_failed", "id", postgresql_where="status = 'failed'"),
        Index("ix_delivery_webhook_id_id", "webhook_id", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    event_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alert_events.id", ondelete="CASCADE"), index=True
    )
    webhook_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.webhooks.id"))
    webhook_message_id: Mapped[str] = mapped_column(
        Text, server_default=text("'msg_' || replace(gen_random_uuid()::text, '-', '')")
    )
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    reason: Mapped[str | None] = mapped_column(Text)
    attempts_made: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[Timestamp | None] = mapped_column(server_default=func.now())
    lease_token: Mapped[str | None] = mapped_column(UUID(as_uuid=False))
    held_behind: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None] = mapped_column(index=True)


class DeliveryAttempt(Base):
    __tablename__ = "delivery_attempts"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    delivery_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alert_delivery_queue.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[CreatedAt]
    http_status: Mapped[int | None] = mapped_column(Integer)
    latency_ms: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    body_excerpt: Mapped[str | None] = mapped_column(Text)
