"""Totals in PostgreSQL: every process adds what it has counted, whoever is asked says the sum.

So a restart takes nothing back, and the answer is the same from each web process of each host.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.samples import Series
from app.domain.totals import Total
from models import MeterTotal

# In the order of their keys: processes that add at once must not lock each other out.
_ADD = text(
    """
    INSERT INTO pggit_analytics.meter_totals AS m (name, labels, count, sum, buckets)
    SELECT t.name, t.labels, t.count, t.sum, t.buckets
    FROM json_to_recordset(CAST(:totals AS json))
        AS t (name text, labels jsonb, count bigint, sum float8, buckets bigint[])
    ORDER BY t.name, t.labels
    ON CONFLICT (name, labels) DO UPDATE SET
        count = m.count + excluded.count,
        sum = m.sum + excluded.sum,
        buckets = CASE WHEN excluded.buckets IS NOT NULL THEN ARRAY(
            SELECT COALESCE(u.had, 0) + u.more
            FROM unnest(m.buckets, excluded.buckets) WITH ORDINALITY AS u (had, more, number)
            ORDER BY u.number
        ) END
    """
)


def add_totals(session: Session, totals: Mapping[Series, Total]) -> None:
    if not totals:
        return
    rows: list[dict[str, Any]] = [
        {
            "name": series.operation,
            "labels": dict(series.labels),
            "count": total.count,
            "sum": total.sum,
            "buckets": total.buckets,
        }
        for series, total in totals.items()
    ]
    session.execute(_ADD, {"totals": orjson.dumps(rows).decode()})


def all_totals(session: Session) -> dict[str, list[tuple[dict[str, str], Total]]]:
    """By name, each with its labels, in a steady order."""
    found: dict[str, list[tuple[dict[str, str], Total]]] = {}
    # Columns, not entities: labels are part of the key, and a map is no key in Python.
    rows = session.execute(
        select(
            MeterTotal.name, MeterTotal.labels, MeterTotal.count, MeterTotal.sum, MeterTotal.buckets
        ).order_by(MeterTotal.name, MeterTotal.labels)
    )
    for name, labels, count, total, buckets in rows:
        one = Total(count, total, None if buckets is None else tuple(buckets))
        found.setdefault(name, []).append((labels, one))
    return found
