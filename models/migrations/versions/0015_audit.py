"""The audit log: written by triggers, so no way past it is left to whoever writes the next service.

Who acts is a setting of the transaction, `tocsin.actor`, a JSON object. Columns whose names end in
`_encrypted` or `_hash` are hidden, those of later releases too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ANYBODY_ACTS = "(COALESCE(current_setting('tocsin.actor', true), '') <> '')"


class Audited(NamedTuple):
    """A table, what its rows are called, and which events count; `when` may restrict them."""

    table: str
    resource: str
    events: str = "INSERT OR UPDATE OR DELETE"
    when: str = "true"


# What people and programs set up is watched whoever changes it. What the system itself changes all
# the time is watched where somebody acts.
TABLES = (
    Audited("pggit.webhooks", "webhook"),
    Audited("pggit.users", "user"),
    Audited("pggit.api_keys", "api_key"),
    Audited("pggit.routing_rules", "routing_rule"),
    Audited("pggit.silences", "silence"),
    Audited("pggit.inhibition_rules", "inhibition_rule"),
    Audited("pggit_traffic.delivery_pause", "delivery_pause"),
    Audited("pggit.baseline_recalc_schedule", "baseline_schedule", when=ANYBODY_ACTS),
    Audited(
        "pggit_analytics.baseline_versions", "baseline_version", "UPDATE OF status", ANYBODY_ACTS
    ),
    Audited("pggit_ml.models", "risk_model", "UPDATE OF is_active", ANYBODY_ACTS),
    Audited("pggit.redrives", "redrive", "INSERT OR UPDATE OF status", ANYBODY_ACTS),
    Audited("pggit_traffic.webhook_traffic", "gate", "UPDATE OF gate", ANYBODY_ACTS),
    Audited("pggit.scheduled_job_execution", "job_execution", "INSERT", ANYBODY_ACTS),
    Audited(
        "pggit.alerts",
        "alert",
        "UPDATE OF status, snoozed_until",
        f"{ANYBODY_ACTS} AND (OLD.status, OLD.snoozed_until)"
        " IS DISTINCT FROM (NEW.status, NEW.snoozed_until)",
    ),
)

SHOW = """
CREATE FUNCTION pggit.audit_shown(columns jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(key, CASE
            WHEN key ~ '_(encrypted|hash)$' AND value <> 'null' THEN '"(hidden)"' ELSE value END)
        FROM jsonb_each(columns)
$$
"""
WRITE = """
CREATE FUNCTION pggit.audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who jsonb := nullif(current_setting('tocsin.actor', true), '')::jsonb;
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    was jsonb := old_row;
    is_now jsonb := new_row;
    what text := lower(TG_OP);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, new_row -> o.key)
            INTO was, is_now
            FROM jsonb_each(old_row) o
            WHERE o.value IS DISTINCT FROM new_row -> o.key
                AND o.key NOT IN ('updated_at', 'last_used_at');
        IF was IS NULL THEN
            RETURN NULL;
        END IF;
        IF was -> 'deleted_at' = 'null' THEN
            what := 'delete';
            was := old_row;
            is_now := NULL;
        END IF;
    END IF;
    INSERT INTO pggit.audit_log (actor_kind, actor_id, actor_name, address, request_id,
            action, resource, resource_id, before, after)
        VALUES (COALESCE(who ->> 'kind', 'system'), (who ->> 'id')::bigint,
            COALESCE(who ->> 'name', 'tocsin'), who ->> 'address', who ->> 'request_id',
            what, TG_ARGV[0], COALESCE(new_row, old_row) ->> COALESCE(TG_ARGV[1], 'id'),
            pggit.audit_shown(was), pggit.audit_shown(is_now));
    RETURN NULL;
END
$$
"""
KEEP = """
CREATE FUNCTION pggit.keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('tocsin.purges', true) = 'audit_log' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        schema="pggit",
    )
    op.create_index(op.f("ix_audit_log_at"), "audit_log", ["at"], schema="pggit")
    op.create_index(
        "ix_audit_log_resource", "audit_log", ["resource", "resource_id", "id"], schema="pggit"
    )
    op.create_index("ix_audit_log_actor", "audit_log", ["actor_name", "id"], schema="pggit")
    op.execute(SHOW)
    op.execute(WRITE)
    op.execute(KEEP)
    op.execute(
        "CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON pggit.audit_log"
        " FOR EACH ROW EXECUTE FUNCTION pggit.keep_audit()"
    )
    op.execute(
        "CREATE TRIGGER keep_all BEFORE TRUNCATE ON pggit.audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION pggit.keep_audit()"
    )
    for table, resource, events, when in TABLES:
        key = ", 'webhook_id'" if resource == "gate" else ""
        op.execute(
            f"CREATE TRIGGER audit AFTER {events} ON {table} FOR EACH ROW WHEN ({when})"
            f" EXECUTE FUNCTION pggit.audit('{resource}'{key})"
        )


def downgrade() -> None:
    for table, *_rest in TABLES:
        op.execute(f"DROP TRIGGER audit ON {table}")
    op.drop_table("audit_log", schema="pggit")
    op.execute("DROP FUNCTION pggit.keep_audit(), pggit.audit(), pggit.audit_shown(jsonb)")
