"""Webhooks: where alerts go, and how they are checked."""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt

TO_TELL = "(disabled_reason IS NOT NULL AND deleted_at IS NULL) <> (disabled_alert_id IS NOT NULL)"


class Webhook(Base):
    """Secrets, headers and templates are encrypted (MultiFernet): the latter often carry somebody's
    token.

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
        Index("ix_webhooks_depends_on", "depends_on", postgresql_using="gin"),
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
    template_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_expires_at: Mapped[Timestamp | None]
    check_method: Mapped[str] = mapped_column(Text)
    check_expected_status: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    check_max_latency_ms: Mapped[int | None] = mapped_column(Integer)
    check_failure_threshold: Mapped[int] = mapped_column(Integer)
    check_recovery_threshold: Mapped[int] = mapped_column(Integer)
    check_body_includes: Mapped[str | None] = mapped_column(Text)
    check_body_excludes: Mapped[str | None] = mapped_column(Text)
    # Name → value; a value of null asks only that the header is there.
    check_headers: Mapped[dict[str, str | None]] = mapped_column(JSONB, server_default="{}")
    check_min_certificate_days: Mapped[int | None] = mapped_column(
        Integer().evaluates_none(), server_default="14"
    )
    check_flap_changes: Mapped[int | None] = mapped_column(
        Integer().evaluates_none(), server_default="5"
    )
    check_flap_window_seconds: Mapped[int | None] = mapped_column(Integer)
    # Webhooks that must be available for this one to be judged.
    depends_on: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
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

    While a check runs it is leased, and passed over; when `leased_until` is over it is taken like
    any other, so a checker that dies needs no rescue. A lease is in no index, and a page has room
    for its rows' next versions, so that to lease one writes one row and nothing else (HOT).

    `failing_since` is when the first of the failed checks in a row was. `changed_times` are the
    latest changes of status, the newest last, as many as flap detection looks at. `blocked_by` is
    the unavailable webhook that this one depends on, if need be through others: as long as it is
    set, the status is `unknown`. `certificate_told` says that an alert tells of the certificate's
    expiry.
    """

    __tablename__ = "webhook_health_metrics"
    __table_args__ = (
        CheckConstraint(
            "health_status IN ('unknown', 'healthy', 'degraded', 'unavailable')",
            name="health_status",
        ),
        {"schema": SCHEMA, "postgresql_with": {"fillfactor": 70}},
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
    leased_until: Mapped[Timestamp | None]
    changed_times: Mapped[list[datetime]] = mapped_column(
        ARRAY(DateTime(timezone=True)), server_default="{}"
    )
    failing_since: Mapped[Timestamp | None]
    flapping_since: Mapped[Timestamp | None]
    certificate_told: Mapped[bool] = mapped_column(server_default="false")
    blocked_by: Mapped[int | None] = mapped_column(BigInteger)


class WebhookHealthCheck(Base):
    """One check and what came of it. `latency_ms` is the total of its phases.

    `decision` says what the rules made of it, where there was something to decide, and `confirms`,
    of one that was made a second time at once, why it failed the first time.

    There is no foreign key to webhooks: it would lock the webhook for every check. What a deleted
    webhook leaves goes with its age, and by age the ids are in order too.
    """

    __tablename__ = "webhook_health_checks"
    __table_args__ = (
        Index("ix_webhook_health_checks_webhook_id_checked_at", "webhook_id", "checked_at"),
        Index("ix_webhook_health_checks_webhook_id_id", "webhook_id", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    webhook_id: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[CreatedAt]
    outcome: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    http_status: Mapped[int | None] = mapped_column(Integer)
    latency_ms: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    health_status: Mapped[str] = mapped_column(Text)
    dns_ms: Mapped[float | None] = mapped_column(Float)
    connect_ms: Mapped[float | None] = mapped_column(Float)
    tls_ms: Mapped[float | None] = mapped_column(Float)
    first_byte_ms: Mapped[float | None] = mapped_column(Float)
    decision: Mapped[str | None] = mapped_column(Text)
    confirms: Mapped[str | None] = mapped_column(Text)
    in_maintenance: Mapped[bool] = mapped_column(server_default="false")


class HealthRollupProgress(Base):
    """Until when minutes are folded into coarser rollups.

    An index by time would tell too, but each check would pay for it, and a planner that knows
    little would read by it all that is of one minute.
    """

    __tablename__ = "webhook_health_rollup_progress"
    __table_args__ = ({"schema": SCHEMA},)

    resolution: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    folded_until: Mapped[Timestamp]


class WebhookHealthRollup(Base):
    """The checks of a webhook that fell into one bucket of `resolution` seconds from `at` on.

    `checks` are all; `in_maintenance` those of them that a maintenance window covered, which
    nothing else here counts. `latency_…` are of those that did not fail (null without one).
    Quantiles are those of `sketch` (a serialised `kll_doubles_sketch` of k = 800) and `latencies`
    together: a minute, written with each check, keeps the latencies themselves; what is folded
    keeps a sketch.

    There is no foreign key to webhooks, as there is none of the checks.
    """

    __tablename__ = "webhook_health_rollups"
    __table_args__ = (
        CheckConstraint("resolution IN (60, 300, 3600)", name="resolution"),
        # Room beside each row for its next version: a bucket is written with every check in it.
        {"schema": SCHEMA, "postgresql_with": {"fillfactor": 80}},
    )

    webhook_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    resolution: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[Timestamp] = mapped_column(primary_key=True)
    checks: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    slow: Mapped[int] = mapped_column(Integer)
    in_maintenance: Mapped[int] = mapped_column(Integer)
    latency_sum_ms: Mapped[float] = mapped_column(Float)
    latency_min_ms: Mapped[float | None] = mapped_column(Float)
    latency_max_ms: Mapped[float | None] = mapped_column(Float)
    sketch: Mapped[bytes | None] = mapped_column(LargeBinary)
    latencies: Mapped[list[float] | None] = mapped_column(ARRAY(Float))
