"""The delivery queue. The row is the queue: what is committed here will be delivered."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp

OPEN = "status IN ('pending', 'retrying')"


class Delivery(Base):
    """One event for one webhook, until it is delivered: then it moves to `DeliveryHistory`.

    `next_attempt_at` says when somebody may take it: the backoff while it waits, the end of
    the lease while a worker has it (so an expired lease is simply due). It is null, so never due,
    while it is held behind an earlier message to the same webhook about the same alert.

    `rank_at` is its place in the webhook's queue: when it became due, less the head start that
    its severity gives. `probe_holds_until` is set while a red probe may hold its next attempt.

    No foreign keys to the event and the webhook: who queues has just written the one and holds
    the other in place (`app.services.telling`), and to check both again took a third of the time
    that it takes to queue. The purge takes these rows with their alert.
    """

    __tablename__ = "alert_delivery_queue"
    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'retrying', 'delivered', 'failed', 'cancelled')", name="status"
        ),
        CheckConstraint(f"{OPEN} OR lease_token IS NULL", name="lease_only_when_open"),
        # Finished rows are not in the indexes that the claim reads. What a red probe may hold has
        # an index of its own, so that the claim can leave it out without reading it.
        Index(
            "ix_delivery_turn",
            "webhook_id",
            "rank_at",
            postgresql_where=f"{OPEN} AND probe_holds_until IS NULL",
        ),
        Index(
            "ix_delivery_probe_may_hold",
            "webhook_id",
            "rank_at",
            postgresql_where=f"{OPEN} AND probe_holds_until IS NOT NULL",
        ),
        Index("ix_delivery_due", "next_attempt_at", postgresql_where=OPEN),
        Index("ix_delivery_leased", "webhook_id", postgresql_where="lease_token IS NOT NULL"),
        Index("ix_delivery_held", "held_behind", postgresql_where="held_behind IS NOT NULL"),
        Index("ix_delivery_failed", "id", postgresql_where="status = 'failed'"),
        Index("ix_delivery_cancelled", "id", postgresql_where="status = 'cancelled'"),
        Index(
            "ix_delivery_expires",
            "expires_at",
            postgresql_where=f"{OPEN} AND expires_at IS NOT NULL",
        ),
        Index(
            "ix_delivery_redrive",
            "redrive_id",
            "webhook_id",
            "status",
            postgresql_where="redrive_id IS NOT NULL",
        ),
        Index("ix_delivery_webhook_id_id", "webhook_id", "id"),
        # Not of open rows: each claim writes into every index that a row is in.
        Index("ix_delivery_finished_at", "finished_at", postgresql_where=f"NOT ({OPEN})"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    event_id: Mapped[int] = mapped_column(BigInteger, index=True)
    webhook_id: Mapped[int] = mapped_column(BigInteger)
    webhook_message_id: Mapped[str] = mapped_column(
        Text, server_default=text("'msg_' || replace(gen_random_uuid()::text, '-', '')")
    )
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    reason: Mapped[str | None] = mapped_column(Text)
    attempts_made: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[Timestamp | None] = mapped_column(server_default=func.now())
    head_start_seconds: Mapped[int] = mapped_column(Integer, server_default="0")
    rank_at: Mapped[Timestamp | None] = mapped_column(server_default=func.now())
    probe_holds_until: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp | None]
    lease_token: Mapped[str | None] = mapped_column(UUID(as_uuid=False))
    held_behind: Mapped[int | None] = mapped_column(BigInteger)
    redrive_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.redrives.id", ondelete="SET NULL")
    )
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]


class DeliveryHistory(Base):
    """What was delivered. Rows come from the queue, by the completion, with their ids.

    Without foreign keys: the queue's have been checked, and to check them again would cost more
    than the move. The purge takes these rows with their alert.
    """

    __tablename__ = "alert_delivery_history"
    __table_args__ = (
        Index("ix_delivery_history_webhook_id_id", "webhook_id", "id"),
        Index(
            "ix_delivery_history_redrive", "redrive_id", postgresql_where="redrive_id IS NOT NULL"
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[int] = mapped_column(BigInteger, index=True)
    webhook_id: Mapped[int] = mapped_column(BigInteger)
    webhook_message_id: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    attempts_made: Mapped[int] = mapped_column(Integer)
    redrive_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp] = mapped_column(index=True)


class Views(DeclarativeBase):
    """Views have metadata of their own: nobody creates or empties them as tables."""


class DeliveryRecord(Views):
    """Every delivery, open or over: the queue and its history as one. To read only."""

    __tablename__ = "deliveries"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger)
    webhook_id: Mapped[int] = mapped_column(BigInteger)
    webhook_message_id: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    attempts_made: Mapped[int]
    next_attempt_at: Mapped[Timestamp | None]
    probe_holds_until: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp | None]
    is_leased: Mapped[bool]
    held_behind: Mapped[int | None] = mapped_column(BigInteger)
    redrive_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Timestamp]
    finished_at: Mapped[Timestamp | None]
    # Which of the two it is in: a constant for the planner, so that it reads only the one.
    is_delivered: Mapped[bool]


class DeliveryAttempt(Base):
    """`delivery_id` is in the queue or in its history, so no foreign key can say where."""

    __tablename__ = "delivery_attempts"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    delivery_id: Mapped[int] = mapped_column(BigInteger, index=True)
    at: Mapped[CreatedAt]
    http_status: Mapped[int | None] = mapped_column(Integer)
    latency_ms: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    body_excerpt: Mapped[str | None] = mapped_column(Text)


class Redrive(Base):
    """Deliveries that ended without success and are tried again, some at a time.

    Those that match `filter` and had ended when it was created. Its shares say how far it is.
    """

    __tablename__ = "redrives"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'finished', 'cancelled')", name="status"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    filter: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(Text, server_default="running")
    total: Mapped[int] = mapped_column(Integer)
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]


class RedriveShare(Base):
    """What of a redrive is for one webhook. Each goes on by itself, so that none waits for another.

    `after_id` is how far it is: what matches and has a greater id is still to come. `skipped`
    counts, by reason, what was passed over. `due_at` is when it is looked at next.
    """

    __tablename__ = "redrive_shares"
    __table_args__ = (
        UniqueConstraint("redrive_id", "webhook_id"),
        Index("ix_redrive_shares_due_at", "due_at", postgresql_where="finished_at IS NULL"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    redrive_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.redrives.id", ondelete="CASCADE"))
    # No foreign key: what was done is told longer than the webhook is kept.
    webhook_id: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(Integer)
    requeued: Mapped[int] = mapped_column(Integer, server_default="0")
    skipped: Mapped[dict[str, int]] = mapped_column(JSONB, server_default="{}")
    after_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    due_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    finished_at: Mapped[Timestamp | None]
