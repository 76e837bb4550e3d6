"""The roller: empties the inbox into raw samples and rollups, each sample exactly once.

    read (short transaction) → group and sketch (no transaction) → take, write and merge (short)

What it read is deleted in the transaction that writes what came of it, so a roller that dies has
done all of it or nothing. Samples may come in any order, and late: they are merged into the
buckets that they belong to.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.adapters.database import driver_of
from app.domain.buckets import by_bucket
from app.domain.partitions import RAW, ROLLED, Partition, partitions_for
from app.domain.rollups import RESOLUTIONS, Rollup, merge
from app.domain.samples import MICROSECONDS, PACKED, Packed, unpack
from app.services.partitions import make_partitions

# Later is cheaper: each time, every bucket that has news is written once.
ROLL_EVERY_SECONDS = 5.0
# At once; the rest waits for the next pass. That many take a second or two. A backfill may have a
# bucket for each sample, so these are counted, too: in minutes, of one request at least.
MAX_SAMPLES = 200_000
MAX_ROWS = 2000
MAX_BUCKETS = 30_000
# PostgreSQL does not wait for long in the middle of a transaction.
BUCKETS_AT_ONCE = 2000
ROLLER_LOCK = 0x2011E2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# COPY's binary format counts from there.
POSTGRES_EPOCH = 946_684_800 * MICROSECONDS

_WIRE = np.dtype(
    [
        ("fields", ">i2"),
        *(("series_size", ">i4"), ("series", ">i8")),
        *(("at_size", ">i4"), ("at", ">i8")),
        *(("value_size", ">i4"), ("value", ">f8")),
    ]
)

Key = tuple[int, int]
Buckets = dict[Key, Rollup]

_READ_SAMPLES = text(
    """
    SELECT id, payload FROM (
        SELECT id, payload, samples, sum(samples) OVER (ORDER BY id) AS upto FROM (
            SELECT id, payload, samples FROM pggit_analytics.metric_inbox ORDER BY id LIMIT :rows
        ) AS oldest
    ) AS oldest
    WHERE upto - samples < :most ORDER BY id
    """
)
_READ_PARTS = text(
    """
    SELECT id, series_id, at, count, sum, m2, min, max, sketch
    FROM pggit_analytics.metric_parts ORDER BY id LIMIT :rows
    """
)
_TAKE_SAMPLES = text("DELETE FROM pggit_analytics.metric_inbox WHERE id = ANY(:ids) RETURNING id")
_TAKE_PARTS = text("DELETE FROM pggit_analytics.metric_parts WHERE id = ANY(:ids) RETURNING id")
_READ_ROLLUPS = text(
    """
    SELECT r.series_id, r.at, r.count, r.sum, r.m2, r.min, r.max, r.sketch
    FROM unnest(CAST(:series AS bigint[]), CAST(:ats AS timestamptz[])) AS k (series_id, at)
    JOIN pggit_analytics.metric_rollups r
        ON r.resolution = :resolution AND r.series_id = k.series_id AND r.at = k.at
        AND r.at BETWEEN :first AND :last
    """
)
_WRITE_ROLLUPS = text(
    """
    INSERT INTO pggit_analytics.metric_rollups
        (resolution, series_id, at, count, sum, m2, min, max, sketch)
    SELECT :resolution, * FROM unnest(
        CAST(:series AS bigint[]), CAST(:ats AS timestamptz[]), CAST(:counts AS bigint[]),
        CAST(:sums AS float8[]), CAST(:m2s AS float8[]), CAST(:mins AS float8[]),
        CAST(:maxs AS float8[]), CAST(:sketches AS bytea[])
    )
    ON CONFLICT (resolution, series_id, at) DO UPDATE
    SET count = EXCLUDED.count, sum = EXCLUDED.sum, m2 = EXCLUDED.m2, min = EXCLUDED.min,
        max = EXCLUDED.max, sketch = EXCLUDED.sketch
    """
)
_NOTE_LAST = text(
    """
    UPDATE pggit_analytics.metric_series s SET last_sample_at = t.at
    FROM unnest(CAST(:ids AS bigint[]), CAST(:ats AS timestamptz[])) AS t (id, at)
    WHERE s.id = t.id AND (s.last_sample_at IS NULL OR s.last_sample_at < t.at)
    """
)


class _SomebodyElseRolls(Exception):
    """Another roller was quicker; this one has done nothing."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was read: rows of the inbox by their ids, their samples, and their rollups so far."""

    inbox_ids: list[int]
    part_ids: list[int]
    samples: Packed
    rolled: Mapping[int, Buckets]
    last_at: Mapping[int, int]

    def partitions(self) -> Iterable[Partition]:
        yield from partitions_for(RAW, np.unique(self.samples["at"] // MICROSECONDS).tolist())
        for resolution, buckets in self.rolled.items():
            starts = {at for _series, at in buckets}
            yield from partitions_for(ROLLED[resolution], (at / MICROSECONDS for at in starts))


class Roller:
    """For one thread. There may be several processes that have one: one at a time rolls."""

    def __init__(self, unit_of_work: Callable[[], Any], clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._roll_at = float("-inf")
        self.is_busy = False

    def run(self, wants_look: Callable[[], bool], _stopping: Callable[[], bool]) -> dict[str, int]:
        """Roll one batch, when it is time; counts of what was rolled.

        Raises SQLAlchemyError while the database is away; what was accepted waits.
        """
        now = self._clock.monotonic()
        if not (wants_look() or self.is_busy or now >= self._roll_at):
            return {}
        self._roll_at = now + ROLL_EVERY_SECONDS
        report = self.roll()
        self.is_busy = report.pop("is_full", 0) > 0
        return report

    def roll(self) -> dict[str, int]:
        """The oldest of the inbox; `is_full` where there was more than one batch takes."""
        with self._unit_of_work() as work:
            rows = work.session.execute(
                _READ_SAMPLES, {"rows": MAX_ROWS, "most": MAX_SAMPLES}
            ).all()
            parts = work.session.execute(_READ_PARTS, {"rows": MAX_ROWS}).all()
            now = work.now
        if not (rows or parts):
            return {}
        fitting = rows[: _fitting([row.payload for row in rows])]
        batch = _batch(fitting, parts, now)
        with self._unit_of_work() as work:
            make_partitions(work.session, batch.partitions())
        try:
            with self._unit_of_work() as work:
                _take(work.session, batch)
                _copy(work.session, batch.samples)
                for resolution, buckets in batch.rolled.items():
                    keys = sorted(buckets)
                    for start in range(0, len(keys), BUCKETS_AT_ONCE):
                        some = {key: buckets[key] for key in keys[start : start + BUCKETS_AT_ONCE]}
                        _merge_into(work.session, resolution, some)
                _note_last(work.session, batch.last_at)
        except _SomebodyElseRolls:
            return {}
        return {
            "samples_rolled": len(batch.samples),
            "parts_rolled": len(parts),
            "buckets_written": sum(len(buckets) for buckets in batch.rolled.values()),
            "is_full": len(fitting) < len(rows)
            or len(batch.samples) >= MAX_SAMPLES
            or MAX_ROWS in (len(rows), len(parts)),
        }

    def close(self) -> None:
        """There is nothing to give back."""


def _fitting(payloads: Sequence[bytes]) -> int:
    """How many of these, from the first, have no more than `MAX_BUCKETS` minutes of series."""
    samples = np.frombuffer(b"".join(payloads), dtype=PACKED)
    buckets = (samples["series"] << 28) + samples["at"] // (60 * MICROSECONDS)
    _which, first_seen = np.unique(buckets, return_index=True)
    if len(first_seen) <= MAX_BUCKETS:
        return len(payloads)
    is_new = np.zeros(len(samples), dtype=bool)
    is_new[first_seen] = True
    seen = np.cumsum(is_new)
    ends = np.cumsum([len(one) // PACKED.itemsize for one in payloads])
    return max(int(np.searchsorted(seen[ends - 1], MAX_BUCKETS, "right")), 1)


def _batch(rows: Sequence[Any], parts: Sequence[Any], now: datetime) -> _Batch:
    samples = unpack([row.payload for row in rows])
    rolled: dict[int, Buckets] = {}
    for resolution in RESOLUTIONS:
        # What is older than its rollups are kept would come back as a part of what it was.
        oldest = _microseconds(now - timedelta(seconds=ROLLED[resolution].kept))
        buckets = {(series, at): rollup for series, at, rollup in by_bucket(samples, resolution)}
        for row in parts:
            width = resolution * MICROSECONDS
            key = (row.series_id, _microseconds(row.at) // width * width)
            part = Rollup(*row[3:])
            buckets[key] = merge((buckets[key], part)) if key in buckets else part
        rolled[resolution] = {key: one for key, one in buckets.items() if key[1] >= oldest}
    last_at: dict[int, int] = {row.series_id: _microseconds(row.at) for row in parts}
    is_last = np.append(samples["series"][1:] != samples["series"][:-1], True)[: len(samples)]
    for series, at in samples[["series", "at"]][is_last].tolist():
        last_at[series] = max(at, last_at.get(series, at))
    return _Batch([row.id for row in rows], [row.id for row in parts], samples, rolled, last_at)


def _take(session: Session, batch: _Batch) -> None:
    """Raises _SomebodyElseRolls where not all of it is there to be taken."""
    has_lock = session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ROLLER_LOCK})
    if not has_lock:
        raise _SomebodyElseRolls
    for statement, ids in ((_TAKE_SAMPLES, batch.inbox_ids), (_TAKE_PARTS, batch.part_ids)):
        if len(session.execute(statement, {"ids": ids}).all()) != len(ids):
            raise _SomebodyElseRolls


def _copy(session: Session, samples: Packed) -> None:
    """Write the raw samples, in COPY's binary format, which numpy makes all at once."""
    if not len(samples):
        return
    wire = np.empty(len(samples), dtype=_WIRE)
    wire["fields"] = 3
    wire["series_size"] = wire["at_size"] = wire["value_size"] = 8
    wire["series"], wire["value"] = samples["series"], samples["value"]
    wire["at"] = samples["at"] - POSTGRES_EPOCH
    copy = "COPY pggit_analytics.metric_samples (series_id, at, value) FROM STDIN (FORMAT binary)"
    with driver_of(session).cursor() as cursor, cursor.copy(copy) as stream:
        stream.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + wire.tobytes() + b"\xff\xff")


def _merge_into(session: Session, resolution: int, buckets: Buckets) -> None:
    series = [key[0] for key in buckets]
    ats = [_moment(key[1]) for key in buckets]
    rows = session.execute(
        _READ_ROLLUPS,
        {
            "resolution": resolution,
            "series": series,
            "ats": ats,
            "first": min(ats),
            "last": max(ats),
        },
    )
    there = {(row[0], _microseconds(row[1])): Rollup(*row[2:]) for row in rows}
    merged = [merge((there[key], news)) if key in there else news for key, news in buckets.items()]
    session.execute(
        _WRITE_ROLLUPS,
        {
            "resolution": resolution,
            "series": series,
            "ats": ats,
            "counts": [one.count for one in merged],
            "sums": [one.sum for one in merged],
            "m2s": [one.m2 for one in merged],
            "mins": [one.min for one in merged],
            "maxs": [one.max for one in merged],
            "sketches": [one.sketch for one in merged],
        },
    )


def _note_last(session: Session, last_at: Mapping[int, int]) -> None:
    ats = [_moment(at) for at in last_at.values()]
    session.execute(_NOTE_LAST, {"ids": list(last_at), "ats": ats})


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)
