"""Baselines: their schedules, versions and what is merged for them; incidents of operations that
degrade together; a run by hand has arguments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "pggit_analytics"
STATISTICS = ("p50", "p75", "p90", "p95", "p99", "mean", "stddev", "mad")


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> "sa.Column[object]":
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _floats(*names: str) -> "list[sa.Column[float]]":
    return [sa.Column(name, sa.Float(precision=53), nullable=False) for name in names]


def _statistics() -> "list[sa.Column[int] | sa.Column[float]]":
    return [sa.Column("sample_count", sa.BigInteger(), nullable=False), *_floats(*STATISTICS)]


def upgrade() -> None:
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    _schedules()
    _baselines()
    _incidents()
    op.add_column(
        "scheduled_job_execution",
        sa.Column("arguments", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        schema="pggit",
    )
    # Few alerts have such a label: the table is read once, and little is written. Not concurrently:
    # that waits for all transactions, also for those that wait for this migration.
    op.create_index(
        "ix_alerts_operation_created_at",
        "alerts",
        [sa.literal_column("(labels ->> 'operation'::text)"), "created_at"],
        unique=False,
        schema="pggit",
        postgresql_where="labels ? 'operation'::text",
    )


def _schedules() -> None:
    table = "baseline_recalc_schedule"
    op.create_table(
        table,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("frequency_seconds", sa.Integer(), nullable=False),
        sa.Column("lookback_days", sa.Integer(), nullable=False),
        sa.Column("minimum_samples", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        _moment("next_run_at"),
        sa.Column("lease_token", sa.UUID(as_uuid=False), nullable=True),
        _moment("leased_until", nullable=True),
        _moment("last_run_at", nullable=True),
        sa.Column("last_status", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_version", sa.Integer(), nullable=True),
        sa.Column("failures_in_a_row", sa.Integer(), server_default="0", nullable=False),
        _moment("created_at", now=True),
        _moment("updated_at", now=True),
        sa.CheckConstraint(
            "last_status IN ('succeeded', 'rejected', 'too_few_samples', 'failed')",
            name=op.f(f"ck_{table}_last_status"),
        ),
        sa.CheckConstraint(
            "frequency_seconds BETWEEN 300 AND 2592000", name=op.f(f"ck_{table}_frequency")
        ),
        sa.CheckConstraint("lookback_days BETWEEN 1 AND 365", name=op.f(f"ck_{table}_lookback")),
        sa.CheckConstraint("minimum_samples >= 1", name=op.f(f"ck_{table}_minimum")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("operation", name=op.f(f"uq_{table}_operation")),
        schema="pggit",
    )
    op.create_index(
        f"ix_{table}_due",
        table,
        ["next_run_at"],
        unique=False,
        schema="pggit",
        postgresql_where="is_active",
    )


def _baselines() -> None:
    op.create_table(
        "baseline_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        _moment("window_since"),
        _moment("window_until"),
        sa.Column("left_out", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("left_out_hours", sa.Integer(), nullable=False),
        sa.Column("back_test", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        _moment("computed_at"),
        _moment("activated_at", nullable=True),
        *_statistics(),
        sa.CheckConstraint(
            "status IN ('active', 'superseded', 'rolled_back', 'rejected')",
            name=op.f("ck_baseline_versions_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baseline_versions")),
        sa.UniqueConstraint(
            "operation", "version", name=op.f("uq_baseline_versions_operation_version")
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_baseline_versions_active",
        "baseline_versions",
        ["operation"],
        unique=True,
        schema=SCHEMA,
        postgresql_where="status = 'active'",
    )
    op.create_table(
        "baseline_slots",
        sa.Column("version_id", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        *_statistics(),
        sa.CheckConstraint("slot BETWEEN 0 AND 167", name=op.f("ck_baseline_slots_slot")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            [f"{SCHEMA}.baseline_versions.id"],
            name=op.f("fk_baseline_slots_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "slot", name=op.f("pk_baseline_slots")),
        schema=SCHEMA,
    )
    op.create_table(
        "baseline_partials",
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        *_floats("sum", "m2", "min", "max"),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        *_statistics(),
        sa.CheckConstraint("slot BETWEEN 0 AND 167", name=op.f("ck_baseline_partials_slot")),
        sa.PrimaryKeyConstraint("operation", "slot", name=op.f("pk_baseline_partials")),
        schema=SCHEMA,
    )
    # Packed floats do not get smaller, and trying costs.
    op.execute(f"ALTER TABLE {SCHEMA}.baseline_partials ALTER COLUMN sketch SET STORAGE EXTERNAL")


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("cause_operation", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        _moment("started_at"),
        _moment("closed_at", nullable=True),
        _moment("created_at", now=True),
        _moment("updated_at", now=True),
        sa.CheckConstraint("status IN ('open', 'closed')", name=op.f("ck_incidents_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_incidents_status_id", "incidents", ["status", "id"], unique=False, schema=SCHEMA
    )
    op.create_table(
        "incident_members",
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        _moment("off_since"),
        _moment("back_at", nullable=True),
        sa.Column("back_reason", sa.Text(), nullable=True),
        sa.Column("correlation", sa.Float(precision=53), nullable=True),
        *_floats("value", "usual_low", "usual_high"),
        sa.CheckConstraint(
            "back_reason IN ('usual_again', 'no_data')",
            name=op.f("ck_incident_members_back_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            [f"{SCHEMA}.incidents.id"],
            name=op.f("fk_incident_members_incident_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("incident_id", "operation", name=op.f("pk_incident_members")),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_incident_members_operation_off_since",
        "incident_members",
        ["operation", "off_since"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_index(
        "uq_incident_members_open",
        "incident_members",
        ["operation"],
        unique=True,
        schema=SCHEMA,
        postgresql_where="back_at IS NULL",
    )


def downgrade() -> None:
    op.drop_column("scheduled_job_execution", "arguments", schema="pggit")
    op.drop_index("ix_alerts_operation_created_at", table_name="alerts", schema="pggit")
    for table in (
        "incident_members",
        "incidents",
        "baseline_partials",
        "baseline_slots",
        "baseline_versions",
    ):
        op.drop_table(table, schema=SCHEMA)
    op.drop_table("baseline_recalc_schedule", schema="pggit")
