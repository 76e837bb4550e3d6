"""Many webhooks to be checked, made at once: one by the service, the others like it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from psycopg import sql

from app.domain.cadence import next_check, phase_ms
from benchmarks.postgres import Connection, number

_COLUMNS = (
    "name, is_active, health_check_interval_seconds, secret_encrypted, check_method,"
    " check_failure_threshold, check_recovery_threshold, max_in_flight"
)
_LIKE = f"""
    WITH made AS (
        INSERT INTO pggit.webhooks (url, {_COLUMNS})
        SELECT regexp_replace(w.url, '[0-9]+$', n::text), {_COLUMNS}
        FROM pggit.webhooks w, generate_series(1, %(count)s) n WHERE w.id = %(like)s
        ORDER BY n
        RETURNING id
    ), healths AS (
        INSERT INTO pggit.webhook_health_metrics (webhook_id, next_check_at)
        SELECT id, now() + interval '1 day' FROM made
    )
    INSERT INTO pggit_traffic.webhook_traffic (webhook_id) SELECT id FROM made RETURNING webhook_id
"""  # noqa: S608 - only constants in it
_DUE = """
    UPDATE pggit.webhook_health_metrics h SET next_check_at = due.at, last_check_at = NULL
    FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) AS due (id, at)
    WHERE h.webhook_id = due.id
"""


def multiply(connection: Connection, like: int, count: int) -> list[int]:
    """So many webhooks like that one, whose URL ends with a number: theirs with 1 to `count`. None
    is due. Their ids, in the order of their numbers."""
    made = connection.execute(_LIKE, {"like": like, "count": count}).fetchall()
    return sorted(webhook_id for (webhook_id,) in made)


def put_off(connection: Connection, webhooks: Sequence[int]) -> None:
    """None of them is due."""
    times = [datetime.now(UTC) + timedelta(days=1)] * len(webhooks)
    connection.execute(_DUE, {"ids": list(webhooks), "times": times})


def make_due(connection: Connection, webhooks: Sequence[int]) -> None:
    """All of them, now."""
    times = [datetime.now(UTC)] * len(webhooks)
    connection.execute(_DUE, {"ids": list(webhooks), "times": times})


def make_due_in_phase(connection: Connection, webhooks: Sequence[int], interval: int) -> None:
    """Each at its own time within the interval that begins now, as if all had been checked."""
    now, in_phase = datetime.now(UTC), datetime.fromtimestamp(0, UTC)
    times = [
        next_check(one, interval, in_phase + timedelta(milliseconds=phase_ms(one, interval)), now)
        for one in webhooks
    ]
    connection.execute(_DUE, {"ids": list(webhooks), "times": times})


def recorded(connection: Connection) -> int:
    """How many checks were written, committed or not: cheap enough to ask again and again."""
    return number(
        connection,
        "SELECT last_value FROM pggit.webhook_health_checks_id_seq WHERE is_called"
        " UNION ALL SELECT 0 LIMIT 1",
    )


def checked(connection: Connection, webhooks: Sequence[int]) -> int:
    """How many of these, which were made together, were checked since they became due."""
    return number(
        connection,
        "SELECT count(*) FROM pggit.webhook_health_metrics"
        " WHERE last_check_at IS NOT NULL AND webhook_id BETWEEN %s AND %s",
        webhooks[0],
        webhooks[-1],
    )


def passed(connection: Connection, webhooks: Sequence[int]) -> int:
    """Of how many one check is in the history and in a rollup, and passed."""
    return number(
        connection,
        "SELECT count(*) FROM pggit.webhook_health_rollups r"
        " JOIN pggit.webhook_health_checks c ON c.webhook_id = r.webhook_id"
        " WHERE r.webhook_id BETWEEN %s AND %s AND r.resolution = 60"
        " AND (r.checks, r.failed) = (1, 0) AND c.outcome = 'passed'",
        webhooks[0],
        webhooks[-1],
    )


def remove(connection: Connection, webhooks: Sequence[int]) -> None:
    """With all that is known of them."""
    for table in ("webhook_health_rollups", "webhook_health_checks"):
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE webhook_id = ANY(%s)").format(
                sql.Identifier("pggit", table)
            ),
            [list(webhooks)],
        )
    connection.execute("DELETE FROM pggit.webhooks WHERE id = ANY(%s)", [list(webhooks)])
