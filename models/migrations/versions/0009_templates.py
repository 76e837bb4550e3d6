"""Templates: what a webhook's messages look like, encrypted as its headers are."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "webhooks", sa.Column("template_encrypted", sa.LargeBinary(), nullable=True), schema="pggit"
    )


def downgrade() -> None:
    op.drop_column("webhooks", "template_encrypted", schema="pggit")
