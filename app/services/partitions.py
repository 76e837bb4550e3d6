"""Partitions: made before they are needed, and dropped after their time."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.domain.partitions import KINDS, Partition, partition_called

log = structlog.get_logger(__name__)

SCHEMA = "pggit_analytics"
PARTITIONS_LOCK = 0x9A2717
AHEAD = timedelta(days=1)
# A drop needs the parent for itself for a moment. It must not have everybody queue up behind it.
DROP_LOCK_TIMEOUT = "500ms"
_ALL = text(
    """
    SELECT c.relname FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE parent.relkind = 'p' AND parent.relnamespace = CAST('pggit_analytics' AS regnamespace)
    """
)
# Rollups are written again and again, in the same page.
_OPTIONS = {"metric_rollups": "WITH (fillfactor = 70)", "metric_samples": ""}


def existing(session: Session) -> set[Partition]:
    names = session.scalars(_ALL)
    return {one for name in names if (one := partition_called(name)) is not None}


def make_partitions(session: Session, wanted: Iterable[Partition]) -> int:
    """Make those that are not there; how many those were.

    Made apart and attached, a partition takes no lock that a reader or a writer would wait for.
    """
    missing = set(wanted) - existing(session)
    if not missing:
        return 0
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITIONS_LOCK})
    missing -= existing(session)
    for one in sorted(missing, key=lambda one: one.name):
        parent, name = f"{SCHEMA}.{one.parent}", f"{SCHEMA}.{one.name}"
        options = _OPTIONS[one.parent]
        session.execute(text(f"CREATE TABLE {name} (LIKE {parent} INCLUDING STORAGE) {options}"))
        session.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION {name} {one.bounds}"))
    return len(missing)


def keep_partitions(unit_of_work: Callable[[], Any]) -> dict[str, int]:
    """Make what is needed soon, and drop what is past its time; how many of each.

    What somebody reads for long is dropped the next time.
    """
    with unit_of_work() as work:
        soon = [
            kind.partition_at(at.timestamp())
            for kind in KINDS
            for at in (work.now, work.now + AHEAD)
        ]
        made = make_partitions(work.session, soon)
        over = [one for one in existing(work.session) if one.is_over(work.now)]
    dropped = 0
    for one in sorted(over, key=lambda one: one.name):
        try:
            with unit_of_work() as work:
                work.session.execute(text(f"SET LOCAL lock_timeout = '{DROP_LOCK_TIMEOUT}'"))
                work.session.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{one.name}"))
            dropped += 1
        except OperationalError as error:
            log.info("not dropped", action="partition_kept", table=one.name, error=str(error))
    return {"made": made, "dropped": dropped, "kept_for_readers": len(over) - dropped}
