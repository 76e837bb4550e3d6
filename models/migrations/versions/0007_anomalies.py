"""Add anomalies, and what the detector knows of each operation."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "pggit_analytics"


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> "sa.Column[object]":
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "detector_states",
        sa.Column("operation", sa.Text(), nullable=False),
        _moment("created_at", now=True),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("seen", sa.BigInteger(), server_default="0", nullable=False),
        _moment("fed_until"),
        _moment("judged_until", nullable=True),
        sa.Column("low", sa.Float(53), nullable=True),
        sa.Column("high", sa.Float(53), nullable=True),
        sa.Column("usual_count", sa.Float(53), server_default="0", nullable=False),
        _moment("compared_at", now=True),
        _moment("retry_at", nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("operation", name=op.f("pk_detector_states")),
        schema=SCHEMA,
        # Each row is written once a minute, and its state with it.
        postgresql_with={
            "autovacuum_vacuum_scale_factor": 0.05,
            "toast.autovacuum_vacuum_scale_factor": 0.05,
        },
    )
    # It is compressed already.
    op.execute(f"ALTER TABLE {SCHEMA}.detector_states ALTER COLUMN state SET STORAGE EXTERNAL")
    op.create_table(
        "anomalies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        _moment("started_at"),
        _moment("ended_at", nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(53), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("low", sa.Float(53), nullable=False),
        sa.Column("high", sa.Float(53), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("views", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        _moment("calm_since", nullable=True),
        _moment("odd_at"),
        _moment("last_at"),
        _moment("created_at", now=True),
        sa.CheckConstraint(
            "severity IN ('info', 'warning', 'critical')", name=op.f("ck_anomalies_severity")
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_anomalies_ended_reason")
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["pggit.alerts.id"],
            name=op.f("fk_anomalies_alert_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anomalies")),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_anomalies_open",
        "anomalies",
        ["operation"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    for name, columns in (
        ("ix_anomalies_operation_id", ["operation", "id"]),
        ("ix_anomalies_ended_at", ["ended_at"]),
        (op.f("ix_anomalies_started_at"), ["started_at"]),
        (op.f("ix_anomalies_alert_id"), ["alert_id"]),
    ):
        op.create_index(name, "anomalies", columns, unique=False, schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("anomalies", schema=SCHEMA)
    op.drop_table("detector_states", schema=SCHEMA)
