"""Webhooks: where alerts go, and how they are checked."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt

TO_TELL = "(disabled_reason IS NOT NULL AND deleted_at IS NULL) <> (disabled_alert_id IS NOT NULL)"


class Webhook(Base):
    """Secrets and headers are encrypted (MultiFernet): headers often carry somebody's token.

    `disabled_reason` says why Tocsin itself made it inactive, `disabled_alert_id` is the alert that
    tells of that: set once it is raised, and null again once it is resolved.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("health_check_interval_seconds BETWEEN 5 AND 86400", name="interval"),
        CheckConstraint("max_in_flight >= 1", name="max_in_flight"),
        Index(
            "ix_webhooks_live",
            "id",
            postgresql_where="is_active AND deleted_at IS NULL",
        ),
        # Those whose being disabled is still to be told, or is told though it is over.
        Index("ix_webhooks_to_tell", "id", postgresql_where=TO_TELL),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default="true")
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    disabled_alert_id: Mapped[int | None] = mapped_column(BigInteger)
    health_check_interval_seconds: Mapped[int] = mapped_column(Integer)
    timeout_seconds: Mapped[int | None] = mapped_column(Integer)
    retry_schedule_seconds: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    headers_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_expires_at: Mapped[Timestamp | None]
    check_method: Mapped[str] = mapped_column(Text)
    check_expected_status: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    check_max_latency_ms: Mapped[int | None] = mapped_column(Integer)
    check_failure_threshold: Mapped[int] = mapped_column(Integer)
    check_recovery_threshold: Mapped[int] = mapped_column(Integer)
    max_in_flight: Mapped[int] = mapped_column(Integer)
    rate_limit_per_second: Mapped[float | None] = mapped_column(Float)
    # Null is a value of its own (never), not a wish for the default.
    disable_after_days: Mapped[int | None] = mapped_column(
        Integer().evaluates_none(), server_default="5"
    )
    deleted_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class WebhookHealth(Base):
    """The present health of a webhook; the row is also the queue of checks.

    While a check runs, `next_check_at` is the end of its lease, so a checker that dies
    needs no rescue: the check is simply due again.
    """

    __tablename__ = "webhook_health_metrics"
    __table_args__ = (
        CheckConstraint(
            "health_status IN ('unknown', 'healthy', 'degraded', 'unavailable')",
            name="health_status",
        ),
        {"schema": SCHEMA},
    )

    webhook_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.webhooks.id", ondelete="CASCADE"), primary_key=True
    )
    health_status: Mapped[str] = mapped_column(Text, server_default="unknown")
    consecutive_failures: Mapped[int] = mapped_column(Integer, server_default="0")
    consecutive_slow: Mapped[int] = mapped_column(Integer, server_default="0")
    consecutive_successes: Mapped[int] = mapped_column(Integer, server_default="0")
    changed_at: Mapped[Timestamp | None]
    last_check_at: Mapped[Timestamp | None]
    certificate_expires_at: Mapped[Timestamp | None]
    next_check_at: Mapped[CreatedAt] = mapped_column(index=True)
    lease_token: Mapped[str | None] = mapped_column(Text)


class WebhookHealthCheck(Base):
    """One check and what came of it."""

    __tablename__ = "webhook_health_checks"
    __table_args__ = (
        Index("ix_webhook_health_checks_webhook_id_checked_at", "webhook_id", "checked_at"),
        Index("ix_webhook_health_checks_webhook_id_id", "webhook_id", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    webhook_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.webhooks.id", ondelete="CASCADE"))
    checked_at: Mapped[CreatedAt] = mapped_column(index=True)
    outcome: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    http_status: Mapped[int | None] = mapped_column(Integer)
    latency_ms: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    health_status: Mapped[str] = mapped_column(Text)
