"""The lease of a health check in a column of its own, which is in no index.

Pages written from now on have room for the next versions of their rows. A check that was leased
by the code before keeps the time of its lease's end as the time when it is due.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "webhook_health_metrics",
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        schema="pggit",
    )
    op.execute("ALTER TABLE pggit.webhook_health_metrics SET (fillfactor = 70)")


def downgrade() -> None:
    op.execute("ALTER TABLE pggit.webhook_health_metrics RESET (fillfactor)")
    op.drop_column("webhook_health_metrics", "leased_until", schema="pggit")
