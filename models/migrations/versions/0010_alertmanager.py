"""What was heard from Prometheus Alertmanager, so that each of it is raised once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "alertmanager_alerts",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["pggit.alerts.id"],
            name=op.f("fk_alertmanager_alerts_alert_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("fingerprint", "starts_at", name=op.f("pk_alertmanager_alerts")),
        schema="pggit",
    )
    op.create_index(
        "ix_alertmanager_alerts_alert_id", "alertmanager_alerts", ["alert_id"], schema="pggit"
    )
    op.create_index(
        "ix_alertmanager_alerts_never_raised",
        "alertmanager_alerts",
        ["created_at"],
        schema="pggit",
        postgresql_where="alert_id IS NULL",
    )


def downgrade() -> None:
    op.drop_table("alertmanager_alerts", schema="pggit")
