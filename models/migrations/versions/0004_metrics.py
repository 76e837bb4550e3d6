"""Time series: what comes in waits in an inbox, then is kept raw for a while and rolled up."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "pggit_analytics"
# Rows that come and go: vacuumed while there are few dead ones.
QUEUE = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 1000,
    "autovacuum_vacuum_cost_delay": 0,
}
EXTERNAL = (
    ("metric_rollups", "sketch"),
    ("metric_parts", "sketch"),
    ("metric_inbox", "payload"),
)


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> "sa.Column[Any]":
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _rollup() -> "list[sa.Column[Any]]":
    floats = [sa.Column(name, sa.Float(53), nullable=False) for name in ("sum", "m2", "min", "max")]
    return [
        sa.Column("count", sa.BigInteger(), nullable=False),
        *floats,
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
    ]


def upgrade() -> None:
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    op.create_table(
        "metric_series",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("unit", sa.Text(), nullable=True),
        _moment("created_at", now=True),
        _moment("seen_at", now=True),
        _moment("last_sample_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_series")),
        sa.UniqueConstraint("operation", "labels", name=op.f("uq_metric_series_operation_labels")),
        schema=SCHEMA,
        # Its last sample is noted again and again, in the same page.
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "metric_samples",
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        _moment("at"),
        sa.Column("value", sa.Float(53), nullable=False),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(
        "ix_metric_samples_series_id_at",
        "metric_samples",
        ["series_id", "at"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "metric_rollups",
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _moment("at"),
        *_rollup(),
        sa.PrimaryKeyConstraint("resolution", "series_id", "at", name=op.f("pk_metric_rollups")),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (resolution, at)",
    )
    op.create_table(
        "metric_inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _moment("received_at", now=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_inbox")),
        schema=SCHEMA,
        postgresql_with=QUEUE,
    )
    op.create_table(
        "metric_parts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        _moment("at"),
        *_rollup(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_parts")),
        schema=SCHEMA,
        postgresql_with=QUEUE,
    )
    # Packed floats do not get smaller, and trying costs more than anything else would here.
    for table, column in EXTERNAL:
        op.execute(f"ALTER TABLE {SCHEMA}.{table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("metric_parts", schema=SCHEMA)
    op.drop_table("metric_inbox", schema=SCHEMA)
    op.drop_table("metric_rollups", schema=SCHEMA)
    op.drop_index("ix_metric_samples_series_id_at", table_name="metric_samples", schema=SCHEMA)
    op.drop_table("metric_samples", schema=SCHEMA)
    op.drop_table("metric_series", schema=SCHEMA)
    op.execute(f"DROP SCHEMA {SCHEMA}")
