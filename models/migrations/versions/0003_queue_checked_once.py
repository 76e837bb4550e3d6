"""The queue's rows are not checked a second time against what they were just made from."""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

QUEUE = "alert_delivery_queue"
CHECKS = {
    "fk_alert_delivery_queue_event_id": ("alert_events", "event_id", "CASCADE"),
    "fk_alert_delivery_queue_webhook_id": ("webhooks", "webhook_id", None),
}


def upgrade() -> None:
    for name in CHECKS:
        op.drop_constraint(name, QUEUE, schema="pggit", type_="foreignkey")


def downgrade() -> None:
    for name, (table, column, on_delete) in CHECKS.items():
        op.create_foreign_key(
            name,
            QUEUE,
            table,
            [column],
            ["id"],
            source_schema="pggit",
            referent_schema="pggit",
            ondelete=on_delete,
        )
