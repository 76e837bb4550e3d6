"""Totals of what processes count of themselves, for /metrics."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "meter_totals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("sum", sa.Float(), nullable=False),
        sa.Column("buckets", sa.ARRAY(sa.BigInteger()), nullable=True),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_meter_totals")),
        schema="pggit_analytics",
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    op.drop_table("meter_totals", schema="pggit_analytics")
