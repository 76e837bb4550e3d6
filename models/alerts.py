"""Alerts and what happened to them, told or to be told."""

from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt


class Alert(Base):
    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
        CheckConstraint("status IN ('pending', 'acknowledged', 'resolved')", name="status"),
        # One open alert for each key: the rule of deduplication, kept by the database.
        Index(
            "uq_alerts_open_dedup_key",
            "dedup_key",
            unique=True,
            postgresql_where="dedup_key IS NOT NULL AND status <> 'resolved'",
        ),
        Index("ix_alerts_status_id", "status", "id"),
        Index("ix_alerts_severity_id", "severity", "id"),
        Index("ix_alerts_source_id", "source", "id"),
        Index(
            "ix_alerts_expires_at",
            "expires_at",
            postgresql_where="expires_at IS NOT NULL AND status <> 'resolved'",
        ),
        # Inhibition looks among what is open for labels.
        Index(
            "ix_alerts_open_labels",
            "labels",
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
            # In kB. What waits to be sorted in is read by every search: at the default of 4 MB, in
            # a storm, that costs more than the search.
            postgresql_with={"gin_pending_list_limit": 64},
            postgresql_where="status <> 'resolved'",
        ),
        # Baselines leave out the times at which something was wrong with their operation.
        Index(
            "ix_alerts_operation_created_at",
            text("(labels ->> 'operation'::text)"),
            "created_at",
            postgresql_where="labels ? 'operation'::text",
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    title: Mapped[str] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, server_default="{}")
    dedup_key: Mapped[str | None] = mapped_column(Text)
    webhook_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    # The webhook that it tells of, which is the one that it is not told to.
    about_webhook_id: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[Timestamp | None]
    snoozed_until: Mapped[Timestamp | None]
    snoozed_by: Mapped[str | None] = mapped_column(Text)
    # What was decided about it, and why: [{at, stage, reason, …}], the oldest first.
    decisions: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    count: Mapped[int] = mapped_column(Integer, server_default="1")
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[CreatedAt] = mapped_column(index=True)
    updated_at: Mapped[UpdatedAt]
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    acknowledged_at: Mapped[Timestamp | None]
    resolved_by: Mapped[str | None] = mapped_column(Text)
    resolved_at: Mapped[Timestamp | None]


class AlertEvent(Base):
    """Something that happened to an alert and is told: firing, acknowledged, resolved.

    `body` is what receivers get, byte for byte, on every attempt. It is kept once, however
    many webhooks are told. With a `group_id` it is the news of several alerts, and `alert_id` the
    most severe of them; with a `follow_up_id` it is a reminder or a step.
    """

    __tablename__ = "alert_events"
    __table_args__ = (
        Index("ix_alert_events_group_id", "group_id", postgresql_where="group_id IS NOT NULL"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    alert_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alerts.id", ondelete="CASCADE"), index=True
    )
    type: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    group_id: Mapped[int | None] = mapped_column(BigInteger)
    follow_up_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[CreatedAt]


class IdempotentRequest(Base):
    """The first answer to an `Idempotency-Key`, replayed to whoever asks again within a day."""

    __tablename__ = "idempotent_requests"
    __table_args__ = ({"schema": SCHEMA},)

    principal: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_hash: Mapped[str] = mapped_column(Text)
    status_code: Mapped[int] = mapped_column(Integer)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt] = mapped_column(index=True)
