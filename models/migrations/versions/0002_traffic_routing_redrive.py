"""Gates and paces, routing with silences and groups, follow-ups, redrives; what is delivered
leaves the queue for a history of its own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# The queue and its history as one, for whoever reads; both are asked by the same columns.
DELIVERIES_VIEW = """
    CREATE VIEW pggit.deliveries AS
    SELECT id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made,
        next_attempt_at, probe_holds_until, expires_at, lease_token IS NOT NULL AS is_leased,
        held_behind, redrive_id, created_at, finished_at
    FROM pggit.alert_delivery_queue
    UNION ALL
    SELECT id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made,
        NULL, NULL, NULL, false, NULL, redrive_id, created_at, finished_at
    FROM pggit.alert_delivery_history
"""
MOVED = (
    "id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made, created_at,"
    " finished_at"
)


def upgrade() -> None:
    op.create_table(
        "inhibition_rules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("source_matchers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("target_matchers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("equal", sa.ARRAY(sa.Text()), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inhibition_rules")),
        schema="pggit",
    )
    op.create_table(
        "redrives",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("filter", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'finished', 'cancelled')", name=op.f("ck_redrives_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redrives")),
        schema="pggit",
    )
    op.create_table(
        "redrive_shares",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("redrive_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("requeued", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "skipped", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("after_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["redrive_id"],
            ["pggit.redrives.id"],
            name=op.f("fk_redrive_shares_redrive_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redrive_shares")),
        sa.UniqueConstraint(
            "redrive_id", "webhook_id", name=op.f("uq_redrive_shares_redrive_id_webhook_id")
        ),
        schema="pggit",
    )
    op.create_index(
        "ix_redrive_shares_due_at",
        "redrive_shares",
        ["due_at"],
        unique=False,
        schema="pggit",
        postgresql_where="finished_at IS NULL",
    )
    op.create_table(
        "routing_rules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column(
            "matchers", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.Column("webhook_ids", sa.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("continues", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("group_by", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("group_wait_seconds", sa.Integer(), server_default="30", nullable=False),
        sa.Column("group_interval_seconds", sa.Integer(), server_default="300", nullable=False),
        sa.Column("repeat_minutes", sa.Integer(), nullable=True),
        sa.Column(
            "steps", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_rules")),
        schema="pggit",
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), server_default="silence", nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("matchers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "recurrence", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
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
        sa.CheckConstraint("kind IN ('silence', 'maintenance')", name=op.f("ck_silences_kind")),
        sa.CheckConstraint(
            "ends_at IS NULL OR ends_at > starts_at", name=op.f("ck_silences_ends_after_start")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
        schema="pggit",
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"], unique=False, schema="pggit")
    op.create_table(
        "delivery_pause",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "paused_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_delivery_pause_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_pause")),
        schema="pggit_traffic",
    )
    op.create_table(
        "alert_follow_ups",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("rule_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("webhook_ids", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("waits_for_alert_id", sa.BigInteger(), nullable=True),
        sa.Column("repeat_minutes", sa.Integer(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('unmute', 'escalate', 'remind')", name=op.f("ck_alert_follow_ups_kind")
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["pggit.alerts.id"],
            name=op.f("fk_alert_follow_ups_alert_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["pggit.routing_rules.id"],
            name=op.f("fk_alert_follow_ups_rule_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_follow_ups")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_follow_ups_alert_id"),
        "alert_follow_ups",
        ["alert_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_alert_follow_ups_due_at",
        "alert_follow_ups",
        ["due_at"],
        unique=False,
        schema="pggit",
        postgresql_where="done_at IS NULL",
    )
    op.create_index(
        op.f("ix_alert_follow_ups_rule_id"),
        "alert_follow_ups",
        ["rule_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_alert_follow_ups_waits_for",
        "alert_follow_ups",
        ["waits_for_alert_id"],
        unique=False,
        schema="pggit",
        postgresql_where="done_at IS NULL AND waits_for_alert_id IS NOT NULL",
    )
    op.create_table(
        "alert_groups",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rule_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("flush_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["pggit.routing_rules.id"],
            name=op.f("fk_alert_groups_rule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_groups")),
        sa.UniqueConstraint("rule_id", "key", name=op.f("uq_alert_groups_rule_id_key")),
        schema="pggit",
    )
    op.create_index(
        "ix_alert_groups_flush_at",
        "alert_groups",
        ["flush_at"],
        unique=False,
        schema="pggit",
        postgresql_where="flush_at IS NOT NULL",
    )
    op.create_table(
        "webhook_traffic_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("pace_per_second", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["pggit.webhooks.id"],
            name=op.f("fk_webhook_traffic_history_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_traffic_history")),
        schema="pggit_traffic",
    )
    op.create_index(
        op.f("ix_webhook_traffic_history_at"),
        "webhook_traffic_history",
        ["at"],
        unique=False,
        schema="pggit_traffic",
    )
    op.create_index(
        "ix_webhook_traffic_history_webhook_id_id",
        "webhook_traffic_history",
        ["webhook_id", "id"],
        unique=False,
        schema="pggit_traffic",
    )
    op.create_table(
        "alert_delivery_history",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_message_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts_made", sa.Integer(), nullable=False),
        sa.Column("redrive_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_delivery_history")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_delivery_history_event_id"),
        "alert_delivery_history",
        ["event_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_delivery_history_finished_at"),
        "alert_delivery_history",
        ["finished_at"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_delivery_history_redrive",
        "alert_delivery_history",
        ["redrive_id"],
        unique=False,
        schema="pggit",
        postgresql_where="redrive_id IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_history_webhook_id_id",
        "alert_delivery_history",
        ["webhook_id", "id"],
        unique=False,
        schema="pggit",
    )
    op.create_table(
        "alert_group_news",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("dropped_reason", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["pggit.alerts.id"],
            name=op.f("fk_alert_group_news_alert_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["pggit.alert_events.id"],
            name=op.f("fk_alert_group_news_event_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["pggit.alert_groups.id"],
            name=op.f("fk_alert_group_news_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_group_news")),
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_group_news_alert_id"),
        "alert_group_news",
        ["alert_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_group_news_event_id"),
        "alert_group_news",
        ["event_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        op.f("ix_alert_group_news_group_id"),
        "alert_group_news",
        ["group_id"],
        unique=False,
        schema="pggit",
    )
    op.create_index(
        "ix_alert_group_news_waiting",
        "alert_group_news",
        ["group_id"],
        unique=False,
        schema="pggit",
        postgresql_where="event_id IS NULL AND dropped_reason IS NULL",
    )
    op.add_column(
        "alert_delivery_queue",
        sa.Column("head_start_seconds", sa.Integer(), server_default="0", nullable=False),
        schema="pggit",
    )
    op.add_column(
        "alert_delivery_queue",
        sa.Column(
            "rank_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True
        ),
        schema="pggit",
    )
    op.add_column(
        "alert_delivery_queue",
        sa.Column("probe_holds_until", sa.DateTime(timezone=True), nullable=True),
        schema="pggit",
    )
    op.add_column(
        "alert_delivery_queue",
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        schema="pggit",
    )
    op.add_column(
        "alert_delivery_queue",
        sa.Column("redrive_id", sa.BigInteger(), nullable=True),
        schema="pggit",
    )
    op.drop_index(
        op.f("ix_alert_delivery_queue_finished_at"),
        table_name="alert_delivery_queue",
        schema="pggit",
    )
    op.create_index(
        "ix_delivery_finished_at",
        "alert_delivery_queue",
        ["finished_at"],
        unique=False,
        schema="pggit",
        postgresql_where="NOT (status IN ('pending', 'retrying'))",
    )
    op.drop_index(
        op.f("ix_delivery_due_by_webhook"),
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="(status = ANY (ARRAY['pending'::text, 'retrying'::text]))",
    )
    op.create_index(
        "ix_delivery_expires",
        "alert_delivery_queue",
        ["expires_at"],
        unique=False,
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND expires_at IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_probe_may_hold",
        "alert_delivery_queue",
        ["webhook_id", "rank_at"],
        unique=False,
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND probe_holds_until IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_redrive",
        "alert_delivery_queue",
        ["redrive_id", "webhook_id", "status"],
        unique=False,
        schema="pggit",
        postgresql_where="redrive_id IS NOT NULL",
    )
    op.create_index(
        "ix_delivery_turn",
        "alert_delivery_queue",
        ["webhook_id", "rank_at"],
        unique=False,
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND probe_holds_until IS NULL",
    )
    op.create_foreign_key(
        op.f("fk_alert_delivery_queue_redrive_id"),
        "alert_delivery_queue",
        "redrives",
        ["redrive_id"],
        ["id"],
        source_schema="pggit",
        referent_schema="pggit",
        ondelete="SET NULL",
    )
    for name in ("group_id", "follow_up_id"):
        op.add_column(
            "alert_events", sa.Column(name, sa.BigInteger(), nullable=True), schema="pggit"
        )
    op.create_index(
        "ix_alert_events_group_id",
        "alert_events",
        ["group_id"],
        unique=False,
        schema="pggit",
        postgresql_where="group_id IS NOT NULL",
    )
    op.add_column(
        "alerts", sa.Column("about_webhook_id", sa.BigInteger(), nullable=True), schema="pggit"
    )
    op.add_column(
        "alerts", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True), schema="pggit"
    )
    op.add_column(
        "alerts",
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        schema="pggit",
    )
    op.add_column("alerts", sa.Column("snoozed_by", sa.Text(), nullable=True), schema="pggit")
    op.add_column(
        "alerts",
        sa.Column(
            "decisions",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        schema="pggit",
    )
    op.create_index(
        "ix_alerts_open_labels",
        "alerts",
        ["labels"],
        unique=False,
        schema="pggit",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where="status <> 'resolved'",
    )
    op.drop_constraint(
        op.f("fk_delivery_attempts_delivery_id"),
        "delivery_attempts",
        schema="pggit",
        type_="foreignkey",
    )
    op.add_column(
        "webhooks",
        sa.Column("disable_after_days", sa.Integer(), server_default="5", nullable=True),
        schema="pggit",
    )
    op.add_column(
        "webhooks", sa.Column("disabled_alert_id", sa.BigInteger(), nullable=True), schema="pggit"
    )
    op.create_index(
        "ix_webhooks_to_tell",
        "webhooks",
        ["id"],
        unique=False,
        schema="pggit",
        postgresql_where=(
            "(disabled_reason IS NOT NULL AND deleted_at IS NULL)"
            " <> (disabled_alert_id IS NOT NULL)"
        ),
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("pace_per_second", sa.Float(), nullable=True),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("gate", sa.Text(), server_default="open", nullable=False),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic", sa.Column("reason", sa.Text(), nullable=True), schema="pggit_traffic"
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("closings", sa.Integer(), server_default="0", nullable=False),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("reopens_at", sa.DateTime(timezone=True), nullable=True),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic",
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        schema="pggit_traffic",
    )
    op.add_column(
        "webhook_traffic",
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        schema="pggit_traffic",
    )

    op.alter_column("webhook_traffic", "tokens", server_default="1", schema="pggit_traffic")
    op.alter_column(
        "webhook_traffic", "refilled_at", server_default=sa.text("now()"), schema="pggit_traffic"
    )
    op.create_check_constraint(
        op.f("ck_webhook_traffic_gate"),
        "webhook_traffic",
        "gate IN ('open', 'closed')",
        schema="pggit_traffic",
    )
    op.create_check_constraint(
        op.f("ck_webhook_traffic_closed_reopens"),
        "webhook_traffic",
        "(gate = 'closed') = (reopens_at IS NOT NULL)",
        schema="pggit_traffic",
    )
    # Every webhook has a row there now, not only those with a limit.
    op.execute(
        "INSERT INTO pggit_traffic.webhook_traffic (webhook_id)"
        " SELECT id FROM pggit.webhooks ON CONFLICT DO NOTHING"
    )
    op.execute("UPDATE pggit.alert_delivery_queue SET rank_at = next_attempt_at")
    op.execute(
        "WITH moved AS (DELETE FROM pggit.alert_delivery_queue WHERE status = 'delivered'"  # noqa: S608 - only constants in it
        f" RETURNING {MOVED}) INSERT INTO pggit.alert_delivery_history ({MOVED})"
        f" SELECT {MOVED} FROM moved"
    )
    op.execute(DELIVERIES_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW pggit.deliveries")
    op.execute(
        f"INSERT INTO pggit.alert_delivery_queue ({MOVED}) OVERRIDING SYSTEM VALUE"  # noqa: S608
        f" SELECT {MOVED} FROM pggit.alert_delivery_history"
    )
    for name in ("closed_reopens", "gate"):
        op.drop_constraint(
            op.f(f"ck_webhook_traffic_{name}"), "webhook_traffic", schema="pggit_traffic"
        )
    op.execute(
        "DELETE FROM pggit_traffic.webhook_traffic t USING pggit.webhooks w"
        " WHERE w.id = t.webhook_id AND w.rate_limit_per_second IS NULL"
    )
    for name in ("tokens", "refilled_at"):
        op.alter_column("webhook_traffic", name, server_default=None, schema="pggit_traffic")
    op.drop_column("webhook_traffic", "changed_at", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "failing_since", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "delivered_at", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "reopens_at", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "closings", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "reason", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "gate", schema="pggit_traffic")
    op.drop_column("webhook_traffic", "pace_per_second", schema="pggit_traffic")
    op.drop_index("ix_webhooks_to_tell", table_name="webhooks", schema="pggit")
    op.drop_column("webhooks", "disabled_alert_id", schema="pggit")
    op.drop_column("webhooks", "disable_after_days", schema="pggit")
    op.create_foreign_key(
        op.f("fk_delivery_attempts_delivery_id"),
        "delivery_attempts",
        "alert_delivery_queue",
        ["delivery_id"],
        ["id"],
        source_schema="pggit",
        referent_schema="pggit",
        ondelete="CASCADE",
    )
    op.drop_index(
        "ix_alerts_open_labels",
        table_name="alerts",
        schema="pggit",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where="status <> 'resolved'",
    )
    op.drop_column("alerts", "decisions", schema="pggit")
    op.drop_column("alerts", "snoozed_by", schema="pggit")
    op.drop_column("alerts", "snoozed_until", schema="pggit")
    op.drop_column("alerts", "expires_at", schema="pggit")
    op.drop_column("alerts", "about_webhook_id", schema="pggit")
    op.drop_index(
        "ix_alert_events_group_id",
        table_name="alert_events",
        schema="pggit",
        postgresql_where="group_id IS NOT NULL",
    )
    for name in ("group_id", "follow_up_id"):
        op.drop_column("alert_events", name, schema="pggit")
    op.drop_constraint(
        op.f("fk_alert_delivery_queue_redrive_id"),
        "alert_delivery_queue",
        schema="pggit",
        type_="foreignkey",
    )
    op.drop_index("ix_delivery_finished_at", table_name="alert_delivery_queue", schema="pggit")
    op.create_index(
        op.f("ix_alert_delivery_queue_finished_at"),
        "alert_delivery_queue",
        ["finished_at"],
        unique=False,
        schema="pggit",
    )
    op.drop_index(
        "ix_delivery_turn",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND probe_holds_until IS NULL",
    )
    op.drop_index(
        "ix_delivery_redrive",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="redrive_id IS NOT NULL",
    )
    op.drop_index(
        "ix_delivery_probe_may_hold",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND probe_holds_until IS NOT NULL",
    )
    op.drop_index(
        "ix_delivery_expires",
        table_name="alert_delivery_queue",
        schema="pggit",
        postgresql_where="status IN ('pending', 'retrying') AND expires_at IS NOT NULL",
    )
    op.create_index(
        op.f("ix_delivery_due_by_webhook"),
        "alert_delivery_queue",
        ["webhook_id", "next_attempt_at"],
        unique=False,
        schema="pggit",
        postgresql_where="(status = ANY (ARRAY['pending'::text, 'retrying'::text]))",
    )
    op.drop_column("alert_delivery_queue", "redrive_id", schema="pggit")
    op.drop_column("alert_delivery_queue", "expires_at", schema="pggit")
    op.drop_column("alert_delivery_queue", "probe_holds_until", schema="pggit")
    op.drop_column("alert_delivery_queue", "rank_at", schema="pggit")
    op.drop_column("alert_delivery_queue", "head_start_seconds", schema="pggit")
    op.drop_index(
        "ix_alert_group_news_waiting",
        table_name="alert_group_news",
        schema="pggit",
        postgresql_where="event_id IS NULL AND dropped_reason IS NULL",
    )
    op.drop_index(
        op.f("ix_alert_group_news_group_id"), table_name="alert_group_news", schema="pggit"
    )
    op.drop_index(
        op.f("ix_alert_group_news_event_id"), table_name="alert_group_news", schema="pggit"
    )
    op.drop_index(
        op.f("ix_alert_group_news_alert_id"), table_name="alert_group_news", schema="pggit"
    )
    op.drop_table("alert_group_news", schema="pggit")
    op.drop_index(
        "ix_delivery_history_webhook_id_id", table_name="alert_delivery_history", schema="pggit"
    )
    op.drop_index(
        "ix_delivery_history_redrive",
        table_name="alert_delivery_history",
        schema="pggit",
        postgresql_where="redrive_id IS NOT NULL",
    )
    op.drop_index(
        op.f("ix_alert_delivery_history_finished_at"),
        table_name="alert_delivery_history",
        schema="pggit",
    )
    op.drop_index(
        op.f("ix_alert_delivery_history_event_id"),
        table_name="alert_delivery_history",
        schema="pggit",
    )
    op.drop_table("alert_delivery_history", schema="pggit")
    op.drop_index(
        "ix_webhook_traffic_history_webhook_id_id",
        table_name="webhook_traffic_history",
        schema="pggit_traffic",
    )
    op.drop_index(
        op.f("ix_webhook_traffic_history_at"),
        table_name="webhook_traffic_history",
        schema="pggit_traffic",
    )
    op.drop_table("webhook_traffic_history", schema="pggit_traffic")
    op.drop_index(
        "ix_alert_groups_flush_at",
        table_name="alert_groups",
        schema="pggit",
        postgresql_where="flush_at IS NOT NULL",
    )
    op.drop_table("alert_groups", schema="pggit")
    op.drop_index(
        op.f("ix_alert_follow_ups_rule_id"), table_name="alert_follow_ups", schema="pggit"
    )
    op.drop_index(
        "ix_alert_follow_ups_due_at",
        table_name="alert_follow_ups",
        schema="pggit",
        postgresql_where="done_at IS NULL",
    )
    op.drop_index(
        op.f("ix_alert_follow_ups_alert_id"), table_name="alert_follow_ups", schema="pggit"
    )
    op.drop_index("ix_alert_follow_ups_waits_for", table_name="alert_follow_ups", schema="pggit")
    op.drop_table("alert_follow_ups", schema="pggit")
    op.drop_table("delivery_pause", schema="pggit_traffic")
    op.drop_index("ix_silences_ends_at", table_name="silences", schema="pggit")
    op.drop_table("silences", schema="pggit")
    op.drop_table("routing_rules", schema="pggit")
    op.drop_index(
        "ix_redrive_shares_due_at",
        table_name="redrive_shares",
        schema="pggit",
        postgresql_where="finished_at IS NULL",
    )
    op.drop_table("redrive_shares", schema="pggit")
    op.drop_table("redrives", schema="pggit")
    op.drop_table("inhibition_rules", schema="pggit")
