"""Lists that read no more than a page: where each filter begins, in the order of the ids."""

from collections.abc import Sequence

from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

QUEUED = (
    "SELECT id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made,"
    " next_attempt_at, probe_holds_until, expires_at, lease_token IS NOT NULL AS is_leased,"
    " held_behind, redrive_id, created_at, finished_at{queued} FROM pggit.alert_delivery_queue"
    " UNION ALL"
    " SELECT id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made,"
    " NULL, NULL, NULL, false, NULL, redrive_id, created_at, finished_at{delivered}"
    " FROM pggit.alert_delivery_history"
)


def upgrade() -> None:
    op.execute(
        "CREATE OR REPLACE VIEW pggit.deliveries AS "
        + QUEUED.format(queued=", false AS is_delivered", delivered=", true")
    )
    op.create_index(
        "ix_delivery_cancelled",
        "alert_delivery_queue",
        ["id"],
        schema="pggit",
        postgresql_where="status = 'cancelled'",
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_cancelled", "alert_delivery_queue", schema="pggit")
    # A view can be given columns, and loses none.
    op.execute("DROP VIEW pggit.deliveries")
    op.execute("CREATE VIEW pggit.deliveries AS " + QUEUED.format(queued="", delivered=""))
