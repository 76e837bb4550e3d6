"""Conditions, timings, dependencies and flapping of health checks; rollups of what came of them.

New columns of live tables have constant defaults, so that no row is rewritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def _added() -> Mapping[str, Sequence[sa.Column[Any]]]:
    """Fresh columns by table: one that was used belongs to its table."""
    return {
        "webhooks": (
            sa.Column("check_body_includes", sa.Text(), nullable=True),
            sa.Column("check_body_excludes", sa.Text(), nullable=True),
            sa.Column(
                "check_headers",
                postgresql.JSONB(astext_type=sa.Text()),
                server_default="{}",
                nullable=False,
            ),
            sa.Column(
                "check_min_certificate_days", sa.Integer(), server_default="14", nullable=True
            ),
            sa.Column("check_flap_changes", sa.Integer(), server_default="5", nullable=True),
            sa.Column("check_flap_window_seconds", sa.Integer(), nullable=True),
            sa.Column("depends_on", sa.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        ),
        "webhook_health_metrics": (
            sa.Column(
                "changed_times",
                sa.ARRAY(sa.DateTime(timezone=True)),
                server_default="{}",
                nullable=False,
            ),
            sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
            sa.Column("flapping_since", sa.DateTime(timezone=True), nullable=True),
            sa.Column("certificate_told", sa.Boolean(), server_default="false", nullable=False),
            sa.Column("blocked_by", sa.BigInteger(), nullable=True),
        ),
        "webhook_health_checks": (
            sa.Column("dns_ms", sa.Float(), nullable=True),
            sa.Column("connect_ms", sa.Float(), nullable=True),
            sa.Column("tls_ms", sa.Float(), nullable=True),
            sa.Column("first_byte_ms", sa.Float(), nullable=True),
            sa.Column("decision", sa.Text(), nullable=True),
            sa.Column("confirms", sa.Text(), nullable=True),
            sa.Column("in_maintenance", sa.Boolean(), server_default="false", nullable=False),
        ),
    }


def upgrade() -> None:
    op.create_table(
        "webhook_health_rollups",
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("resolution", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("slow", sa.Integer(), nullable=False),
        sa.Column("in_maintenance", sa.Integer(), nullable=False),
        sa.Column("latency_sum_ms", sa.Float(), nullable=False),
        sa.Column("latency_min_ms", sa.Float(), nullable=True),
        sa.Column("latency_max_ms", sa.Float(), nullable=True),
        sa.Column("sketch", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "resolution IN (60, 300, 3600)", name=op.f("ck_webhook_health_rollups_resolution")
        ),
        sa.PrimaryKeyConstraint(
            "webhook_id", "resolution", "at", name=op.f("pk_webhook_health_rollups")
        ),
        schema="pggit",
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "webhook_health_rollup_progress",
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("folded_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("resolution", name=op.f("pk_webhook_health_rollup_progress")),
        schema="pggit",
    )
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column, schema="pggit")
    # Each check would lock its webhook for the one, and nobody needs the other: by age the ids are
    # in order too.
    op.drop_constraint(
        op.f("fk_webhook_health_checks_webhook_id"),
        "webhook_health_checks",
        schema="pggit",
        type_="foreignkey",
    )
    op.drop_index(
        op.f("ix_webhook_health_checks_checked_at"),
        table_name="webhook_health_checks",
        schema="pggit",
    )
    op.create_index(
        "ix_webhooks_depends_on",
        "webhooks",
        ["depends_on"],
        schema="pggit",
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index("ix_webhooks_depends_on", table_name="webhooks", schema="pggit")
    op.create_index(
        op.f("ix_webhook_health_checks_checked_at"),
        "webhook_health_checks",
        ["checked_at"],
        schema="pggit",
    )
    op.execute(
        "DELETE FROM pggit.webhook_health_checks c"
        " WHERE NOT EXISTS (SELECT FROM pggit.webhooks w WHERE w.id = c.webhook_id)"
    )
    op.create_foreign_key(
        op.f("fk_webhook_health_checks_webhook_id"),
        "webhook_health_checks",
        "webhooks",
        ["webhook_id"],
        ["id"],
        source_schema="pggit",
        referent_schema="pggit",
        ondelete="CASCADE",
    )
    for table, columns in _added().items():
        for column in reversed(columns):
            op.drop_column(table, column.name, schema="pggit")
    op.drop_table("webhook_health_rollup_progress", schema="pggit")
    op.drop_table("webhook_health_rollups", schema="pggit")
