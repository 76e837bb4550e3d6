"""Prediction: the models that predict, and what each prediction said and what came of it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS pggit_ml")
    op.create_table(
        "models",
        sa.Column("version", sa.BigInteger(), sa.Identity(always=False, start=1), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("features_version", sa.SmallInteger(), nullable=False),
        sa.Column("features", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("horizon_hours", sa.SmallInteger(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=True),
        sa.Column("examples", sa.Integer(), nullable=True),
        sa.Column("window_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("window_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("compared_with", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("drift", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("observed", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "trained_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'model') = (artifact IS NOT NULL)",
            name=op.f("ck_models_a_model_has_an_artifact"),
        ),
        sa.CheckConstraint("kind IN ('rules', 'model')", name=op.f("ck_models_kind")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_models")),
        schema="pggit_ml",
    )
    op.create_index(
        "ix_models_active",
        "models",
        ["is_active"],
        unique=True,
        schema="pggit_ml",
        postgresql_where="is_active",
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("horizon_hours", sa.SmallInteger(), nullable=False),
        sa.Column("features_version", sa.SmallInteger(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("features", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('unavailable', 'available', 'unknown')",
            name=op.f("ck_predictions_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["pggit_ml.models.version"],
            name=op.f("fk_predictions_model_version"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["pggit.webhooks.id"],
            name=op.f("fk_predictions_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictions")),
        sa.UniqueConstraint("webhook_id", "as_of", name=op.f("uq_predictions_webhook_id_as_of")),
        schema="pggit_ml",
    )
    op.create_index(
        op.f("ix_predictions_made_at"), "predictions", ["made_at"], unique=False, schema="pggit_ml"
    )
    op.create_index(
        op.f("ix_predictions_model_version"),
        "predictions",
        ["model_version"],
        unique=False,
        schema="pggit_ml",
    )
    op.create_index(
        "ix_predictions_unsettled",
        "predictions",
        ["made_at"],
        unique=False,
        schema="pggit_ml",
        postgresql_where="outcome IS NULL",
    )


def downgrade() -> None:
    op.drop_index(
        "ix_predictions_unsettled",
        table_name="predictions",
        schema="pggit_ml",
        postgresql_where="outcome IS NULL",
    )
    op.drop_index(op.f("ix_predictions_model_version"), table_name="predictions", schema="pggit_ml")
    op.drop_index(op.f("ix_predictions_made_at"), table_name="predictions", schema="pggit_ml")
    op.drop_table("predictions", schema="pggit_ml")
    op.drop_index(
        "ix_models_active", table_name="models", schema="pggit_ml", postgresql_where="is_active"
    )
    op.drop_table("models", schema="pggit_ml")
    op.execute("DROP SCHEMA pggit_ml")
