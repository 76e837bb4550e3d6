"""Minutes of checks keep the latencies themselves, so that a check is added to its minute unread.

What was written before keeps its sketch, and both count.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "webhook_health_rollups",
        sa.Column("latencies", sa.ARRAY(sa.Float()), nullable=True),
        schema="pggit",
    )


def downgrade() -> None:
    # Quantiles of the minutes that are not folded yet are lost; nothing else is.
    op.drop_column("webhook_health_rollups", "latencies", schema="pggit")
