"""Raw samples by the million, and their rollups."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from app.domain.partitions import RAW, ROLLED, Partition, partitions_for
from app.domain.rollups import Rollup, rollup_of
from benchmarks.command import say
from benchmarks.postgres import Connection, number

Floats = NDArray[np.float64]

DAY = 86_400
HOUR, FIVE_MINUTES = 3600, 300
SCHEMA = "pggit_analytics"
SHOWN_EVERY = 10
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
# A row of COPY's binary format with a time and a float.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("at_size", ">i4"),
        ("at", ">i8"),
        ("value_size", ">i4"),
        ("value", ">f8"),
    ]
)
_HEADER_BYTES, _TRAILER_BYTES = 19, 2
# About 100, skewed to the right as latencies are, and a third more in the middle of the day.
_FILL = """
    INSERT INTO {table} (series_id, at, value)
    SELECT {series}, at, exp(4.6 + 0.5 * (random() + random() + random() - 1.5)
        - 0.2 * ln(1 - random())) * (1 + 0.3 * sin(pi() * extract(epoch FROM at) / 86400))
    FROM (
        SELECT {day}::timestamptz + (n + random()) * interval '1 day' / {count} AS at
        FROM generate_series(0, {count} - 1) n
    ) AS made
"""


def fill(connection: Connection, operation: str, since: datetime, days: int, a_day: int) -> int:
    """So many raw samples a day in partitions of their own, and their rollups; the series' id."""
    series = _series(connection, operation)
    connection.execute("SET synchronous_commit = off")
    for day, begins in enumerate(_days(since, days)):
        table = sql.Identifier(SCHEMA, RAW.partition_at(begins.timestamp()).name)
        _make(connection, RAW.partition_at(begins.timestamp()))
        connection.execute(
            sql.SQL(_FILL).format(
                table=table,
                series=sql.Literal(series),
                day=sql.Literal(begins.isoformat()),
                count=sql.Literal(a_day),
            )
        )
        at, values = _read(connection, table)
        _roll_up(connection, series, at, values)
        _shown(day, days)
    connection.execute("RESET synchronous_commit")
    return series


def simulate(connection: Connection, operation: str, since: datetime, days: int, a_day: int) -> int:
    """The same without raw rows. The sketches of five minutes, which nothing here reads, are made
    of one value.
    """
    series = _series(connection, operation)
    chance = np.random.default_rng(1)
    an_hour = a_day // 24 // 12 * 12
    for day, begins in enumerate(_days(since, days)):
        hours, fives = [], []
        for hour in range(24):
            start = begins.timestamp() + HOUR * hour
            values = 100 * chance.standard_exponential(an_hour) + hour
            hours.append((start, rollup_of(values)))
            fives += [
                (start + FIVE_MINUTES * place, _without_sketch(part))
                for place, part in enumerate(values.reshape(12, -1))
            ]
        _store(connection, series, HOUR, hours)
        _store(connection, series, FIVE_MINUTES, fives)
        _shown(day, days)
    return series


def _without_sketch(values: Floats) -> Rollup:
    mean = float(values.mean())
    m2 = float(((values - mean) ** 2).sum())
    sketch = rollup_of([mean]).sketch
    least, most = float(values.min()), float(values.max())
    return Rollup(values.size, float(values.sum()), m2, least, most, sketch)


def copy_with_history(
    connection: Connection, series: int, operation: str, since: datetime, days: int
) -> int:
    """Another operation with the same rollups, and before them hourly ones of so many days, which
    are copies of the first day's; its series' id.
    """
    aged = _series(connection, operation)
    begins = since.timestamp()
    wanted = [begins - DAY * (day + 1) for day in range(days)]
    for partition in partitions_for(ROLLED[HOUR], wanted):
        _make(connection, partition)
    connection.execute(
        "INSERT INTO pggit_analytics.metric_rollups"
        " (resolution, series_id, at, count, sum, m2, min, max, sketch)"
        " SELECT resolution, %(aged)s, at, count, sum, m2, min, max, sketch"
        " FROM pggit_analytics.metric_rollups WHERE series_id = %(series)s"
        " UNION ALL"
        " SELECT resolution, %(aged)s, at - day * interval '1 day', count, sum, m2, min, max,"
        " sketch FROM pggit_analytics.metric_rollups CROSS JOIN generate_series(1, %(days)s) AS day"
        " WHERE resolution = 3600 AND series_id = %(series)s AND at < %(until)s",
        {"aged": aged, "series": series, "days": days, "until": since + timedelta(days=1)},
    )
    return aged


def remove(connection: Connection, *series: int) -> None:
    """All of it: the next size begins as this one did."""
    connection.execute("TRUNCATE pggit_analytics.metric_samples, pggit_analytics.metric_rollups")
    connection.execute("DELETE FROM pggit_analytics.metric_series WHERE id = ANY(%s)", [[*series]])


def _series(connection: Connection, operation: str) -> int:
    return number(
        connection,
        "INSERT INTO pggit_analytics.metric_series (operation) VALUES (%s) RETURNING id",
        operation,
    )


def _days(since: datetime, days: int) -> Iterator[datetime]:
    return (since + timedelta(days=day) for day in range(days))


def _shown(day: int, days: int) -> None:
    if (day + 1) % SHOWN_EVERY == 0:
        say(f"baselines, {day + 1} of {days} days are filled")


def _make(connection: Connection, partition: Partition) -> None:
    """As app.services.partitions makes it, unless it is there."""
    names = {
        "table": sql.Identifier(SCHEMA, partition.name),
        "parent": sql.Identifier(SCHEMA, partition.parent),
    }
    connection.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {table} PARTITION OF {parent} ").format(**names)
        + sql.SQL(partition.bounds)
    )


def _read(connection: Connection, table: sql.Identifier) -> tuple[Floats, Floats]:
    """Times in seconds since 1970, and values."""
    query = sql.SQL("COPY {} (at, value) TO STDOUT (FORMAT binary)").format(table)
    with connection.cursor().copy(query) as copy:
        raw = b"".join(bytes(block) for block in copy)
    rows = np.frombuffer(raw[_HEADER_BYTES:-_TRAILER_BYTES], dtype=_ROW)
    return rows["at"] / 1e6 + POSTGRES_EPOCH, rows["value"].astype(np.float64)


def _roll_up(connection: Connection, series: int, at: Floats, values: Floats) -> None:
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    for resolution in (FIVE_MINUTES, HOUR):
        starts = at // resolution * resolution
        cuts = np.flatnonzero(np.diff(starts)) + 1
        firsts = starts[np.concatenate(([0], cuts))].tolist()
        parts = map(rollup_of, np.split(values, cuts))
        _store(connection, series, resolution, list(zip(firsts, parts, strict=True)))


def _store(
    connection: Connection, series: int, resolution: int, rollups: Sequence[tuple[float, Rollup]]
) -> None:
    for partition in partitions_for(ROLLED[resolution], [at for at, _rollup in rollups]):
        _make(connection, partition)
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY pggit_analytics.metric_rollups"
            " (resolution, series_id, at, count, sum, m2, min, max, sketch)"
            " FROM STDIN (FORMAT binary)"
        ) as copy,
    ):
        copy.set_types(["int4", "int8", "timestamptz", "int8", *["float8"] * 4, "bytea"])
        for at, one in rollups:
            moment = datetime.fromtimestamp(at, UTC)
            numbers = (one.count, one.sum, one.m2, one.min, one.max)
            copy.write_row([resolution, series, moment, *numbers, one.sketch])
