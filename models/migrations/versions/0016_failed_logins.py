"""Logins that failed, to be counted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "failed_logins",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name_digest", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_logins")),
        schema="pggit",
    )
    op.create_index(op.f("ix_failed_logins_at"), "failed_logins", ["at"], schema="pggit")
    op.create_index("ix_failed_logins_address", "failed_logins", ["address", "at"], schema="pggit")
    op.create_index("ix_failed_logins_name", "failed_logins", ["name_digest", "at"], schema="pggit")


def downgrade() -> None:
    op.drop_table("failed_logins", schema="pggit")
