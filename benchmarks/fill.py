"""Databases full of what has gathered: a backlog that is due, a history of what was delivered.

Rows are made inside PostgreSQL, without synchronous commits and without checking foreign keys
that are right by construction. The history's indexes are made after its rows, which is faster
and leaves the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg import sql

from benchmarks.alerts import draft, sample_body
from benchmarks.postgres import Connection

STEP = 250_000
HISTORY_STEP = 1_000_000
# The history's ids, out of reach of those that the queue gives out in a run.
HISTORY_FROM = 1_000_000_000
HEAD_START_SECONDS = 300

_QUICKLY = (
    "SET synchronous_commit = off",
    "SET session_replication_role = replica",
    "SET maintenance_work_mem = '512MB'",
)
_AS_BEFORE = ("RESET synchronous_commit", "RESET session_replication_role")
# As if they had gathered at a thousand a second, the last of them now.
_DUE = """
    WITH raised AS (
        INSERT INTO pggit.alerts (title, message, severity, source, webhook_ids, created_by)
        SELECT %(title)s, %(message)s, %(severity)s, %(source)s, '{1}', 'benchmark'
        FROM generate_series(1, %(count)s) RETURNING id
    ), told AS (
        INSERT INTO pggit.alert_events (alert_id, type, body)
        SELECT id, 'alert.firing', %(body)s FROM raised RETURNING id
    ), numbered AS (
        SELECT id, row_number() OVER (ORDER BY id) AS n FROM told
    )
    INSERT INTO pggit.alert_delivery_queue
        (event_id, webhook_id, head_start_seconds, next_attempt_at, rank_at)
    SELECT id, (%(webhooks)s::bigint[])[1 + n %% %(width)s], %(head_start)s, at,
        at - make_interval(secs => %(head_start)s)
    FROM numbered
    CROSS JOIN LATERAL (
        SELECT now() - (%(later)s + %(count)s - n) * interval '1 millisecond' AS at
    ) due
"""
_DELIVERED = """
    INSERT INTO pggit.alert_delivery_history
        (id, event_id, webhook_id, webhook_message_id, status, reason, attempts_made,
            created_at, finished_at)
    SELECT %(first)s + n, n, (%(webhooks)s::bigint[])[1 + n %% %(width)s], 'msg_' || md5(n::text),
        'delivered', 'accepted', 1, at, at
    FROM generate_series(%(begin)s::bigint, %(until)s::bigint) n
    CROSS JOIN LATERAL (SELECT now() - (%(total)s - n) * interval '1 millisecond' AS at) made
"""
_INDEXES = """
    SELECT c.relname, pg_get_indexdef(i.indexrelid), k.conname, pg_get_constraintdef(k.oid)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid
    WHERE i.indrelid = 'pggit.alert_delivery_history'::regclass
"""


def owe(connection: Connection, webhooks: Sequence[int], count: int) -> Iterator[int]:
    """So many deliveries that are due, for these webhooks in turns; yields how many there are."""
    sample = draft(1, 1)
    body = sample_body(1)
    with _quickly(connection):
        for begin in range(0, count, STEP):
            until = min(begin + STEP, count)
            connection.execute(
                _DUE,
                {
                    "title": sample.title,
                    "message": sample.message,
                    "severity": sample.severity,
                    "source": sample.source,
                    "body": body,
                    "count": until - begin,
                    "later": count - until,
                    "webhooks": list(webhooks),
                    "width": len(webhooks),
                    "head_start": HEAD_START_SECONDS,
                },
            )
            yield until


def deliver(connection: Connection, webhooks: Sequence[int], count: int) -> Iterator[int]:
    """So many deliveries in the history; yields how many there are. The indexes come last."""
    with _quickly(connection), _without_indexes(connection):
        for begin in range(0, count, HISTORY_STEP):
            until = min(begin + HISTORY_STEP, count)
            connection.execute(
                _DELIVERED,
                {
                    "first": HISTORY_FROM,
                    "begin": begin + 1,
                    "until": until,
                    "total": count,
                    "webhooks": list(webhooks),
                    "width": len(webhooks),
                },
            )
            yield until


@contextmanager
def _quickly(connection: Connection) -> Iterator[None]:
    for setting in _QUICKLY:
        connection.execute(setting)
    try:
        yield
    finally:
        for setting in _AS_BEFORE:
            connection.execute(setting)


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    table = sql.Identifier("pggit", "alert_delivery_history")
    indexes = connection.execute(_INDEXES).fetchall()
    for name, _definition, constraint, _rule in indexes:
        if constraint is None:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("pggit", name)))
        else:
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(name))
            )
    yield
    for name, definition, constraint, rule in indexes:
        if constraint is None:
            connection.execute(sql.SQL(definition))
        else:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    table, sql.Identifier(name), sql.SQL(rule)
                )
            )
