"""Plans of loads that took long: what PostgreSQL did for them, kept for whoever asks why."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

SLOW_MS = 200.0
PLANS_KEPT = 20
# Of one query, a plan every so often: what is slow now is perhaps slow for thousands.
AGAIN_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The slowest statement of a load that took `load_ms`, and its plan, line by line.

    Arguments are left out: they are what somebody looked for.
    """

    query: str
    at: datetime
    load_ms: float
    statement_ms: float
    statement: str
    plan: list[str]


@dataclass(slots=True)
class _Statement:
    text: str
    parameters: Any
    began: float
    took: float = 0.0


@dataclass(slots=True)
class Watch:
    """The statements of one load."""

    statements: list[_Statement] = field(default_factory=list)

    @property
    def slowest(self) -> _Statement | None:
        return max(self.statements, key=lambda one: one.took, default=None)


@contextmanager
def watching(session: Session) -> Iterator[Watch]:
    """Notes the statements that a session makes in this block."""
    watch, connection = Watch(), session.connection()

    def before(
        _connection: Connection, _cursor: Any, text: str, parameters: Any, *_more: Any
    ) -> None:
        watch.statements.append(_Statement(text, parameters, time.perf_counter()))

    def after(*_ignored: Any) -> None:
        last = watch.statements[-1]
        last.took = time.perf_counter() - last.began

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)
    try:
        yield watch
    finally:
        event.remove(connection, "before_cursor_execute", before)
        event.remove(connection, "after_cursor_execute", after)


class Plans:
    """Thread-safe; the latest of each query, and of at most PLANS_KEPT queries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Plan] = OrderedDict()
        self._next: dict[str, float] = {}

    def wants(self, query: str) -> bool:
        """Whether it is time for another plan of this query. Who asks is to keep one."""
        with self._lock:
            now = time.monotonic()
            if now < self._next.get(query, 0.0):
                return False
            self._next[query] = now + AGAIN_AFTER_SECONDS
            return True

    def explain(
        self, session: Session, query: str, now: datetime, watch: Watch, load_ms: float
    ) -> None:
        """Keep the plan of the slowest statement. What can't be explained is left out."""
        slowest = watch.slowest
        if slowest is None:
            return
        try:
            rows = session.connection().exec_driver_sql(
                f"EXPLAIN {slowest.text}", slowest.parameters
            )
            lines = [str(row[0]) for row in rows]
        except SQLAlchemyError:
            return
        plan = Plan(query, now, load_ms, slowest.took * 1000, " ".join(slowest.text.split()), lines)
        with self._lock:
            self._kept.pop(query, None)
            self._kept[query] = plan
            if len(self._kept) > PLANS_KEPT:
                self._kept.popitem(last=False)

    def told(self) -> list[Plan]:
        """The latest first."""
        with self._lock:
            return list(reversed(self._kept.values()))
