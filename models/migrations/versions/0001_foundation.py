"""The foundation: accounts, webhooks and their health, alerts, deliveries, jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SCHEMAS = ("pggit", "pggit_traffic")
revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("webhook_ids", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "severity IN ('info', 'warning', 'critical')", name=op.f("ck_alerts_severity")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'acknowledged', 'resolved')", name=op.f("ck_alerts_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alerts_created_at"), "alerts", ["created_at"], unique=False, schema="pggit"
    )
    op.create_index(
        "ix_alerts_severity_id", "alerts", ["severity", "id"], unique=False, schema="pggit"
    )
    op.create_index("ix_alerts_source_id", "alerts", ["source", "id"], unique=False, schema="pggit")
    op.create_index("ix_alerts_status_id", "alerts", ["status", "id"], unique=False, schema="pggit")
    op.create_index(
        "uq_alerts_open_dedup_key",
        "alerts",
        ["dedup_key"],
        unique=True,
        schema="pggit",
        postgresql_where="dedup_key IS NOT NULL AND status <> 'resolved'",
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotent_requests")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_idempotent_requests_created_at"),
        "idempotent_requests",
        ["created_at"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "scheduled_job_execution",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=True),
        sa.Column("missed_ticks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed')",
            name=op.f("ck_scheduled_job_execution_status"),
        ),
        sa.CheckConstraint(
            "trigger IN ('schedule', 'manual')", name=op.f("ck_scheduled_job_execution_trigger")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_job_execution")),
        sa.UniqueConstraint(
            "job_name", "slot", name=op.f("uq_scheduled_job_execution_job_name_slot")
        ),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_scheduled_job_execution_created_at"),
        "scheduled_job_execution",
        ["created_at"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_scheduled_job_execution_job_name_id",
        "scheduled_job_execution",
        ["job_name", "id"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "token_revocations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_revocations")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_token_revocations_expires_at"),
        "token_revocations",
        ["expires_at"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("username = lower(username)", name=op.f("ck_users_username_lower")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
        schema="pggit",
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("health_check_interval_seconds", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("retry_schedule_seconds", sa.ARRAY(sa.Integer()), nullable=True),
        sa.Column("headers_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_method", sa.Text(), nullable=False),
        sa.Column("check_expected_status", sa.ARRAY(sa.Integer()), nullable=True),
        sa.Column("check_max_latency_ms", sa.Integer(), nullable=True),
        sa.Column("check_failure_threshold", sa.Integer(), nullable=False),
        sa.Column("check_recovery_threshold", sa.Integer(), nullable=False),
        sa.Column("max_in_flight", sa.Integer(), nullable=False),
        sa.Column("rate_limit_per_second", sa.Float(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "health_check_interval_seconds BETWEEN 5 AND 86400", name=op.f("ck_webhooks_interval")
        ),
        sa.CheckConstraint("max_in_flight >= 1", name=op.f("ck_webhooks_max_in_flight")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        schema="pggit",
    )
    op.create_index(
        "ix_webhooks_live",
        "webhooks",
        ["id"],
        unique=False,
        schema="pggit",
        postgresql_where="is_active AND deleted_at IS NULL",
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("last_claim_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
        schema="pggit",
    )
    op.create_table(
        "alert_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["pggit.alerts.id"],
            name=op.f("fk_alert_events_alert_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_events")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_events_alert_id"), "alert_events", ["alert_id"], unique=False, schema="pggit"
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'operator', 'admin')", name=op.f("ck_api_keys_role")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["pggit.users.id"],
            name=op.f("fk_api_keys_created_by"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_api_keys_created_by"), "api_keys", ["created_by"], unique=False, schema="pggit"
    )
    op.create_table(
        "webhook_health_checks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("health_status", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["pggit.webhooks.id"],
            name=op.f("fk_webhook_health_checks_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_health_checks")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_webhook_health_checks_checked_at"),
        "webhook_health_checks",
        ["checked_at"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_webhook_health_checks_webhook_id_checked_at",
        "webhook_health_checks",
        ["webhook_id", "checked_at"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_webhook_health_checks_webhook_id_id",
        "webhook_health_checks",
        ["webhook_id", "id"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "webhook_health_metrics",
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("health_status", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("consecutive_slow", sa.Integer(), server_default="0", nullable=False),
        sa.Column("consecutive_successes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("certificate_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_check_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "health_status IN ('unknown', 'healthy', 'degraded', 'unavailable')",
            name=op.f("ck_webhook_health_metrics_health_status"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["pggit.webhooks.id"],
            name=op.f("fk_webhook_health_metrics_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhook_health_metrics")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_webhook_health_metrics_next_check_at"),
        "webhook_health_metrics",
        ["next_check_at"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "webhook_traffic",
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("refilled_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["pggit.webhooks.id"],
            name=op.f("fk_webhook_traffic_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhook_traffic")),
        schema="pggit_traffic",
    )
    op.create_table(
        "alert_delivery_queue",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "webhook_message_id",
            sa.Text(),
            server_default=sa.text("'msg_' || replace(gen_random_uuid()::text, '-', '')"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts_made", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
        ),
        sa.Column("lease_token", sa.UUID(as_uuid=False), nullable=True),
        sa.Column("held_behind", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'retrying') OR lease_token IS NULL",
            name=op.f("ck_alert_delivery_queue_lease_only_when_open"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'retrying', 'delivered', 'failed', 'cancelled')",
            name=op.f("ck_alert_delivery_queue_status"),
        ),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["pggit.alert_events.id"],
            name=op.f("fk_alert_delivery_queue_event_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["pggit.webhooks.id"], name=op.f("fk_alert_delivery_queue_webhook_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_delivery_queue")),
        schema="pggit",
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 1000,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_index(
        op.f("ix_alert_delivery_queue_event_id"),
        "alert_delivery_queue",
        ["event_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_delivery_queue_finished_at"),
        "alert_delivery_queue",
        ["finished_at"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_delivery_due",
        "alert_delivery_queue",
        ["next_attempt_at"],
        unique=False,
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying')",
    )
    op.create_index(
        "ix_delivery_due_by_webhook",
        "alert_delivery_queue",
        ["webhook_id", "next_attempt_at"],
        unique=False,
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying')",
    )
    op.create_index(
        "ix_delivery_failed",
        "alert_delivery_queue",
        ["id"],
        unique=False,
        schema="pggit",
        postgresql_where="status = 'failed'",
    )
    op.create_index(
        "ix_delivery_held",
        "alert_delivery_queue",
        ["held_behind"],
        unique=False,
        schema="pggit",
        postgresql_where="held_behind IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_leased",
        "alert_delivery_queue",
        ["webhook_id"],
        unique=False,
        schema="pggit",
        postgresql_where="lease_token IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_webhook_id_id",
        "alert_delivery_queue",
        ["webhook_id", "id"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body_excerpt", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["pggit.alert_delivery_queue.id"],
            name=op.f("fk_delivery_attempts_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempts")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_delivery_attempts_delivery_id"),
        "delivery_attempts",
        ["delivery_id"],
        unique=False,
        schema="pggit",
    )
    # A queue's table is updated all the time: leave room on its pages, and vacuum early.
    op.execute(
        "ALTER TABLE pggit.alert_delivery_queue SET (fillfactor = 70,"
        " autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,"
        " autovacuum_vacuum_cost_delay = 0)"
    )


def downgrade() -> None:
    op.drop_index(
        op.f("ix_delivery_attempts_delivery_id"), table_name="delivery_attempts", schema="pggit"
    )
    op.drop_table("delivery_attempts", schema="pggit")
    op.drop_index("ix_delivery_webhook_id_id", table_name="alert_delivery_queue", schema="pggit")
    op.drop_index(
        "ix_delivery_leased",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="lease_token IS NOT NULL",
    )
    op.drop_index(
        "ix_delivery_held",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="held_behind IS NOT NULL",
    )
    op.drop_index(
        "ix_delivery_failed",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status = 'failed'",
    )
    op.drop_index(
        "ix_delivery_due_by_webhook",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying')",
    )
    op.drop_index(
        "ix_delivery_due",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying')",
    )
    op.drop_index(
        op.f("ix_alert_delivery_queue_finished_at"),
        table_name="alert_delivery_queue",
        schema="pggit",
    )
    op.drop_index(
        op.f("ix_alert_delivery_queue_event_id"), table_name="alert_delivery_queue", schema="pggit"
    )
    op.drop_table("alert_delivery_queue", schema="pggit")
    op.drop_table("webhook_traffic", schema="pggit_traffic")
    op.drop_index(
        op.f("ix_webhook_health_metrics_next_check_at"),
        table_name="webhook_health_metrics",
        schema="pggit",
    )
    op.drop_table("webhook_health_metrics", schema="pggit")
    op.drop_index(
        "ix_webhook_health_checks_webhook_id_id", table_name="webhook_health_checks", schema="pggit"
    )
    op.drop_index(
        "ix_webhook_health_checks_webhook_id_checked_at",
        table_name="webhook_health_checks",
        schema="pggit",
    )
    op.drop_index(
        op.f("ix_webhook_health_checks_checked_at"),
        table_name="webhook_health_checks",
        schema="pggit",
    )
    op.drop_table("webhook_health_checks", schema="pggit")
    op.drop_index(op.f("ix_api_keys_created_by"), table_name="api_keys", schema="pggit")
    op.drop_table("api_keys", schema="pggit")
    op.drop_index(op.f("ix_alert_events_alert_id"), table_name="alert_events", schema="pggit")
    op.drop_table("alert_events", schema="pggit")
    op.drop_table("workers", schema="pggit")
    op.drop_index(
        "ix_webhooks_live",
        table_name="webhooks",
        schema="pggit",
        postgresql_where="is_active AND deleted_at IS NULL",
    )
    op.drop_table("webhooks", schema="pggit")
    op.drop_table("users", schema="pggit")
    op.drop_index(
        op.f("ix_token_revocations_expires_at"), table_name="token_revocations", schema="pggit"
    )
    op.drop_table("token_revocations", schema="pggit")
    op.drop_index(
        "ix_scheduled_job_execution_job_name_id",
        table_name="scheduled_job_execution",
        schema="pggit",
    )
    op.drop_index(
        op.f("ix_scheduled_job_execution_created_at"),
        table_name="scheduled_job_execution",
        schema="pggit",
    )
    op.drop_table("scheduled_job_execution", schema="pggit")
    op.drop_index(
        op.f("ix_idempotent_requests_created_at"), table_name="idempotent_requests", schema="pggit"
    )
    op.drop_table("idempotent_requests", schema="pggit")
    op.drop_index(
        "uq_alerts_open_dedup_key",
        table_name="alerts",
        schema="pggit",
        postgresql_where="dedup_key IS NOT NULL AND status <> 'resolved'",
    )
    op.drop_index("ix_alerts_status_id", table_name="alerts", schema="pggit")
    op.drop_index("ix_alerts_source_id", table_name="alerts", schema="pggit")
    op.drop_index("ix_alerts_severity_id", table_name="alerts", schema="pggit")
    op.drop_index(op.f("ix_alerts_created_at"), table_name="alerts", schema="pggit")
    op.drop_table("alerts", schema="pggit")
    for schema in SCHEMAS:
        op.execute(f"DROP SCHEMA {schema}")
