"""Recalculating the baseline of one operation: read what is new, merge, try it, switch.

Reading and working out hold no lock; the switch is one short transaction, fenced by the lease.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.domain.back_test import BackTest, Verdict, back_test, judge
from app.domain.baseline import (
    MIN_SLOT_SAMPLES,
    Baseline,
    Buckets,
    Statistics,
    statistics_of,
)
from app.domain.left_out import Window, shown, spans, touched
from app.domain.recalculation import HOUR, Outcome, Plan, plan
from app.domain.rollups import Rollup, merge
from app.services import baseline_data as data
from app.services.baseline_schedules import Lease, is_still_mine, record
from app.services.baseline_versions import Candidate, install
from app.services.left_out import windows_of

_STORE_PARTIALS = text(
    """
    INSERT INTO pggit_analytics.baseline_partials
        (operation, slot, fingerprint, sum, m2, min, max, sketch,
            sample_count, p50, p75, p90, p95, p99, mean, stddev, mad)
    SELECT :operation, *
    FROM unnest(CAST(:slot AS int2[]), CAST(:fingerprint AS bytea[]), CAST(:sum AS float8[]),
        CAST(:m2 AS float8[]), CAST(:min AS float8[]), CAST(:max AS float8[]),
        CAST(:sketch AS bytea[]), CAST(:sample_count AS int8[]), CAST(:p50 AS float8[]),
        CAST(:p75 AS float8[]), CAST(:p90 AS float8[]), CAST(:p95 AS float8[]),
        CAST(:p99 AS float8[]), CAST(:mean AS float8[]), CAST(:stddev AS float8[]),
        CAST(:mad AS float8[]))
    ON CONFLICT (operation, slot) DO UPDATE SET fingerprint = EXCLUDED.fingerprint,
        sum = EXCLUDED.sum, m2 = EXCLUDED.m2, min = EXCLUDED.min, max = EXCLUDED.max,
        sketch = EXCLUDED.sketch, sample_count = EXCLUDED.sample_count, p50 = EXCLUDED.p50,
        p75 = EXCLUDED.p75, p90 = EXCLUDED.p90, p95 = EXCLUDED.p95, p99 = EXCLUDED.p99,
        mean = EXCLUDED.mean, stddev = EXCLUDED.stddev, mad = EXCLUDED.mad
    """
)
_DROP_PARTIALS = text(
    """
    DELETE FROM pggit_analytics.baseline_partials
    WHERE operation = :operation AND slot <> ALL(CAST(:slots AS int2[]))
    """
)


@dataclass(frozen=True, slots=True)
class Result:
    """`why` explains any outcome but success."""

    outcome: Outcome
    version: int | None
    why: str | None


@dataclass(frozen=True, slots=True)
class _Read:
    """All that a recalculation needs from the database. `week` is for the back-test."""

    since: datetime
    until: datetime
    windows: list[Window]
    left_out_hours: int
    plan: Plan
    fresh: Mapping[int, Rollup]
    unchanged: Mapping[int, tuple[Rollup, Statistics]]
    active: Baseline | None
    week: Buckets


def recalculate(unit_of_work: Callable[[], Any], lease: Lease) -> Result | None:
    """One new version of the operation's baseline, or why not; it is in the schedule's row too.

    None when the lease was lost in the meantime: then nothing has changed.
    """
    with unit_of_work() as work:
        read = _read(work.session, work.now, lease)
    fresh = {slot: statistics_of(rollup) for slot, rollup in read.fresh.items()}
    rollups = dict(read.fresh) | {slot: one[0] for slot, one in read.unchanged.items()}
    samples = sum(rollup.count for rollup in rollups.values())
    candidate = None
    if samples >= lease.minimum_samples:
        usual = fresh | {slot: one[1] for slot, one in read.unchanged.items()}
        candidate = _candidate(read, rollups, usual)
    with unit_of_work() as work:
        if not is_still_mine(work.session, lease):
            return None
        _store_partials(work.session, lease.operation, read, fresh)
        if candidate is None:
            result = Result(Outcome.TOO_FEW_SAMPLES, None, _too_few(samples, read, lease))
        else:
            result = _install(work.session, work.now, lease.operation, candidate)
        record(
            work.session,
            work.now,
            lease,
            read.until,
            result.outcome,
            error=result.why,
            version=result.version,
        )
    return result


def _read(session: Session, now: datetime, lease: Lease) -> _Read:
    since = (now - lease.lookback).replace(minute=0, second=0, microsecond=0)
    series = data.series_of(session, lease.operation)
    windows = windows_of(session, lease.operation, since, now)
    covered = spans(windows)
    hours = data.read_hours(session, series, since, now)
    is_out = touched(hours.at, HOUR.total_seconds(), covered)
    planned = plan(hours.where(~is_out), data.fingerprints_of(session, lease.operation))
    week = data.read_buckets(session, series, max(since, now - data.TEST_WINDOW), now)
    is_quiet = ~touched(week.at, data.TEST_SECONDS, covered)
    return _Read(
        since=since,
        until=now,
        windows=windows,
        left_out_hours=int(is_out.sum()),
        plan=planned,
        fresh=data.merge_hours(session, series, planned.to_merge, since, now),
        unchanged=data.read_partials(session, lease.operation, sorted(planned.unchanged)),
        active=data.read_active(session, lease.operation),
        week=Buckets(week.at[is_quiet], week.means[is_quiet], week.counts[is_quiet]),
    )


def _candidate(
    read: _Read, rollups: Mapping[int, Rollup], usual: Mapping[int, Statistics]
) -> Candidate:
    enough = {slot: one for slot, one in usual.items() if one.sample_count >= MIN_SLOT_SAMPLES}
    baseline = Baseline(statistics_of(merge(rollups.values())), enough)
    tried = back_test(baseline, read.week)
    former = None if read.active is None else back_test(read.active, read.week)
    return Candidate(
        baseline=baseline,
        since=read.since,
        until=read.until,
        left_out=shown(read.windows),
        left_out_hours=read.left_out_hours,
        back_test=_shown(read, tried, former),
        verdict=judge(tried, former),
    )


def _shown(read: _Read, tried: BackTest, former: BackTest | None) -> dict[str, Any]:
    return {
        "since": max(read.since, read.until - data.TEST_WINDOW).isoformat(),
        "until": read.until.isoformat(),
        **asdict(tried),
        "active": None if former is None else asdict(former),
    }


def _install(session: Session, now: datetime, operation: str, candidate: Candidate) -> Result:
    version = install(session, now, operation, candidate)
    if candidate.verdict.takes_over:
        return Result(Outcome.SUCCEEDED, version, None)
    return Result(Outcome.REJECTED, version, _rejected(version, candidate))


def _rejected(version: int, candidate: Candidate) -> str:
    tried = candidate.back_test
    return (
        f"{Verdict.FIRES_TOO_OFTEN}: version {version} finds {tried['off']} of the last week's"
        f" {tried['buckets']} buckets unusual, the active one {tried['active']['off']}."
    )


def _too_few(samples: int, read: _Read, lease: Lease) -> str:
    hours = f", {read.left_out_hours} hours left out" if read.left_out_hours else ""
    return f"{samples} samples in the window{hours}; {lease.minimum_samples} are needed."


def _store_partials(
    session: Session, operation: str, read: _Read, fresh: Mapping[int, Statistics]
) -> None:
    """Afterwards the partials are those of this window, for all hours of the week with data."""
    slots = list(fresh)
    rollups = [read.fresh[slot] for slot in slots]
    statistics = [fresh[slot] for slot in slots]
    if slots:
        session.execute(
            _STORE_PARTIALS,
            {
                "operation": operation,
                "slot": slots,
                "fingerprint": [read.plan.fingerprints[slot] for slot in slots],
                **{
                    name: [getattr(one, name) for one in rollups]
                    for name in ("sum", "m2", "min", "max", "sketch")
                },
                **{
                    name: [getattr(one, name) for one in statistics]
                    for name in Statistics.__slots__
                },
            },
        )
    merged = [*slots, *read.unchanged]
    session.execute(_DROP_PARTIALS, {"operation": operation, "slots": merged})
