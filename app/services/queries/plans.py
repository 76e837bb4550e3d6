"""Plans of loads that took long: what PostgreSQL did for them, kept for whoever asks why."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.asking import Statement

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
class Watch:
    """The statements of one load."""

    statements: list[Statement] = field(default_factory=list)


class Statements:
    """Notes the statements that a thread makes while it watches."""

    def __init__(self, engine: Engine) -> None:
        self._own = threading.local()
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        watch = self._own.watch = Watch()
        try:
            yield watch
        finally:
            self._own.watch = None

    def _before(self, _connection: Any, _cursor: Any, text: str, values: Any, *_more: Any) -> None:
        watch: Watch | None = getattr(self._own, "watch", None)
        if watch is not None:
            watch.statements.append(Statement(text, values))
            self._own.began = time.perf_counter()

    def _after(self, *_ignored: Any) -> None:
        watch: Watch | None = getattr(self._own, "watch", None)
        if watch is not None and watch.statements:
            watch.statements[-1].took = time.perf_counter() - self._own.began


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
        self,
        query: str,
        now: datetime,
        load_ms: float,
        statements: Sequence[Statement],
        ask: Callable[[str, Any], Sequence[Any]],
    ) -> None:
        """Keep the plan of the slowest of these. What can't be explained is left out."""
        slowest = max(statements, key=lambda one: one.took, default=None)
        if slowest is None:
            return
        try:
            lines = [str(row[0]) for row in ask(f"EXPLAIN {slowest.text}", slowest.values)]
        except (SQLAlchemyError, psycopg.Error):
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
